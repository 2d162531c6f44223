"""The focal loss and the focal Kullback-Leibler loss and their derivatives in 150 digits of mpmath, and numbers to test
them on."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import mpmath
import numpy as np
import pytest

DIGITS = 150
STEP = mpmath.mpf(10) ** -30  # step of the central differences; their error is of order 1e-60
LOGITS = (-1e4, -1000, -104, -90, -50, -20, -10, -3, -1, -0.1, 0, 1e-4, 0.5, 2, 7, 16, 30, 88, 100, 745, 1e4)
APART = (0, 1e-7, -1e-5, 1e-3, 0.01, -0.05, 0.1)  # relative differences of a student's logit from the teacher's
PROBABILITIES = (0, 1, 0.5, 0.25, 1e-3, 1e-10, 1e-30, 0.999, 1 - 1e-6, 0.731)
GAMMAS = (0, 0.3, 0.5, 1, 2)
EVERY_GAMMA = pytest.mark.parametrize("gamma", GAMMAS)


def underflow(dtype: type) -> float:
    """A result below this counts as 0, because the square of a difference in its formula is denormal."""
    return 1e-24 if dtype is np.float32 else 1e-100


def sigmoid(x: mpmath.mpf) -> mpmath.mpf:
    return 1 / (1 + mpmath.exp(-x))


def real(x: np.floating) -> mpmath.mpf:
    return mpmath.mpf(float(x))


def exact_focal(x: mpmath.mpf, target: bool, alpha: float, gamma: float) -> mpmath.mpf:
    """Lin et al. 2017, equation (5), from the probability of the correct answer."""
    right = sigmoid(x if target else -x)
    wrong = sigmoid(-x if target else x)
    factor = 1 if alpha < 0 else (mpmath.mpf(alpha) if target else 1 - mpmath.mpf(alpha))
    return -factor * wrong ** mpmath.mpf(gamma) * mpmath.log(right)


class ExactFocalKl:
    """Equation (1) of the LAD paper for one student logit. Its results serve for any gamma and smoothing.

    The loss does not change if both probabilities are replaced by their complements. This is done where the teacher's
    probability is above 1/2, so that no number rounds to 1.
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
            return 0.0  # the minimum, where the central difference has an error of its own
        up, down = (self._weighted(*at, gamma, smooth) for at in (self.up, self.down))
        return float(self.sign * (up - down) / (2 * STEP))

    def condition(self) -> float:
        """Condition number: relative change of p_s - p_t for a relative change of one of the probabilities."""
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


@lru_cache
def exact_focal_kl(
    dtype: type, teacher_is_logit: bool, gamma: float, smooth: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Losses, derivatives and condition numbers of :func:`focal_kl_cases`."""
    cases = focal_kl_cases(dtype, teacher_is_logit)[2]
    with mpmath.workdps(DIGITS):
        loss, derivative = (
            np.array([getattr(case, name)(gamma, smooth) for case in cases]) for name in ("loss", "derivative")
        )
        return loss, derivative, np.array([case.condition() for case in cases])


def assert_focal_kl_is_exact(formulas: Any, dtype: type, gamma: float, smooth: float, teacher_is_logit: bool) -> None:
    """The error bounds of the focal-KL loss and its derivative. ``formulas`` has ``focal_kl_loss`` and
    ``focal_kl_derivative``.

    Every result is exact to a few roundings of max(1, |result|). Small results are also exact, up to two errors. One
    rounding of each probability changes their difference. And KL, which is of second order in this difference, has
    cancellation: |logit| roundings times the square of the condition number, up to where the series is used (a tenth of
    the probability, in float64 a hundredth).
    """
    student, teacher, _ = focal_kl_cases(dtype, teacher_is_logit)
    loss, derivative, condition = exact_focal_kl(dtype, teacher_is_logit, float(dtype(gamma)), float(dtype(smooth)))
    arguments = (student, teacher, np.full(student.shape, teacher_is_logit), dtype(gamma), dtype(smooth))
    for found, wanted in (
        (formulas.focal_kl_loss(*arguments), loss),
        (formulas.focal_kl_derivative(*arguments), derivative),
    ):
        eps, error = np.finfo(dtype).eps, np.abs(found - wanted)
        assert np.isfinite(found).all()
        assert (error <= 8 * eps * np.maximum(1, np.abs(wanted))).all()
        cancelled = np.minimum(condition, 10 if dtype is np.float32 else 100) ** 2 * (1 + np.abs(student))
        relative = eps * (16 + 4 * (gamma + 2) * condition + 2 * cancelled)
        meant = relative < 0.01  # above this, the inputs do not determine the difference of the probabilities
        assert meant.mean() > 0.75
        assert (error <= relative * np.abs(wanted) + underflow(dtype))[meant].all()
