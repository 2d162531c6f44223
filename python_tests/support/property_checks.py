"""Inputs and checks that several property tests share."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor

from colad_ops import Assignment
from python_tests.support.op_contract import assert_same

HALF_TYPES = st.sampled_from([torch.float16, torch.bfloat16])
SHIFTS = st.tuples(st.integers(-4096, 4096), st.integers(-4096, 4096)).map(lambda s: torch.tensor([*s, *s]).float())
SCALES = st.integers(-10, 10).map(lambda exponent: 2.0**exponent)
ROUNDING = 1e-12  # relative, of a float64 sum taken in another order
FITTED = ("num_pos", "weights", "means", "variances")  # samples are sorted by cost, so sums have one order
SUMMED = ("mean", "std")  # sums over candidates in anchor order


def value_and_gradients(function, *tensors: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Value and gradients, with different weights for every element of the value (exact in the half types)."""
    leaves = [x.detach().clone().requires_grad_() for x in tensors]
    value = function(*leaves)
    weights = (1 + torch.arange(value.numel()) % 7).to(value.dtype).view(value.shape)
    return value.detach(), torch.autograd.grad((value * weights).sum(), leaves)


def assert_fields(
    actual: Assignment, expected: Assignment, rows: Tensor, new_rows: Tensor | None = None, rtol: float = 0.0
) -> None:
    """Compares the fields with one row for each object: ``rows`` of ``expected`` equal ``new_rows`` of ``actual``
    (default: all rows)."""
    for names, tolerance in ((FITTED, 0.0), (SUMMED, rtol)):
        for name in names:
            new = getattr(actual, name)
            assert_same(new if new_rows is None else new[new_rows], getattr(expected, name)[rows], rtol=tolerance)
