"""Box IoU and its variants in exact rational arithmetic, and boxes to test them on."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import numpy as np
import pytest

MODES = ("iou", "iof", "giou", "diou", "ciou")
EVERY_MODE = pytest.mark.parametrize("mode", MODES)


def exact(corners: list[Fraction], mode: str, alpha: mpmath.mpf | None = None) -> Fraction | mpmath.mpf:
    """The definitions in exact arithmetic (CIoU: 50 digits); ``alpha`` replaces CIoU's own."""
    ax1, ay1, ax2, ay2, bx1, by1, bx2, by2 = corners
    zero = Fraction(0)
    aw, ah, bw, bh = (max(side, zero) for side in (ax2 - ax1, ay2 - ay1, bx2 - bx1, by2 - by1))
    overlap = max(min(ax2, bx2) - max(ax1, bx1), zero) * max(min(ay2, by2) - max(ay1, by1), zero)
    ratio = lambda a, b: a / b if b else zero  # noqa: E731
    if mode == "iof":
        return ratio(overlap, aw * ah)
    union = aw * ah + bw * bh - overlap
    iou = ratio(overlap, union)
    hull_w, hull_h = max(max(ax2, bx2) - min(ax1, bx1), zero), max(max(ay2, by2) - min(ay1, by1), zero)
    if mode == "iou":
        return iou
    if mode == "giou":
        return iou - ratio(hull_w * hull_h - union, hull_w * hull_h)
    distance = ((ax1 + ax2 - bx1 - bx2) / 2) ** 2 + ((ay1 + ay2 - by1 - by2) / 2) ** 2
    diou = iou - ratio(distance, hull_w**2 + hull_h**2)
    if mode == "diou":
        return diou
    angle = mpmath.atan2(real(bw), real(bh)) - mpmath.atan2(real(aw), real(ah))
    v = 4 / mpmath.pi**2 * angle**2
    if alpha is None:
        alpha = v / (1 - real(iou) + v) if v else mpmath.mpf(0)
    return real(diou) - alpha * v


def real(x: Fraction) -> mpmath.mpf:
    return mpmath.mpf(x.numerator) / x.denominator


def ciou_alpha(corners: list[Fraction]) -> mpmath.mpf:
    """alpha = (DIoU - CIoU) / v, and v = (DIoU - CIoU) for alpha 1."""
    v = real(exact(corners, "diou")) - exact(corners, "ciou", alpha=mpmath.mpf(1))
    return (real(exact(corners, "diou")) - exact(corners, "ciou")) / v if v else mpmath.mpf(0)


def rationals(first: np.ndarray, second: np.ndarray) -> list[list[Fraction]]:
    return [[Fraction(float(x)) for x in (*a, *b)] for a, b in zip(first, second)]


def random_boxes(rng: np.random.Generator, count: int, dtype: type, scale: float = 100) -> np.ndarray:
    corner = rng.uniform(-scale / 2, scale / 2, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(0.01, 1, (count, 2)) * scale], axis=1).astype(dtype)


def overlapping_boxes(rng: np.random.Generator, count: int, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    first = random_boxes(rng, count, dtype)
    return first, (first + rng.uniform(-20, 20, first.shape)).astype(dtype)


def special_boxes(dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of special boxes: touching, nested, equal, lines, points, inverted, far away."""
    boxes = np.array(
        [
            (0, 0, 4, 4),
            (4, 0, 8, 4),
            (4, 4, 8, 8),
            (1, 1, 3, 3),
            (0, 0, 4, 2),
            (0, 2, 0, 8),
            (1, 1, 9, 1),
            (2, 2, 2, 2),
            (9, 9, 9, 9),
            (4, 4, 0, 0),
            (6, 0, 2, 5),
            (-1000, -1000, -999, -999),
            (1e6, 1e6, 1e6 + 2, 1e6 + 2),
            (-1e5, -1e5, 1e5, 1e5),
            (0, 0, 1e-3, 1e-3),
        ],
        dtype=dtype,
    )
    return np.repeat(boxes, len(boxes), axis=0), np.tile(boxes, (len(boxes), 1))
