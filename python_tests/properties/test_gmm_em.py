"""Laws of gmm_em.

Results are equal bit for bit, except where a comment gives a reason.
"""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from colad_ops import (
    gmm_em,
)
from python_tests.properties.options import MIXTURES
from python_tests.support.op_contract import assert_same
from python_tests.support.strategies import generators, laws


@st.composite
def segments(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Values and offsets: segments of 0, 1, many values; two clusters, ties, all equal, scales far apart."""
    generator = draw(generators())
    pieces = []
    for kind in draw(st.lists(st.sampled_from(["clusters", "ties", "equal", "small", "large"]), max_size=5)):
        count = draw(st.sampled_from([0, 1, 2, 9, 27]))
        values = torch.rand(count, generator=generator, dtype=torch.float64)
        second = 2.0 * (torch.rand(count, generator=generator) < 0.5)
        pieces.append(
            {
                "clusters": values + second,
                "ties": (3 * values).floor(),
                "equal": torch.full_like(values, 0.7),
                "small": 1 + 1e-6 * values,
                "large": 1e6 * values,
            }[kind]
        )
    ends = torch.tensor([0, *map(len, pieces)]).cumsum(0)
    return torch.cat([torch.zeros(0, dtype=torch.float64), *pieces]), ends


@laws(150)
@given(segments(), MIXTURES)
def test_mixture_parameters_are_in_range(segments, options):
    values, offsets = segments
    fit = gmm_em(values, offsets, **options)
    for g, (begin, end) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist())):
        here = slice(begin, end)
        if begin == end:
            assert fit.weights[g].isnan().all() and fit.means[g].isnan().all() and fit.variances[g].isnan().all()
            continue
        assert abs(fit.weights[g].sum() - 1) < 1e-12 and (fit.weights[g] >= 0).all()
        assert (fit.variances[g] >= options["reg_covar"]).all()
        # The mean of a component without values goes to 0: it is the sum of its values divided by a mass of 10 eps, as
        # in scikit-learn.
        lowest, highest = values[here].min().clamp(max=0), values[here].max() * (1 + 1e-12)
        assert ((fit.means[g] >= lowest) & (fit.means[g] <= highest)).all()
        r = fit.responsibility[here]
        assert ((r >= 0) & (r <= 1)).all() and (torch.where(fit.labels[here] == 0, r >= 0.5, r <= 0.5)).all()
        assert fit.n_iter[g] <= options["max_iter"] and (fit.converged[g] or fit.n_iter[g] == options["max_iter"])
        assert fit.n_iter[g] >= min(2, options["max_iter"])
        if values[here].min() == values[here].max():
            assert fit.means[g, 0] == fit.means[g, 1] and (fit.weights[g] == 0.5).all()
            assert not fit.labels[here].any()


@laws()
@given(st.data(), segments(), MIXTURES)
def test_segments_are_fitted_alone(data, segments, options):
    """Fits are the same for segments in any order, padded, or one by one."""
    values, offsets = segments
    fit = gmm_em(values, offsets, **options)
    count = len(offsets) - 1
    pieces = [values[begin:end] for begin, end in zip(offsets[:-1], offsets[1:])]
    padded = torch.full((count, 30), torch.nan, dtype=torch.float64)
    for g, piece in enumerate(pieces):
        padded[g, : len(piece)] = piece
    fit_padded = gmm_em(padded, counts=offsets.diff(), **options)
    inside = torch.arange(30) < offsets.diff()[:, None]
    order = data.draw(st.permutations(range(count)))
    moved_offsets = torch.tensor([0, *(len(pieces[g]) for g in order)]).cumsum(0)
    moved = gmm_em(torch.cat([values[:0], *(pieces[g] for g in order)]), moved_offsets, **options)
    for name in ("weights", "means", "variances", "n_iter", "converged"):
        assert_same(getattr(fit_padded, name), getattr(fit, name))
        assert_same(getattr(moved, name), getattr(fit, name)[torch.tensor(order, dtype=torch.int64)])
    for name in ("responsibility", "labels", "log_likelihood"):
        assert_same(getattr(fit_padded, name)[inside], getattr(fit, name))
        by_segment = getattr(fit, name).split(offsets.diff().tolist())
        assert_same(getattr(moved, name), torch.cat([getattr(fit, name)[:0], *(by_segment[g] for g in order)]))


@laws(150)
@given(segments(), MIXTURES)
def test_negated_values_swap_the_components(segments, options):
    """They swap bit for bit, because both components are computed in the same way. Only exact ties keep label 0."""
    values, offsets = segments
    fit, mirrored = gmm_em(values, offsets, **options), gmm_em(-values, offsets, **options)
    assert_same(mirrored.weights, fit.weights.flip(1))
    assert_same(mirrored.means, -fit.means.flip(1))
    assert_same(mirrored.variances, fit.variances.flip(1))
    assert_same((mirrored.log_likelihood, mirrored.n_iter), (fit.log_likelihood, fit.n_iter))
    both_zero = (mirrored.labels == 0) & (fit.labels == 0)
    assert_same((1 - mirrored.labels)[~both_zero], fit.labels[~both_zero])
    assert (fit.responsibility[both_zero] == 0.5).all()


@laws()
@given(generators(), st.integers(2, 40), st.integers(-1024, 1024), st.sampled_from(["full", "tied"]))
def test_mixtures_of_shuffled_and_shifted_values(generator, count, shift, covariance):
    """Sums round differently here. So the number of iterations is fixed (a stopping rule has a boundary), values lie in
    two clusters (so the fit is well conditioned), and only labels away from the boundary are compared."""
    values = torch.rand(count, generator=generator, dtype=torch.float64)
    values[1::2] += 3
    offsets = torch.tensor([0, count])
    options = {"covariance": covariance, "max_iter": 4, "tol": 0.0, "reg_covar": 1e-2}
    fit = gmm_em(values, offsets, **options)
    assert_same(fit.labels, (values > 2).long())
    order = torch.randperm(count, generator=generator)
    moved = gmm_em(values[order] + shift, offsets, **options)
    assert_same((moved.weights, moved.means - shift), (fit.weights, fit.means), atol=1e-9)
    assert_same((moved.variances, moved.log_likelihood), (fit.variances, fit.log_likelihood[order]), atol=1e-7)
    clear = (fit.responsibility[order] - 0.5).abs() > 1e-6
    assert_same(moved.labels[clear], fit.labels[order][clear])


@laws()
@given(segments(), MIXTURES, st.sampled_from([torch.float32, torch.float16, torch.bfloat16]))
def test_mixtures_of_narrow_types_are_fitted_in_double(segments, options, dtype):
    values, offsets = segments[0].clamp(max=6e4).to(dtype), segments[1]
    assert_same(gmm_em(values, offsets, **options), gmm_em(values.double(), offsets, **options))


# Losses
