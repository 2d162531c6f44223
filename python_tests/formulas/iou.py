"""Calls of the compiled IoU formulas with arrays of boxes."""

from __future__ import annotations

import numpy as np

from python_tests.formulas import of
from python_tests.support.exact_iou import MODES


def box_iou(first: np.ndarray, second: np.ndarray, mode: str) -> np.ndarray:
    return of(first.dtype.type).box_iou(*first.T, *second.T, MODES.index(mode))


def box_iou_derivatives(first: np.ndarray, second: np.ndarray, mode: str) -> np.ndarray:
    """``(N, 8)``: derivatives by the corners of the first box, then of the second box."""
    derivative = of(first.dtype.type).box_iou_derivative
    return np.stack([derivative(*first.T, *second.T, MODES.index(mode), k) for k in range(8)], axis=1)
