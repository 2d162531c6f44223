"""Reciprocal, inverse square root, quotient, powers of 2 and logarithms of ``csrc/ops/gmm_em/gmm_em_elementary.h``:
errors in units in the last place, against 80-bit arithmetic, and what they return for special arguments.

A device approximates the reciprocal and the root itself, then the same operations follow as here. The host cuts off
what a device rounds, so its approximation is not better."""

from __future__ import annotations

import numpy as np
import pytest

from python_tests import formulas

ULP = 2.0  # stated in gmm_em_elementary.h
COUNT = 400_000
SMALLEST, LARGEST = np.finfo(np.float64).tiny, 2.0**1022  # a reciprocal above is subnormal

pytestmark = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 63, reason="long double has no more digits than double on this machine"
)


def normal_numbers(seed: int, count: int = COUNT) -> np.ndarray:
    """Of every size, powers of 2 and their neighbours among them."""
    random = np.random.default_rng(seed)
    powers = 2.0 ** np.arange(-1022, 1023)
    x = np.concatenate([powers, np.nextafter(powers, 0), np.nextafter(powers, np.inf)])
    x = np.concatenate([x, random.uniform(1, 2, count) * 2.0 ** random.integers(-1022, 1022, count)])
    return x[(x >= SMALLEST) & (x <= LARGEST)]


def ulps(found: np.ndarray, exact: np.ndarray) -> float:
    assert exact.dtype == np.longdouble
    return float(np.max(np.abs(found - exact) / np.spacing(np.abs(exact.astype(np.float64)))))


def test_reciprocal_and_inverse_root() -> None:
    compiled, x = formulas.warp_fit(), normal_numbers(0)
    wide = x.astype(np.longdouble)
    errors = ulps(compiled.reciprocal(x), 1 / wide), ulps(compiled.inverse_root(x), 1 / np.sqrt(wide))
    print("reciprocal {:.2f} ulp, inverse root {:.2f} ulp".format(*errors))
    assert max(errors) < ULP
    assert np.isnan(compiled.reciprocal(np.array([0.0, 1e-310, np.inf, np.nan]))).all()
    assert np.isnan(compiled.inverse_root(np.array([0.0, np.inf, np.nan]))).all()
    assert compiled.inverse_root(1e-310) == np.inf


def test_quotients_are_rounded_once() -> None:
    compiled, random = formulas.warp_fit(), np.random.default_rng(1)
    a, b = (random.uniform(1, 2, COUNT) * 2.0 ** random.integers(-200, 200, COUNT) for _ in range(2))
    found = compiled.quotient(a, b)
    assert (found != a / b).mean() < 1e-4 and ulps(found, a.astype(np.longdouble) / b) < 0.51
    assert (compiled.quotient(a, a) == 1).all()


def test_powers_of_2() -> None:
    """The result is multiplied by 2^80, so that it is a normal number down to 2^-1100."""
    compiled, random = formulas.warp_fit(), np.random.default_rng(2)
    halves = np.arange(-2200, 1) / 2
    t = np.concatenate([halves, -random.uniform(0, 1100, COUNT), -(2.0 ** random.uniform(-60, 10, COUNT))])
    t = np.concatenate([t, np.nextafter(halves[1:], -np.inf)])
    error = ulps(compiled.exp2_up(t), np.exp2(t.astype(np.longdouble) + 80))
    print(f"2^t {error:.2f} ulp")
    assert error < ULP
    assert (compiled.exp2_up(np.arange(-1100.0, 1.0)) == 2.0 ** np.arange(-1020.0, 81.0)).all()
    assert (compiled.exp2_up(np.array([np.nextafter(-1100, -2000), -1e9, -1e300, -np.inf, np.nan])) == 0).all()


def test_the_logarithm_of_a_product_does_not_overflow() -> None:
    compiled, random = formulas.warp_fit(), np.random.default_rng(3)
    for count, exponents in ((1, 1000), (1, 3), (2, 1000), (40, 1000)):
        for _ in range(2000):
            x = random.uniform(1, 2, count) * 2.0 ** random.integers(-exponents, exponents, count)
            exact = np.log2(x.astype(np.longdouble)).sum()
            # Each product is rounded. The integer part has its own unit in the last place.
            error = float(abs(compiled.log2_of_product(x) - exact))
            assert error < (1 + count) * np.finfo(np.float64).eps + np.spacing(float(abs(exact)))
    assert compiled.log2_of_product(np.array([8.0, 2.0**1000, 2.0**-1022, 2.0])) == -18
