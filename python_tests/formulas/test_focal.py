"""The focal and the focal Kullback-Leibler loss and their derivatives, against 150 digits of mpmath."""

from __future__ import annotations

from functools import lru_cache

import mpmath
import numpy as np
import pytest
from formulas import PRECISIONS, of

DIGITS = 150
STEP = mpmath.mpf(10) ** -30  # of central differences: their error is of order 1e-60
LOGITS = (-1e4, -1000, -104, -90, -50, -20, -10, -3, -1, -0.1, 0, 1e-4, 0.5, 2, 7, 16, 30, 88, 100, 745, 1e4)
APART = (0, 1e-7, -1e-5, 1e-3, 0.01, -0.05, 0.1)  # relative, of a student's logit from the teacher's
PROBABILITIES = (0, 1, 0.5, 0.25, 1e-3, 1e-10, 1e-30, 0.999, 1 - 1e-6, 0.731)
GAMMAS = (0, 0.3, 0.5, 1, 2)

EVERY_GAMMA = pytest.mark.parametrize("gamma", GAMMAS)


def underflow(dtype: type) -> float:
    """Below this a result counts as 0: the square of a difference, in it, is denormal there."""
    return 1e-24 if dtype is np.float32 else 1e-100


def sigmoid(x: mpmath.mpf) -> mpmath.mpf:
    return 1 / (1 + mpmath.exp(-x))


def real(x: np.floating) -> mpmath.mpf:
    return mpmath.mpf(float(x))


@PRECISIONS
@pytest.mark.parametrize("name", ["sigmoid", "softplus"])
def test_sigmoid_and_softplus_keep_all_digits(dtype: type, name: str) -> None:
    x = np.array(LOGITS, dtype=dtype)
    with mpmath.workdps(DIGITS):
        exact = {"sigmoid": sigmoid, "softplus": lambda v: mpmath.log1p(mpmath.exp(v))}[name]
        wanted = [float(exact(real(v))) for v in x]
    np.testing.assert_allclose(getattr(of(dtype), name)(x), wanted, rtol=4 * np.finfo(dtype).eps, atol=underflow(dtype))


def exact_focal(x: mpmath.mpf, target: bool, alpha: float, gamma: float) -> mpmath.mpf:
    """Lin et al. 2017, equation (5), of the probability of being right."""
    right = sigmoid(x if target else -x)
    wrong = sigmoid(-x if target else x)
    factor = 1 if alpha < 0 else (mpmath.mpf(alpha) if target else 1 - mpmath.mpf(alpha))
    return -factor * wrong ** mpmath.mpf(gamma) * mpmath.log(right)


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
    # 1 - p rounds, where p is small and the class is the target's complement: absolute too.
    np.testing.assert_allclose(
        loss, wanted, rtol=16 * np.finfo(dtype).eps, atol=4 * np.finfo(dtype).eps ** max(gamma, 1)
    )


class ExactFocalKl:
    """Equation (1) of the LAD paper for one student logit, from which any gamma and smoothing follow.

    Both probabilities may be replaced by their complements; done where the teacher's is above 1/2, so that nothing
    rounds to 1.
    """

    def __init__(self, student: float, teacher: float, teacher_is_logit: bool) -> None:
        x, t = mpmath.mpf(student), mpmath.mpf(teacher)
        if t > (0 if teacher_is_logit else mpmath.mpf(0.5)):
            x, t, self.sign = -x, (-t if teacher_is_logit else 1 - t), -1
        else:
            self.sign = 1
        self.q = sigmoid(t) if teacher_is_logit else t
        self.here, self.up, self.down = (self._difference_and_kl(v) for v in (x, x + STEP, x - STEP))
        self.p = sigmoid(x)

    def _difference_and_kl(self, x: mpmath.mpf) -> tuple[mpmath.mpf, mpmath.mpf]:
        q, p = self.q, sigmoid(x)
        kl = (q * mpmath.log(q / p) if q else 0) + (1 - q) * (mpmath.log1p(-q) - mpmath.log(sigmoid(-x)))
        return p - q, kl

    @staticmethod
    def _weighted(difference: mpmath.mpf, kl: mpmath.mpf, gamma: float, smooth: float) -> mpmath.mpf:
        base = difference**2 + mpmath.mpf(smooth)
        return kl if gamma == 0 else (base ** (mpmath.mpf(gamma) / 2) * kl if base else mpmath.mpf(0))

    def loss(self, gamma: float, smooth: float) -> float:
        return float(self._weighted(*self.here, gamma, smooth))

    def derivative(self, gamma: float, smooth: float) -> float:
        if self.here[0] == 0:
            return 0.0  # the minimum, where a central difference leaves a remainder of its own
        up, down = (self._weighted(*at, gamma, smooth) for at in (self.up, self.down))
        return float(self.sign * (up - down) / (2 * STEP))

    def condition(self) -> float:
        """Relative change of p_s - p_t by one of the probabilities'."""
        difference = self.here[0]
        return float(max(self.p, self.q) / abs(difference)) if difference else 0.0


@lru_cache
def focal_kl_cases(dtype: type, teacher_is_logit: bool) -> tuple[np.ndarray, np.ndarray, list[ExactFocalKl]]:
    if teacher_is_logit:
        pairs = [(x, z) for x in LOGITS for z in LOGITS] + [(z + e * max(1, abs(z)), z) for z in LOGITS for e in APART]
    else:
        pairs = [(x, q) for x in LOGITS for q in PROBABILITIES]
    student, teacher = (np.array(column, dtype=dtype) for column in zip(*pairs))
    with mpmath.workdps(DIGITS):
        return student, teacher, [ExactFocalKl(float(x), float(t), teacher_is_logit) for x, t in zip(student, teacher)]


@PRECISIONS
@EVERY_GAMMA
@pytest.mark.parametrize("smooth", [0.0, 1e-6])
@pytest.mark.parametrize("teacher_is_logit", [True, False], ids=["logit", "probability"])
def test_focal_kl_loss_and_derivative(dtype: type, gamma: float, smooth: float, teacher_is_logit: bool) -> None:
    """Logits of +-1e4, teachers of 0 and 1, teacher and student apart by all, little and nothing.

    Wanted: every result to a few roundings of max(1, |result|). And small results too, but for what one rounding of
    each probability does to their difference, and for the cancellation in KL, which is of second order in that
    difference: |logit| roundings times the square of the condition, up to where the series takes over (a tenth, in
    float64 a hundredth of the probability).
    """
    student, teacher, cases = focal_kl_cases(dtype, teacher_is_logit)
    options = (float(dtype(gamma)), float(dtype(smooth)))
    with mpmath.workdps(DIGITS):
        loss, derivative = (
            np.array([getattr(case, name)(*options) for case in cases]) for name in ("loss", "derivative")
        )
        condition = np.array([case.condition() for case in cases])
    arguments = (student, teacher, np.full(student.shape, teacher_is_logit), dtype(gamma), dtype(smooth))
    for found, wanted in (
        (of(dtype).focal_kl_loss(*arguments), loss),
        (of(dtype).focal_kl_derivative(*arguments), derivative),
    ):
        eps, error = np.finfo(dtype).eps, np.abs(found - wanted)
        assert np.isfinite(found).all()
        assert (error <= 8 * eps * np.maximum(1, np.abs(wanted))).all()
        cancelled = np.minimum(condition, 10 if dtype is np.float32 else 100) ** 2 * (1 + np.abs(student))
        relative = eps * (16 + 4 * (gamma + 2) * condition + 2 * cancelled)
        meant = relative < 0.01  # beyond, the inputs do not say how far apart the probabilities are
        assert meant.mean() > 0.75
        assert (error <= relative * np.abs(wanted) + underflow(dtype))[meant].all()


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
