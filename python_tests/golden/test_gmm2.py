"""Golden set ``gmm2``: scikit-learn's mixtures in float32 and float64, and the same EM in 80-bit arithmetic.

In ``stable`` segments all three agree in labels, iterations and positives, no posterior is within 1e-5 of 1/2, and the
two highest likelihoods are clearly different. There our results have to be equal. In other segments rounding decides;
the number of our differences from the 80-bit EM is bounded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch

from colad_ops import GaussianMixture2, gmm_em
from python_tests.golden import golden_sets
from python_tests.golden.golden_table import Recording

SET = "gmm2/gmm2.npz"
COVARIANCES = pytest.mark.parametrize("covariance", ["diag", "spherical", "tied", "full"])


@functools.lru_cache
def arrays() -> dict[str, np.ndarray]:
    return golden_sets.load(SET)


@functools.lru_cache
def fit(covariance: str) -> GaussianMixture2:
    values, offsets = torch.from_numpy(arrays()["x"]), torch.from_numpy(arrays()["offsets"]).long()
    return GaussianMixture2(*(result.numpy() for result in gmm_em(values, offsets, covariance=covariance)))


def exact(covariance: str) -> str:
    return "exact_tied" if covariance == "tied" else "exact"


def each_segment(result: Callable[[slice], object]) -> np.ndarray:
    offsets = arrays()["offsets"]
    return np.array([result(slice(start, end)) for start, end in zip(offsets[:-1], offsets[1:])])


def num_pos(mixture: GaussianMixture2) -> np.ndarray:
    """Positives in mmdetection's split: all component-0 samples up to the one of highest likelihood."""

    def of_segment(at: slice) -> int:
        cheap = mixture.log_likelihood[at][mixture.labels[at] == 0]
        return int(cheap.argmax()) + 1 if len(cheap) else 0

    return each_segment(of_segment)


def differs(mixture: GaussianMixture2, reference: str) -> np.ndarray:
    """``(G,)`` bool: labels, number of iterations or number of positives differ."""
    labels = each_segment(lambda at: (mixture.labels[at] != arrays()[f"{reference}_labels"][at]).any())
    return (
        labels
        | (mixture.n_iter != arrays()[f"{reference}_n_iter"])
        | (num_pos(mixture) != arrays()[f"{reference}_num_pos"])
    )


@COVARIANCES
def test_every_array(covariance: str) -> None:
    """Decisions are equal on stable segments. Values are compared where the precisions of the recordings differ by less
    than 1e-3; the relative tolerance is 1e-4 plus ten times this difference."""
    mixture, stable, spread = fit(covariance), arrays()[f"{covariance}_stable"], arrays()[f"{covariance}_score_spread"]
    meaningful = stable & (spread < 1e-3)
    assert stable.mean() > 0.5 and meaningful.mean() > 0.5
    of_value = np.repeat(np.arange(len(spread)), np.diff(arrays()["offsets"]))
    keys = [key for key in arrays() if key.startswith((f"{covariance}_", f"{exact(covariance)}_"))]
    if covariance != "tied":
        keys = [key for key in keys if not key.startswith("exact_tied")]
    record = Recording("gmm2", f"covariance={covariance}", SET, {key: arrays()[key] for key in keys})
    record.leave(*(key for key in keys if key.endswith(("_same3", "_gap", "_stable", "_spread", "_margin"))))
    # The lower bound is the mean log-likelihood at the stop; gmm_em returns the log-likelihood of each sample.
    record.leave(*(key for key in keys if key.endswith("_lower_bound")))
    found = {"weights": mixture.weights, "means": mixture.means, "vars": mixture.variances}
    for reference in (f"{covariance}_f32", f"{covariance}_f64", exact(covariance)):
        raised = arrays().get(f"{reference}_raised", np.zeros(len(stable), dtype=bool))
        options = {"reason": f"on unstable segments, of {reference}"}
        for key, values in (
            ("n_iter", mixture.n_iter),
            ("converged", mixture.converged),
            ("num_pos", num_pos(mixture)),
        ):
            record.same(
                f"{reference}_{key}", np.where(raised, arrays()[f"{reference}_{key}"], values), stable, **options
            )
        labels = np.where(raised[of_value], arrays()[f"{reference}_labels"], mixture.labels)
        record.same(f"{reference}_labels", labels, stable[of_value], **options)
        if reference != exact(covariance):
            assert not (raised & stable).any()
            record.leave(f"{reference}_raised")
            warned = np.where(raised, arrays()[f"{reference}_warned"], ~mixture.converged)
            record.same(f"{reference}_warned", warned, stable, **options)
        for key, values in found.items():
            record.near(f"{reference}_{key}", values, rtol=1e-4, atol=10 * spread[:, None], where=meaningful[:, None])
        scores = {"rtol": 1e-4, "atol": 10 * spread[of_value], "where": meaningful[of_value]}
        record.near(f"{reference}_scores", mixture.log_likelihood, **scores)
    record.complete()


@COVARIANCES
def test_segments_on_which_scikit_learn_raises_are_fitted(covariance: str) -> None:
    """The float32 fits of scikit-learn raise where the second moment cancels. Our fit is finite there and equals
    scikit-learn's float64 fit."""
    raised, mixture = arrays()[f"{covariance}_f32_raised"], fit(covariance)
    for result in (mixture.weights, mixture.means, mixture.variances, mixture.log_likelihood, mixture.responsibility):
        assert np.isfinite(result).all()
    different = raised & differs(mixture, f"{covariance}_f64") & differs(mixture, exact(covariance))
    assert different.sum() <= 0.05 * raised.sum()


@COVARIANCES
def test_only_ties_differ_from_exact_arithmetic(covariance: str) -> None:
    """For all segments: iterations differ only where a change is at the tolerance, labels only where a posterior is
    1/2, and positives only in these cases or where likelihoods are equal."""
    mixture, reference = fit(covariance), exact(covariance)
    labels = each_segment(lambda at: (mixture.labels[at] != arrays()[f"{reference}_labels"][at]).any())
    iterations = mixture.n_iter != arrays()[f"{reference}_n_iter"]
    positives = num_pos(mixture) != arrays()[f"{reference}_num_pos"]
    stops_at_tolerance = arrays()[f"{reference}_tol_margin"] < 1e-8
    undecided = arrays()[f"{reference}_posterior_margin"] < 1e-8
    equal_likelihoods = arrays()[f"{covariance}_top_score_gap"] < 1e-8
    assert not (iterations & ~stops_at_tolerance).any()
    assert not (labels & ~undecided & ~iterations).any()
    assert not (positives & ~equal_likelihoods & ~labels & ~iterations).any()
    assert labels.mean() < 0.02 and iterations.mean() < 0.01 and positives.mean() < 0.15
