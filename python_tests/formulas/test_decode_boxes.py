"""Decoded boxes against arithmetic with 40 digits."""

from __future__ import annotations

import math

import mpmath
import numpy as np

from python_tests.formulas import PRECISIONS, of


@PRECISIONS
def test_values_are_exact_to_rounding(dtype: type) -> None:
    random, n, std, limit = np.random.default_rng(0), 300, 0.5, math.log(62.5)
    corner, side = random.uniform(-100, 1000, (n, 2)), np.exp(random.uniform(-2, 7, (n, 2)))
    anchors = np.concatenate([corner, corner + side], axis=1).astype(dtype)
    deltas = random.normal(0, 5, (n, 4)).astype(dtype)
    assert (np.abs(deltas[:, 2:] * std) > limit).any()
    limit = dtype(limit)
    found = np.stack([of(dtype).decode_box(*anchors.T, *deltas.T, std, limit, k) for k in range(4)], axis=1)
    with mpmath.workdps(40):
        for box, anchor, delta in zip(found, anchors, deltas):
            wanted, largest = exact(anchor, delta, std, float(limit))
            for value, expected in zip(box, wanted):
                # The centre, half of the side and their sum are rounded, and the clamped logarithm before its exp.
                assert abs(mpmath.mpf(float(value)) - expected) <= 8 * np.finfo(dtype).eps * largest


def exact(anchor: np.ndarray, delta: np.ndarray, std: float, limit: float) -> tuple[list[mpmath.mpf], float]:
    """The box, and the largest number in its computation."""
    a, d = ([mpmath.mpf(float(x)) for x in row] for row in (anchor, delta))
    low, high, largest = [], [], mpmath.mpf(0)
    for first, second, offset, scale in ((a[0], a[2], d[0], d[2]), (a[1], a[3], d[1], d[3])):
        side = second - first
        centre = (first + second) / 2 + offset * std * side
        half = side * mpmath.exp(max(-limit, min(limit, scale * std))) / 2
        low.append(centre - half)
        high.append(centre + half)
        largest = max(largest, abs(first), abs(second), abs(offset * std * side), half)
    return [*low, *high], float(largest)
