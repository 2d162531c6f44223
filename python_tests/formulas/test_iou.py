"""Box IoU, its variants and their derivatives against exact rational arithmetic."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import numpy as np
import torch

from python_tests.formulas import PRECISIONS
from python_tests.formulas.iou import box_iou, box_iou_derivatives
from python_tests.support.exact_iou import (
    EVERY_MODE,
    ciou_alpha,
    exact,
    overlapping_boxes,
    random_boxes,
    rationals,
    real,
    special_boxes,
)


@PRECISIONS
@EVERY_MODE
def test_values_are_exact_to_rounding(dtype: type, mode: str) -> None:
    rng = np.random.default_rng(0)
    pairs = [
        overlapping_boxes(rng, 200, dtype),
        (random_boxes(rng, 100, dtype), random_boxes(rng, 100, dtype)),
        special_boxes(dtype),
    ]
    first, second = (np.concatenate(boxes) for boxes in zip(*pairs))
    wanted = np.array([float(exact(corners, mode)) for corners in rationals(first, second)])
    # The tolerance is also relative, because the distance of inverted boxes may be much larger than their hull.
    rounding = 16 * np.finfo(dtype).eps
    np.testing.assert_allclose(box_iou(first, second, mode), wanted, rtol=rounding, atol=rounding)


@EVERY_MODE
def test_range_and_symmetry(mode: str) -> None:
    rng = np.random.default_rng(1)
    first, second = random_boxes(rng, 2000, np.float32), random_boxes(rng, 2000, np.float32)
    values = box_iou(first, second, mode)
    lowest = {"iou": 0, "iof": 0, "giou": -1, "diou": -1, "ciou": -2}[mode]
    assert (values >= lowest).all() and (values <= 1).all()
    if mode != "iof":
        rounding = (
            0 if mode in ("iou", "giou") else 8 * np.finfo(np.float32).eps
        )  # the distance is added in another order
        np.testing.assert_allclose(values, box_iou(second, first, mode), rtol=0, atol=rounding)
    np.testing.assert_array_equal(box_iou(first, first, mode), 1)


@PRECISIONS
@EVERY_MODE
def test_nan_in_nan_out(dtype: type, mode: str) -> None:
    first = np.tile(np.array([1, 2, 5, 7], dtype=dtype), (8, 1))
    second = np.tile(np.array([2, 3, 6, 9], dtype=dtype), (8, 1))
    for k in range(8):
        (first if k < 4 else second)[k, k % 4] = np.nan
    assert np.isnan(box_iou(first, second, mode)).all()


@PRECISIONS
@EVERY_MODE
def test_derivatives_are_exact_to_rounding(dtype: type, mode: str) -> None:
    """Central differences in exact arithmetic with a step of 1e-12: their error is below 1e-20. No two sides
    coincide."""
    rng = np.random.default_rng(2)
    pairs = [overlapping_boxes(rng, 40, dtype), (random_boxes(rng, 20, dtype), random_boxes(rng, 20, dtype))]
    first, second = (np.concatenate(boxes) for boxes in zip(*pairs))
    second[:4] = first[:4] - dtype(200)  # disjoint
    step = Fraction(1, 10**12)
    wanted = np.zeros((len(first), 8))
    with mpmath.workdps(50):
        for row, corners in enumerate(rationals(first, second)):
            alpha = ciou_alpha(corners) if mode == "ciou" else None  # a constant in the derivative, as in the paper
            for k in range(8):
                up, down = ([*corners[:k], corners[k] + sign * step, *corners[k + 1 :]] for sign in (1, -1))
                difference = (exact(up, mode, alpha) - exact(down, mode, alpha)) / (
                    2 * (real(step) if alpha is not None else step)
                )
                wanted[row, k] = float(difference)
    derivatives = box_iou_derivatives(first, second, mode)
    np.testing.assert_allclose(derivatives, wanted, rtol=0, atol=64 * np.finfo(dtype).eps * np.abs(wanted).max(1).max())


@EVERY_MODE
def test_derivatives_at_ties_are_those_of_autograd(mode: str) -> None:
    """Equal sides share the derivative in halves, and a clamp at exactly 0 passes it on, as autograd does for maximum,
    minimum and clamp."""
    first, second = special_boxes(np.float64)
    a, b = torch.from_numpy(first).requires_grad_(), torch.from_numpy(second).requires_grad_()
    _autograd_iou(a, b, mode).sum().backward()
    derivatives = box_iou_derivatives(first, second, mode)
    assert np.isfinite(derivatives).all()
    np.testing.assert_allclose(derivatives, torch.cat([a.grad, b.grad], dim=1).numpy(), rtol=1e-12, atol=1e-12)


def _autograd_iou(a: torch.Tensor, b: torch.Tensor, mode: str) -> torch.Tensor:
    size_a, size_b = (a[:, 2:] - a[:, :2]).clamp(min=0), (b[:, 2:] - b[:, :2]).clamp(min=0)
    overlap = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(1)
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).clamp(min=0)
    union = size_a.prod(1) + size_b.prod(1) - overlap
    if mode == "iof":
        return _ratio(overlap, size_a.prod(1))
    iou = _ratio(overlap, union)
    if mode == "iou":
        return iou
    if mode == "giou":
        return iou - _ratio(hull.prod(1) - union, hull.prod(1))
    diou = iou - _ratio(((a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]) / 2).square().sum(1), hull.square().sum(1))
    if mode == "diou":
        return diou
    angle = _angle(size_b) - _angle(size_a)
    v = 4 / np.pi**2 * angle.square()
    return diou - _ratio(v, 1 - iou + v).detach() * v


def _ratio(numerator: torch.Tensor, denominator: torch.Tensor) -> torch.Tensor:
    """The ratio, or the constant 0 where the denominator is 0."""
    return torch.stack([n / d if d != 0 else d.detach() for n, d in zip(numerator, denominator)])


def _angle(size: torch.Tensor) -> torch.Tensor:
    """atan2(width, height), or the constant 0 for a point."""
    return torch.stack([torch.atan2(w, h) if w != 0 or h != 0 else w.detach() for w, h in size])
