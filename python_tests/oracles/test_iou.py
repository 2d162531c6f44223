"""``box_iou`` and ``aligned_box_iou``, batched and through autograd, against exact rational arithmetic (CIoU: 50 digits
of mpmath) of the boxes as stored, in every dtype.

Tolerances are in roundings of the compute dtype; half types add half a rounding of their own. Values: 16 times
max(1, |value|). Derivatives: 64 times the larger of two numbers, which are the largest derivative by any corner of the
two boxes, and one over their shortest side. A derivative is a difference of terms of this size.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache

import mpmath
import numpy as np
import pytest
import torch
from torch import Tensor

from colad_ops import aligned_box_iou, box_iou
from python_tests.support.exact_iou import (
    EVERY_MODE,
    ciou_alpha,
    exact,
    overlapping_boxes,
    rationals,
    real,
    special_boxes,
)
from python_tests.support.exact_iou import random_boxes as scattered_boxes

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
STEP = Fraction(1, 10**12)


def stored(boxes: np.ndarray, dtype: torch.dtype) -> Tensor:
    return torch.from_numpy(np.asarray(boxes, dtype=np.float64)).to(dtype)


def eps_of(dtype: torch.dtype) -> float:
    return torch.finfo(torch.float64 if dtype == torch.float64 else torch.float32).eps


def half_rounding(dtype: torch.dtype) -> float:
    return 0.51 * torch.finfo(dtype).eps if dtype in (torch.float16, torch.bfloat16) else 0.0


@lru_cache
def batch(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """``(3, 1, 8, 4)`` and ``(2, 6, 4)``: crowded, scattered over 1000 pixels, and small boxes."""
    rng = np.random.default_rng(5)
    crowded, shifted = overlapping_boxes(rng, 8, np.float64)
    first = np.stack([crowded, scattered_boxes(rng, 8, np.float64, 1000), crowded / 64])[:, None]
    second = np.stack([shifted[:6], scattered_boxes(rng, 6, np.float64, 30)])
    return stored(first, dtype), stored(second, dtype)


def special(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The boxes of special_boxes, with the far corners of 1e5 and 1e6 reduced to the range of float16."""
    return tuple(stored(np.clip(boxes, -6e4, 6e4), dtype) for boxes in special_boxes(np.float64))


def exact_values(first: Tensor, second: Tensor, mode: str) -> np.ndarray:
    """Exact values for boxes at the same index."""
    first, second = (boxes.reshape(-1, 4).double().numpy() for boxes in torch.broadcast_tensors(first, second))
    with mpmath.workdps(50):
        return np.array([float(exact(corners, mode)) for corners in rationals(first, second)])


def assert_values(found: Tensor, wanted: np.ndarray, dtype: torch.dtype) -> None:
    assert found.dtype == dtype
    found = found.double().numpy().ravel()
    overflows = np.abs(wanted) > torch.finfo(dtype).max  # the distance of inverted boxes has no bound
    assert (found[overflows] == np.sign(wanted[overflows]) * np.inf).all()
    close = 16 * eps_of(dtype) * np.maximum(1, np.abs(wanted)) + half_rounding(dtype) * np.abs(wanted)
    error = np.abs(found - wanted)[~overflows]
    assert (error <= close[~overflows]).all(), (error / close[~overflows]).max()


@DTYPES
@EVERY_MODE
def test_values_of_every_pair(dtype: torch.dtype, mode: str) -> None:
    first, second = batch(dtype)
    wanted = exact_values(first.unsqueeze(-2), second.unsqueeze(-3), mode)
    found = box_iou(first, second, mode)
    assert found.shape == (3, 2, 8, 6)
    assert_values(found, wanted, dtype)


@DTYPES
@EVERY_MODE
def test_values_of_special_boxes(dtype: torch.dtype, mode: str) -> None:
    """Touching, nested, equal, lines, points, inverted, far away: row by row and as every pair."""
    first, second = special(dtype)
    wanted = exact_values(first, second, mode)
    assert_values(aligned_box_iou(first, second, mode), wanted, dtype)
    count = round(len(first) ** 0.5)
    assert_values(box_iou(second[:count], second[:count], mode), wanted, dtype)
    assert_values(aligned_box_iou(first.view(5, -1, 4), second.view(5, -1, 4), mode), wanted, dtype)


def exact_derivatives(corners: list[Fraction], mode: str) -> Iterator[float]:
    """Derivatives by each of the eight corner coordinates. They are central differences, with an error of order 1e-18.
    CIoU's alpha is a constant, as in its paper."""
    alpha = ciou_alpha(corners) if mode == "ciou" else None
    step = real(STEP) if mode == "ciou" else STEP
    for k in range(8):
        up, down = ([*corners[:k], corners[k] + sign * STEP, *corners[k + 1 :]] for sign in (1, -1))
        yield float((exact(up, mode, alpha) - exact(down, mode, alpha)) / (2 * step))


def derivatives_of_rows(first: Tensor, second: Tensor, mode: str) -> np.ndarray:
    """``(N, 8)``"""
    with mpmath.workdps(50):
        return np.array(
            [list(exact_derivatives(c, mode)) for c in rationals(first.double().numpy(), second.double().numpy())]
        )


def size_of_terms(first: Tensor, second: Tensor, derivatives: np.ndarray) -> np.ndarray:
    """``(N, 1)``"""
    sides = torch.cat([first[:, 2:] - first[:, :2], second[:, 2:] - second[:, :2]], dim=1).detach().double().numpy()
    shortest = np.where(sides > 0, sides, np.inf).min(axis=1, keepdims=True)
    return np.maximum(np.abs(derivatives).max(axis=1, keepdims=True), 1 / shortest)


def assert_derivatives(found: Tensor, wanted: np.ndarray, close: np.ndarray, dtype: torch.dtype) -> None:
    assert found.dtype == dtype and found.isfinite().all()
    close = close + torch.finfo(dtype).tiny * torch.finfo(dtype).eps
    error = np.abs(found.double().numpy() - wanted)
    assert (error <= close).all(), (error / close).max()


def without_ties(first: Tensor, second: Tensor) -> Tensor:
    """Rows whose boxes have no corner in common and no extent of exactly 0, where one-sided derivatives differ."""
    corners = torch.cat([first, second], dim=-1).view(-1, 2, 2, 2)
    x, y = (corners[..., axis].flatten(1).sort(dim=1).values for axis in (0, 1))
    return ((x.diff(dim=1) != 0) & (y.diff(dim=1) != 0)).all(dim=1)


@DTYPES
@EVERY_MODE
def test_gradients_of_rows(dtype: torch.dtype, mode: str) -> None:
    """Each row has its own upstream gradient. Some boxes are inverted or far away."""
    rng = np.random.default_rng(7)
    pairs = [overlapping_boxes(rng, 40, np.float64)]
    pairs += [(scattered_boxes(rng, 20, np.float64), scattered_boxes(rng, 20, np.float64))]
    pairs += [(scattered_boxes(rng, 6, np.float64), scattered_boxes(rng, 6, np.float64)[:, [2, 1, 0, 3]])]  # inverted
    first, second = (stored(np.concatenate(boxes), dtype) for boxes in zip(*pairs, special(torch.float64)))
    clear = without_ties(first, second)
    assert clear.sum() > 70
    first, second = first[clear], second[clear]
    wanted = derivatives_of_rows(first, second, mode)
    upstream = torch.tensor([1.0, -2.0, 0.5], dtype=dtype).repeat(len(first))[: len(first)]
    leaves = first.requires_grad_(), second.requires_grad_()
    found = torch.autograd.grad(aligned_box_iou(*leaves, mode), leaves, upstream)
    weight = upstream.double().numpy()[:, None]
    close = 64 * eps_of(dtype) * size_of_terms(first, second, wanted) + half_rounding(dtype) * np.abs(wanted)
    assert_derivatives(torch.cat(found, dim=1), wanted * weight, close * np.abs(weight), dtype)


@DTYPES
@EVERY_MODE
def test_gradients_of_every_pair(dtype: torch.dtype, mode: str) -> None:
    """The gradient of a box is the sum over its partners, and over the images that share the box by broadcasting."""
    first, second = (boxes.clone() for boxes in batch(dtype))
    pairs = torch.broadcast_tensors(first.unsqueeze(-2), second.unsqueeze(-3))
    rows = [boxes.reshape(-1, 4) for boxes in pairs]
    assert without_ties(*rows).all() or dtype == torch.bfloat16
    shape = pairs[0].shape[:-1]
    upstream = np.resize([1.0, -2.0, 0.5, 1.5], shape)
    wanted = derivatives_of_rows(*rows, mode)
    terms = size_of_terms(*rows, wanted).reshape(*shape, 1) * np.abs(upstream)[..., None]
    wanted = wanted.reshape(*shape, 8) * upstream[..., None]
    leaves = first.requires_grad_(), second.requires_grad_()
    found = torch.autograd.grad(box_iou(*leaves, mode), leaves, torch.from_numpy(upstream).to(dtype))
    for gradient, corners, partners, images in ((found[0], slice(4), 3, 1), (found[1], slice(4, 8), 2, 0)):
        of_image = wanted[..., corners].sum(axis=partners)  # rounded, then summed, then rounded
        close = 64 * eps_of(dtype) * terms.sum(axis=partners) + 2 * half_rounding(dtype) * np.abs(of_image)
        total, close = (array.sum(axis=images).reshape(gradient.shape) for array in (of_image, close))
        assert_derivatives(gradient, total, close, dtype)
