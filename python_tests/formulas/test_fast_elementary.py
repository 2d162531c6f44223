"""exp, log and their like of ``csrc/common/fast_elementary.h``: relative errors, with the largest errors that a GPU's
approximate functions may have."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from python_tests.formulas import fast

COUNT = 200_000
NORMAL = np.finfo(np.float32).tiny


@pytest.fixture(autouse=True, params=(0b0000, 0b0101, 0b1010, 0b1111, 16, 17))
def signs(request: pytest.FixtureRequest) -> Iterator[None]:
    fast.set_signs(request.param)
    yield
    fast.set_signs(0)


def sized(low: float, high: float) -> np.ndarray:
    """Positive numbers of every size between two bounds."""
    random = np.random.default_rng(0)
    return np.exp(random.uniform(np.log(low), np.log(high), COUNT)).astype(np.float32)


def exponents() -> np.ndarray:
    return np.r_[-sized(1e-12, 87), 0].astype(np.float32)


def relative(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return np.abs(found - wanted) / np.abs(wanted)


def test_exp() -> None:
    x = exponents()
    exact = np.exp(x.astype(float))
    assert relative(fast.single.exp_nonpositive(x), exact).max() <= 3 * 2.0**-23
    assert (relative(fast.half.exp_nonpositive(x), exact) <= (2 + 2 * np.abs(x)) * 2.0**-22).all()


@pytest.mark.parametrize("math", [fast.single, fast.half], ids=["single", "half"])
def test_exp_at_the_ends(math: object) -> None:
    assert (math.exp_nonpositive(np.float32([0, -0.0])) == 1).all()
    assert (math.exp_nonpositive(np.float32([-88, -104, -1e4, -3e38, -np.inf])) == 0).all()
    assert np.isnan(math.exp_nonpositive(np.float32(np.nan)))


def test_reciprocal() -> None:
    x = sized(1e-37, 1e37)
    exact = 1 / x.astype(float)
    assert relative(fast.single.reciprocal(x), exact).max() <= 2.0**-23
    assert relative(fast.half.reciprocal(x), exact).max() <= 2.0**-22


def test_log() -> None:
    x = sized(2 * NORMAL, 1)
    exact = np.log(x.astype(float))
    error = np.abs(fast.half.log_positive(x) - exact)
    assert (error <= (2 + 2 * np.abs(exact)) * 2.0**-22).all()
    assert (np.abs(fast.single.log_positive(x) - exact) <= 2 * np.spacing(np.abs(exact).astype(np.float32))).all()


def test_log_of_a_ratio() -> None:
    w = np.r_[sized(1e-30, 1 / 3), -sized(1e-30, 1 / 3)]
    exact = 2 * np.arctanh(w.astype(float))
    assert relative(fast.single.log_ratio(w), exact).max() <= 2 * 2.0**-23
    assert relative(fast.half.log_ratio(w), exact).max() <= 2.0**-16


@pytest.mark.parametrize("math", [fast.single, fast.half], ids=["single", "half"])
def test_root_and_power(math: object) -> None:
    x = sized(2 * NORMAL, 1)
    assert relative(math.root(x), np.sqrt(x.astype(float))).max() <= 2 * 2.0**-23
    for y in (0.15, 0.25, 0.85, 2.5):
        exact = x.astype(float) ** float(np.float32(y))
        large = exact > 10 * NORMAL
        bound = 2 * 2.0**-23 if math is fast.single else (2 + y + 2 * np.abs(np.log(exact))) * 2.0**-22
        assert (relative(math.power(x, np.float32(y)), exact) <= bound)[large].all()
