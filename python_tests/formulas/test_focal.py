"""The focal and the focal Kullback-Leibler loss and their derivatives, against 150 digits of mpmath."""

from __future__ import annotations

from functools import lru_cache

import mpmath
import numpy as np
import pytest

from python_tests.formulas import PRECISIONS, of
from python_tests.support.exact_losses import (
    APART,
    DIGITS,
    EVERY_GAMMA,
    LOGITS,
    PROBABILITIES,
    STEP,
    ExactFocalKl,
    exact_focal,
    real,
    sigmoid,
    underflow,
)


@PRECISIONS
@pytest.mark.parametrize("name", ["sigmoid", "softplus"])
def test_sigmoid_and_softplus_keep_all_digits(dtype: type, name: str) -> None:
    x = np.array(LOGITS, dtype=dtype)
    with mpmath.workdps(DIGITS):
        exact = {"sigmoid": sigmoid, "softplus": lambda v: mpmath.log1p(mpmath.exp(v))}[name]
        wanted = [float(exact(real(v))) for v in x]
    np.testing.assert_allclose(getattr(of(dtype), name)(x), wanted, rtol=4 * np.finfo(dtype).eps, atol=underflow(dtype))


@PRECISIONS
@EVERY_GAMMA
@pytest.mark.parametrize("alpha", [0.25, -1.0])
@pytest.mark.parametrize("target", [False, True])
def test_focal_loss_and_derivative(dtype: type, gamma: float, alpha: float, target: bool) -> None:
    x, gamma = np.array(LOGITS, dtype=dtype), float(dtype(gamma))
    with mpmath.workdps(DIGITS):
        loss = [float(exact_focal(real(v), target, alpha, gamma)) for v in x]
        derivative = [
            float(
                (exact_focal(real(v) + STEP, target, alpha, gamma) - exact_focal(real(v) - STEP, target, alpha, gamma))
                / (2 * STEP)
            )
            for v in x
        ]
    close = {"rtol": 16 * np.finfo(dtype).eps, "atol": underflow(dtype)}
    options = (np.full_like(x, target, dtype=bool), dtype(alpha), dtype(gamma))
    np.testing.assert_allclose(of(dtype).focal_loss(x, *options), loss, **close)
    np.testing.assert_allclose(of(dtype).focal_loss_derivative(x, *options), derivative, **close)


@PRECISIONS
@EVERY_GAMMA
@pytest.mark.parametrize("target", [False, True])
def test_focal_loss_of_a_probability_cuts_the_logarithm_at_minus_100(dtype: type, gamma: float, target: bool) -> None:
    p, gamma = np.array(PROBABILITIES, dtype=dtype), float(dtype(gamma))
    with mpmath.workdps(DIGITS):
        right = [real(v) if target else 1 - real(v) for v in p]
        alpha = mpmath.mpf(0.25) if target else mpmath.mpf(0.75)
        wanted = [
            float(alpha * (1 - r) ** gamma * min(-mpmath.log(r) if r else mpmath.inf, mpmath.mpf(100))) for r in right
        ]
    loss = of(dtype).focal_loss_of_probability(p, np.full_like(p, target, dtype=bool), dtype(0.25), dtype(gamma))
    assert np.isfinite(loss).all()
    # 1 - p rounds where p is small and the class is not the target, so there is also an absolute tolerance.
    np.testing.assert_allclose(
        loss, wanted, rtol=16 * np.finfo(dtype).eps, atol=4 * np.finfo(dtype).eps ** max(gamma, 1)
    )


@lru_cache
def focal_kl_cases(dtype: type, teacher_is_logit: bool) -> tuple[np.ndarray, np.ndarray, list[ExactFocalKl]]:
    if teacher_is_logit:
        pairs = [(x, z) for x in LOGITS for z in LOGITS] + [(z + e * max(1, abs(z)), z) for z in LOGITS for e in APART]
    else:
        pairs = [(x, q) for x in LOGITS for q in PROBABILITIES]
    student, teacher = (np.array(column, dtype=dtype) for column in zip(*pairs))
    with mpmath.workdps(DIGITS):
        return student, teacher, [ExactFocalKl(float(x), float(t), teacher_is_logit) for x, t in zip(student, teacher)]


@PRECISIONS
@EVERY_GAMMA
@pytest.mark.parametrize("smooth", [0.0, 1e-6])
@pytest.mark.parametrize("teacher_is_logit", [True, False], ids=["logit", "probability"])
def test_focal_kl_loss_and_derivative(dtype: type, gamma: float, smooth: float, teacher_is_logit: bool) -> None:
    """Logits of +-1e4, teachers of 0 and 1, and large, small and no difference between teacher and student.

    Every result is exact to a few roundings of max(1, |result|). Small results are also exact, up to two errors. One
    rounding of each probability changes their difference. And KL, which is of second order in this difference, has
    cancellation: |logit| roundings times the square of the condition number, up to where the series is used (a tenth of
    the probability, in float64 a hundredth).
    """
    student, teacher, cases = focal_kl_cases(dtype, teacher_is_logit)
    options = (float(dtype(gamma)), float(dtype(smooth)))
    with mpmath.workdps(DIGITS):
        loss, derivative = (
            np.array([getattr(case, name)(*options) for case in cases]) for name in ("loss", "derivative")
        )
        condition = np.array([case.condition() for case in cases])
    arguments = (student, teacher, np.full(student.shape, teacher_is_logit), dtype(gamma), dtype(smooth))
    for found, wanted in (
        (of(dtype).focal_kl_loss(*arguments), loss),
        (of(dtype).focal_kl_derivative(*arguments), derivative),
    ):
        eps, error = np.finfo(dtype).eps, np.abs(found - wanted)
        assert np.isfinite(found).all()
        assert (error <= 8 * eps * np.maximum(1, np.abs(wanted))).all()
        cancelled = np.minimum(condition, 10 if dtype is np.float32 else 100) ** 2 * (1 + np.abs(student))
        relative = eps * (16 + 4 * (gamma + 2) * condition + 2 * cancelled)
        meant = relative < 0.01  # above this, the inputs do not determine the difference of the probabilities
        assert meant.mean() > 0.75
        assert (error <= relative * np.abs(wanted) + underflow(dtype))[meant].all()


@PRECISIONS
@EVERY_GAMMA
def test_focal_kl_of_equal_probabilities_is_exactly_zero(dtype: type, gamma: float) -> None:
    x = np.array(LOGITS, dtype=dtype)
    arguments = (x, x, np.ones(x.shape, dtype=bool), dtype(gamma), dtype(0))
    assert (of(dtype).focal_kl_loss(*arguments) == 0).all()
    assert (of(dtype).focal_kl_derivative(*arguments) == 0).all()


@PRECISIONS
@EVERY_GAMMA
@pytest.mark.parametrize("target", [False, True])
def test_focal_kl_of_a_one_hot_teacher_is_the_focal_loss_without_alpha(dtype: type, gamma: float, target: bool) -> None:
    x = np.array(LOGITS, dtype=dtype)
    for kind in ("loss", "derivative"):
        kl = getattr(of(dtype), f"focal_kl_{kind}")(
            x, dtype(target), np.zeros(x.shape, dtype=bool), dtype(gamma), dtype(0)
        )
        focal = getattr(of(dtype), "focal_loss" if kind == "loss" else "focal_loss_derivative")
        focal = focal(x, np.full(x.shape, target), dtype(-1), dtype(gamma))
        np.testing.assert_allclose(kl, focal, rtol=16 * np.finfo(dtype).eps, atol=underflow(dtype))
