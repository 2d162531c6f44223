"""exp and log of ``csrc/common/elementary.h``: errors in units in the last place."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import numpy as np
import pytest

from python_tests.formulas import PRECISIONS, of

ULP = 2.0  # stated in elementary.h
COUNT = {np.float32: 400_000, np.float64: 3_000}  # float64 is compared with mpmath, one value after the other


def exact(function: str, x: np.ndarray) -> np.ndarray:
    """The result with more digits than the dtype has: from float64 for float32 (errors of 1e-16), from mpmath for
    float64."""
    if x.dtype == np.float32:
        x = x.astype(np.float64)
        return {
            "exp_nonpositive": np.exp,
            "exp_normal": np.exp,
            "log1p_unit": np.log1p,
            "log_positive": np.log,
            "log_ratio": lambda w: 2 * np.arctanh(w),
        }[function](x)
    by_mpmath: Callable = {
        "exp_nonpositive": mpmath.exp,
        "exp_normal": mpmath.exp,
        "log1p_unit": mpmath.log1p,
        "log_positive": mpmath.log,
        "log_ratio": lambda w: 2 * mpmath.atanh(w),
    }[function]
    with mpmath.workdps(40):
        return np.array([by_mpmath(mpmath.mpf(float(v))) for v in x], dtype=object)


def inputs(function: str, dtype: type) -> np.ndarray:
    """Values of every size in the range of the function, and both ends of the range."""
    random, n = np.random.default_rng(0), COUNT[dtype]
    info = np.finfo(dtype)
    smallest = np.log(float(info.smallest_subnormal)) if dtype is np.float32 else -745.1
    if function == "exp_nonpositive":
        far, near = random.uniform(smallest, 0, n), -np.exp(random.uniform(-40, 3, n))
        return np.r_[far, near, 0.0, smallest].astype(dtype)
    if function == "exp_normal":
        near = np.exp(random.uniform(-40, 3, n)) * random.choice([-1, 1], n)
        return np.r_[random.uniform(-87, 87, n), near, 0.0, -87.0, 87.0].astype(dtype)
    if function == "log1p_unit":
        return np.r_[random.uniform(0, 1, n), np.exp(random.uniform(smallest, 0, n)), 0.0, 1.0].astype(dtype)
    if function == "log_positive":
        near = random.uniform(0.4, 2.5, n)
        far = np.exp(random.uniform(smallest, np.log(float(info.max)) * 0.999, n))
        return np.r_[far, near, 1.0, info.smallest_subnormal, info.tiny, info.max].astype(dtype)
    return np.r_[random.uniform(-1 / 3, 1 / 3, n), np.exp(random.uniform(smallest, -1.2, n)), 0.0].astype(dtype)


@PRECISIONS
@pytest.mark.parametrize("function", ["exp_nonpositive", "exp_normal", "log1p_unit", "log_positive", "log_ratio"])
def test_error_is_below_two_units_in_the_last_place(dtype: type, function: str) -> None:
    x = inputs(function, dtype)
    got, wanted = getattr(of(dtype), function)(x), exact(function, x)
    rounded = np.abs(wanted.astype(np.float64)).astype(dtype)
    unit = np.maximum(np.spacing(rounded), np.finfo(dtype).smallest_subnormal).astype(np.float64)
    error = np.array([float(abs(mpmath.mpf(float(g)) - w)) for g, w in zip(got, wanted)]) if dtype is np.float64 else (
        np.abs(got.astype(np.float64) - wanted)
    )  # fmt: skip
    worst = np.argmax(error / unit)
    print(f"{function} {dtype.__name__}: {error[worst] / unit[worst]:.3f} ulp at {x[worst]!r}")
    assert error[worst] <= ULP * unit[worst], f"{error[worst] / unit[worst]} ulp at {x[worst]!r}"


@PRECISIONS
def test_ends_of_the_range(dtype: type) -> None:
    f = of(dtype)
    assert f.exp_nonpositive(dtype(0)) == 1 and f.exp_nonpositive(dtype(-np.inf)) == 0
    assert f.exp_nonpositive(dtype(-1e4)) == 0 and f.exp_normal(dtype(0)) == 1
    assert f.log1p_unit(dtype(0)) == 0 and f.log_positive(dtype(1)) == 0 and f.log_ratio(dtype(0)) == 0
    for function in ("exp_nonpositive", "exp_normal", "log1p_unit", "log_ratio"):
        assert np.isnan(getattr(f, function)(dtype(np.nan)))
