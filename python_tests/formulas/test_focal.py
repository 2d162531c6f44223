"""The focal and the focal Kullback-Leibler loss and their derivatives, against 150 digits of mpmath."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from python_tests.formulas import PRECISIONS, of
from python_tests.support.exact_losses import (
    DIGITS,
    EVERY_GAMMA,
    LOGITS,
    PROBABILITIES,
    STEP,
    assert_focal_kl_is_exact,
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


@PRECISIONS
@EVERY_GAMMA
@pytest.mark.parametrize("smooth", [0.0, 1e-6])
@pytest.mark.parametrize("teacher_is_logit", [True, False], ids=["logit", "probability"])
def test_focal_kl_loss_and_derivative(dtype: type, gamma: float, smooth: float, teacher_is_logit: bool) -> None:
    """Logits of +-1e4, teachers of 0 and 1, and large, small and no difference between teacher and student."""
    assert_focal_kl_is_exact(of(dtype), dtype, gamma, smooth, teacher_is_logit)


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
