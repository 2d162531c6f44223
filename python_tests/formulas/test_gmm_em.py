"""The two-component mixture against scikit-learn in float64 and against 60 digits of mpmath."""

from __future__ import annotations

from dataclasses import dataclass

import mpmath
import numpy as np
import pytest
import scipy.special
import scipy.stats

from python_tests import formulas
from python_tests.support.sklearn_mixture import REG_COVAR, fit_sklearn, stops_clearly

COVARIANCES = pytest.mark.parametrize("covariance", ["full", "tied"])


@dataclass
class Fit:
    weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray
    n_iter: int
    converged: bool

    @classmethod
    def of(cls, values: np.ndarray, covariance: str = "full", **options: float) -> Fit:
        weights, means, variances, n_iter, converged = formulas.compiled.fit_mixture(
            values.tolist(), covariance == "tied", **options
        )
        return cls(np.array(weights), np.array(means), np.array(variances), n_iter, converged)

    def score(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Responsibility of component 0, log-likelihood, label of each value."""
        rows = [formulas.compiled.score_value(x, self.weights, self.means, self.variances) for x in values.tolist()]
        return tuple(np.array(column) for column in zip(*rows))


def segments(rng: np.random.Generator, count: int) -> list[np.ndarray]:
    """Costs as from a detector, two groups, one group, evenly spread, one outlier, two close values, far from 0; in any
    order."""
    families = [
        lambda n: rng.gamma(4, 0.5, n) + 0.3,
        lambda n: np.where(rng.random(n) < 0.4, rng.normal(0.8, 0.2, n), rng.normal(2.5, 0.4, n)),
        lambda n: rng.normal(2, 0.3, n),
        lambda n: rng.uniform(0, 3, n),
        lambda n: np.append(rng.normal(1, 0.05, n - 1), rng.uniform(3, 9)),
        lambda n: rng.choice([1.0, 1.25], n) + rng.normal(0, 0.01, n),
        lambda n: 50 + rng.exponential(2, n),
    ]
    lengths = [*range(2, 46), 64, 100, 300]
    return [families[i % len(families)](lengths[i % len(lengths)]) for i in range(count)]


@COVARIANCES
def test_equals_sklearn_in_float64(covariance: str) -> None:
    """Iterations are equal if no change is within 1e-8 of the tolerance. Labels are equal if the posterior is not
    within 1e-7 of 1/2.

    scikit-learn computes the tied variance as a difference of second moments. The tolerance of values contains the
    rounding of this difference, relative to the variance.
    """
    every_segment = segments(np.random.default_rng(0), 420)
    clear = 0
    for values in every_segment:
        sklearn, ours = fit_sklearn(values, covariance), Fit.of(values, covariance)
        if not stops_clearly(sklearn):
            continue
        clear += 1
        assert (ours.n_iter, ours.converged) == (sklearn.n_iter_, sklearn.converged_)
        cancelled = (
            16 * np.finfo(np.float64).eps * np.square(values).max() / ours.variances.min()
            if covariance == "tied"
            else 0
        )
        close = 1e-7 + cancelled
        np.testing.assert_allclose(ours.weights, sklearn.weights_, rtol=close)
        np.testing.assert_allclose(ours.means, sklearn.means_[:, 0], rtol=close)
        np.testing.assert_allclose(ours.variances, np.broadcast_to(sklearn.covariances_.ravel(), 2), rtol=close)
        posterior, log_likelihood, labels = ours.score(values)
        np.testing.assert_allclose(log_likelihood, sklearn.score_samples(values[:, None]), rtol=close, atol=close)
        np.testing.assert_allclose(posterior, sklearn.predict_proba(values[:, None])[:, 0], atol=close)
        certain = np.abs(posterior - 0.5) > close
        np.testing.assert_array_equal(labels[certain], sklearn.predict(values[:, None])[certain])
    assert clear > 0.98 * len(every_segment)


def exact_fit(values: np.ndarray, iterations: int, tied: bool) -> tuple[list[float], list[float], list[float]]:
    """The given number of iterations of the algorithm in scikit-learn's documentation, in 60 digits."""
    with mpmath.workdps(60):
        x = [mpmath.mpf(v) for v in values.tolist()]
        weights, means, variances = [mpmath.mpf(0.5)] * 2, [min(x), max(x)], [mpmath.mpf(1)] * 2
        for _ in range(iterations):
            density = [
                [
                    w * mpmath.exp(-((v - m) ** 2) / (2 * s)) / mpmath.sqrt(2 * mpmath.pi * s)
                    for w, m, s in zip(weights, means, variances)
                ]
                for v in x
            ]
            share = [[d / sum(row) for d in row] for row in density]
            mass = [sum(row[k] for row in share) + 10 * mpmath.mpf(2) ** -52 for k in range(2)]
            means = [sum(row[k] * v for row, v in zip(share, x)) / mass[k] for k in range(2)]
            scatter = [sum(row[k] * (v - means[k]) ** 2 for row, v in zip(share, x)) for k in range(2)]
            variances = [
                (sum(scatter) / sum(mass) if tied else scatter[k] / mass[k]) + mpmath.mpf(REG_COVAR) for k in range(2)
            ]
            weights = [m / sum(mass) for m in mass]
        return tuple([float(v) for v in values] for values in (weights, means, variances))


@COVARIANCES
@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
def test_small_variances_far_from_zero_do_not_cancel(covariance: str, offset: float) -> None:
    """At 1e6 with a spread of 0.01, E[x^2] - E[x]^2 in float64 would have no correct digit."""
    rng = np.random.default_rng(1)
    values = offset + np.concatenate([rng.normal(0, 0.01, 12), rng.normal(1, 0.02, 9)])
    ours = Fit.of(values, covariance)
    weights, means, variances = exact_fit(values, ours.n_iter, covariance == "tied")
    assert ours.converged
    np.testing.assert_allclose(ours.weights, weights, rtol=1e-6)
    np.testing.assert_allclose(ours.means, means, rtol=1e-12)
    np.testing.assert_allclose(ours.variances, variances, rtol=1e-5)
    assert (ours.score(values)[2] == (values > offset + 0.5)).all()


@COVARIANCES
def test_random_segments_follow_the_exact_iteration(covariance: str) -> None:
    for values in segments(np.random.default_rng(2), 21):
        ours = Fit.of(values, covariance)
        weights, means, variances = exact_fit(values, ours.n_iter, covariance == "tied")
        np.testing.assert_allclose(ours.weights, weights, rtol=1e-8)
        np.testing.assert_allclose(ours.means, means, rtol=1e-9)
        np.testing.assert_allclose(ours.variances, variances, rtol=1e-7)


@COVARIANCES
@pytest.mark.parametrize("count", [1, 2, 7])
def test_equal_values_give_one_component(covariance: str, count: int) -> None:
    values = np.full(count, 1.7)
    ours = Fit.of(values, covariance)
    assert ours.means[0] == ours.means[1] and ours.means[0] == pytest.approx(1.7, rel=1e-14)
    assert ours.weights.tolist() == [0.5, 0.5]
    np.testing.assert_allclose(ours.variances, REG_COVAR, rtol=1e-6)
    # Iteration 1 reduces the variance from 1, iteration 2 sees the changed likelihood, iteration 3 sees no change.
    assert (ours.n_iter, ours.converged) == (3, True)
    assert ours.score(values)[2].tolist() == [0] * count


@COVARIANCES
def test_no_values_have_no_mixture(covariance: str) -> None:
    ours = Fit.of(np.zeros(0), covariance)
    assert np.isnan([ours.weights, ours.means, ours.variances]).all()
    assert (ours.n_iter, ours.converged) == (0, False)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_end_the_fit_at_once(wrong: float) -> None:
    ours = Fit.of(np.array([0.5, 1.0, wrong, 3.0]))
    assert np.isnan([ours.weights, ours.means, ours.variances]).all()
    assert (ours.n_iter, ours.converged) == (1, False)


def test_a_component_that_loses_its_density_ends_the_fit() -> None:
    """Without reg_covar the variance of a component of one value becomes 0. The next iteration has no likelihood."""
    ours = Fit.of(np.array([0.0, 0.0, 5.0]), reg_covar=0.0, tol=0.0)
    assert np.isnan([ours.weights, ours.means, ours.variances]).all()
    assert not ours.converged and 2 < ours.n_iter < 10


def test_stops_at_max_iter_and_not_before_the_second() -> None:
    values = segments(np.random.default_rng(3), 40)[36]
    assert Fit.of(values, tol=np.inf).n_iter == 2  # the first change is infinite
    assert Fit.of(values).n_iter > 3
    limited = Fit.of(values, max_iter=3)
    assert (limited.n_iter, limited.converged) == (3, False)
    np.testing.assert_allclose(limited.means, exact_fit(values, 3, tied=False)[1], rtol=1e-9)


def test_component_0_is_the_one_that_started_at_the_minimum() -> None:
    values = np.array([0.1, 0.2, 0.15, 5.0, 5.1])
    for order in (values, values[::-1], values[[3, 0, 4, 1, 2]]):
        ours = Fit.of(order)
        assert ours.means[0] < ours.means[1]
        np.testing.assert_array_equal(ours.score(order)[2], order > 1)


def test_scores_far_from_both_components_stay_finite() -> None:
    fit = Fit(np.array([0.3, 0.7]), np.array([-1.0, 2.0]), np.array([1e-6, 0.5]), 0, True)
    values = np.array([-1e6, -1.0, -0.99, 0.0, 2.0, 1e6])
    joint = np.log(fit.weights) + scipy.stats.norm.logpdf(values[:, None], fit.means, np.sqrt(fit.variances))
    posterior, log_likelihood, labels = fit.score(values)
    np.testing.assert_allclose(log_likelihood, scipy.special.logsumexp(joint, axis=1), rtol=1e-13)
    np.testing.assert_allclose(posterior, scipy.special.softmax(joint, axis=1)[:, 0], rtol=1e-9, atol=1e-300)
    np.testing.assert_array_equal(labels, joint.argmax(axis=1))


def test_a_tie_of_the_components_is_label_0() -> None:
    fit = Fit(np.array([0.5, 0.5]), np.array([1.0, 3.0]), np.array([0.25, 0.25]), 0, True)
    posterior, _, labels = fit.score(np.array([2.0, np.nextafter(2.0, 3.0) + 1e-12]))
    assert posterior[0] == 0.5 and labels.tolist() == [0, 1]
