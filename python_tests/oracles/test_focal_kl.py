"""``focal_kl_loss`` and ``sigmoid_focal_loss``, batched and through autograd, against 150 digits of mpmath.

The tolerance of an element e and of its derivative is 8 roundings of max(1, |e|) in the compute dtype; half types add
half a rounding of their own. Nothing cancels where the target is certain. There, small results are also correct to 32
roundings, down to where the square of a probability is denormal.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import mpmath
import numpy as np
import pytest
import torch
from torch import Tensor

from colad_ops import focal_kl_loss, sigmoid_focal_loss
from python_tests.support.exact_losses import (
    APART,
    DIGITS,
    EVERY_GAMMA,
    PROBABILITIES,
    STEP,
    ExactFocalKl,
    exact_focal,
    underflow,
)

SIZES = (1e-6, 0.1, 1, 3, 10, 30, 88, 104, 1000, 1e4)
LOGITS = (0.0, *SIZES, *(-size for size in SIZES))
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
REDUCTIONS = (("none", None), ("sum", None), ("mean", None), ("sum", 0.3), ("sum", 7.5), ("mean", torch.tensor(41.0)))


def compute_type(dtype: torch.dtype) -> type:
    return np.float64 if dtype == torch.float64 else np.float32


def gamma_of(dtype: torch.dtype, gamma: float) -> float:
    """Gamma, rounded to the compute dtype."""
    return float(compute_type(dtype)(gamma))


class Expected:
    """Losses and derivatives of ``(..., C)`` logits. ``certain`` elements have a target of 0 or 1 in all digits."""

    def __init__(self, dtype: torch.dtype, loss: np.ndarray, derivative: np.ndarray, certain: np.ndarray) -> None:
        self.dtype, self.loss, self.derivative, self.certain = dtype, loss, derivative, certain
        self.eps = np.finfo(compute_type(dtype)).eps

    def tolerance(self, wanted: np.ndarray) -> np.ndarray:
        small = 32 * self.eps * np.abs(wanted) + underflow(compute_type(self.dtype))
        return np.where(self.certain, small, 8 * self.eps * np.maximum(1, np.abs(wanted)))

    def stored(self, wanted: np.ndarray) -> np.ndarray:
        """Half a unit in the last place of a half type, and of its denormals."""
        if self.dtype not in (torch.float16, torch.bfloat16):
            return np.zeros_like(wanted)
        limits = torch.finfo(self.dtype)
        return 0.51 * limits.eps * np.maximum(np.abs(wanted), limits.tiny)

    def check(self, loss: Callable[..., Tensor], logits: Tensor) -> None:
        """Checks every reduction without a weight, with a weight for rows, and with a weight for elements."""
        by_element = np.resize([0.25, 1, 0, 2.5, 1.75], self.loss.shape)
        for weight in (None, by_element[..., 0], by_element):
            factor = np.ones(1) if weight is None else (weight if weight is by_element else weight[..., None])
            for reduction, avg_factor in REDUCTIONS:
                self.check_one(loss, logits, weight, factor, reduction, avg_factor)

    def check_one(
        self,
        loss: Callable[..., Tensor],
        logits: Tensor,
        weight: np.ndarray | None,
        factor: np.ndarray,
        reduction: str,
        avg_factor: Tensor | float | None,
    ) -> None:
        leaf = logits.clone().requires_grad_()
        weight = None if weight is None else torch.from_numpy(weight).to(logits.dtype)
        found = loss(leaf, weight=weight, reduction=reduction, avg_factor=avg_factor)
        divisor = (
            max(float(avg_factor), 1.0) if avg_factor is not None else (leaf.numel() if reduction == "mean" else 1)
        )
        upstream = np.resize([1, -0.5, 2], self.loss.shape) if reduction == "none" else np.full(1, 3.0)
        found.backward(torch.from_numpy(upstream).to(found.dtype).reshape(found.shape))

        wanted, close = self.loss * factor, self.tolerance(self.loss) * factor
        if reduction != "none":
            wanted, close = wanted.sum() / divisor, close.sum() / divisor
            close += 4 * self.eps * abs(wanted)
            assert found.dtype == (torch.float64 if self.dtype == torch.float64 else torch.float32)
        else:
            close = close + self.stored(wanted)
            assert found.dtype == self.dtype
        assert_within(found, wanted, close)
        scale = factor * upstream / divisor
        wanted, close = self.derivative * scale, self.tolerance(self.derivative) * np.abs(scale)
        assert leaf.grad.dtype == self.dtype
        assert_within(leaf.grad, wanted, close + 4 * self.eps * np.abs(wanted) + self.stored(wanted))


def assert_within(found: Tensor, wanted: np.ndarray, close: np.ndarray) -> None:
    found = found.detach().double().numpy()
    assert np.isfinite(found).all()
    error = np.abs(found - wanted)
    at = np.unravel_index(np.argmax(error - close), error.shape)
    assert (error <= close).all(), f"at {at} got {found[at]}, not {np.asarray(wanted)[at]} +- {np.asarray(close)[at]}"


@lru_cache
def focal_kl_cases(dtype: torch.dtype, teacher_is_logits: bool) -> tuple[Tensor, Tensor, list[ExactFocalKl]]:
    """``(2, T, S)``: every student with every teacher, and students that are about as certain as their teacher.
    Teachers given as probabilities are 0, 1 and values between."""
    teachers = LOGITS if teacher_is_logits else PROBABILITIES
    rows = [[(x, t) for x in LOGITS] for t in teachers]
    for t in teachers:
        logit = t if teacher_is_logits else float(np.clip(np.log(t or 1e-9) - np.log1p(-min(t, 1 - 1e-9)), -20, 20))
        rows.append([(logit + APART[i % 7] * max(1, abs(logit)), t) for i in range(len(LOGITS))])
    pairs = torch.tensor(rows, dtype=torch.float64).to(dtype).view(2, len(teachers), len(LOGITS), 2)
    student, teacher = pairs.unbind(-1)
    with mpmath.workdps(DIGITS):
        exact = [ExactFocalKl(x, t, teacher_is_logits) for x, t in pairs.double().view(-1, 2).tolist()]
    return student.contiguous(), teacher.contiguous(), exact


@DTYPES
@EVERY_GAMMA
@pytest.mark.parametrize("smooth", [0.0, 1e-6])
@pytest.mark.parametrize("teacher_is_logits", [True, False], ids=["logits", "probabilities"])
def test_focal_kl_loss(dtype: torch.dtype, gamma: float, smooth: float, teacher_is_logits: bool) -> None:
    student, teacher, cases = focal_kl_cases(dtype, teacher_is_logits)
    rounded = gamma_of(dtype, gamma), gamma_of(dtype, smooth)
    with mpmath.workdps(DIGITS):
        loss, derivative = (
            np.array([getattr(case, name)(*rounded) for case in cases]).reshape(student.shape)
            for name in ("loss", "derivative")
        )
    t = teacher.double().numpy()
    certain = np.abs(t) > 900 if teacher_is_logits else np.isin(t, (0, 1))
    expected = Expected(dtype, loss, derivative, certain)
    expected.check(
        lambda x, **options: focal_kl_loss(
            x, teacher, gamma=gamma, smooth=smooth, teacher_is_logits=teacher_is_logits, **options
        ),
        student,
    )


@lru_cache
def exact_focal_of(logit: float, target: bool, alpha: float, gamma: float) -> tuple[float, float]:
    with mpmath.workdps(DIGITS):
        here, up, down = (exact_focal(mpmath.mpf(logit) + d, target, alpha, gamma) for d in (0, STEP, -STEP))
        return float(here), float((up - down) / (2 * STEP))


@DTYPES
@EVERY_GAMMA
@pytest.mark.parametrize("alpha", [0.25, -1.0])
def test_sigmoid_focal_loss(dtype: torch.dtype, gamma: float, alpha: float) -> None:
    """Every logit with every label for three classes: the classes, background as -1 and as 3, and ignored."""
    classes, of_labels = 3, torch.tensor([0, 1, 2, 3, -1, -2])
    x = torch.tensor(LOGITS, dtype=torch.float64).to(dtype)
    logits = torch.stack([x, x.flip(0), x.roll(5)], dim=-1).expand(len(of_labels), -1, -1).contiguous()
    labels = of_labels[:, None].expand(logits.shape[:2])
    results = [
        exact_focal_of(x, int(label) == k, alpha, gamma_of(dtype, gamma)) if label != -2 else (0.0, 0.0)
        for label, rows in zip(of_labels, logits.double().tolist())
        for row in rows
        for k, x in enumerate(row)
    ]
    loss, derivative = np.array(results).reshape(*logits.shape, 2).transpose(3, 0, 1, 2)
    assert logits.shape[-1] == classes
    expected = Expected(dtype, loss, derivative, certain=np.full(loss.shape, True))
    expected.check(lambda x, **options: sigmoid_focal_loss(x, labels, alpha=alpha, gamma=gamma, **options), logits)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@EVERY_GAMMA
def test_half_types_are_the_float32_result_rounded_once(dtype: torch.dtype, gamma: float) -> None:
    for teacher_is_logits in (True, False):
        student, teacher, _ = focal_kl_cases(dtype, teacher_is_logits)
        options = {"gamma": gamma, "teacher_is_logits": teacher_is_logits, "reduction": "none"}
        half, full = student.clone().requires_grad_(), student.float().requires_grad_()
        results = focal_kl_loss(half, teacher, **options), focal_kl_loss(full, teacher.float(), **options)
        assert results[0].equal(results[1].to(dtype))
        for result in results:
            result.sum().backward()
        assert half.grad.equal(full.grad.to(dtype))
