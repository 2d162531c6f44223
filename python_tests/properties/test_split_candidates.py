"""Laws of split_candidates.

Results are equal bit for bit, except where a comment gives a reason.
"""

from __future__ import annotations

import dataclasses

import torch
from hypothesis import given
from hypothesis import strategies as st

from colad_ops import AssignConfig, gmm_em, split_candidates
from python_tests.support.op_contract import assert_same
from python_tests.support.strategies import (
    CLASSES,
    batches,
    configs,
    generators,
    laws,
)


@st.composite
def candidates(draw: st.DrawFn) -> tuple:
    """Arguments of split_candidates before the config: any matches, and several kinds of costs: ties, all equal, nearly
    equal, huge, and most in a tight cluster (so the cheapest candidate may be in component 1). Some costs are NaN or
    infinite; these anchors are not candidates."""
    batch = draw(batches(min_images=1))
    generator = draw(generators())
    begins, objects = batch.gt_offsets[:-1, None], batch.gt_offsets.diff()[:, None]
    cost, share, tight, pick = torch.rand(4, batch.images, len(batch.anchors), generator=generator)
    row = begins + (pick * objects).long().clamp(max=objects - 1)
    matched = torch.where((share > 0.3) & (objects > 0), row, torch.where(share > 0.15, -2, -1))
    kind = draw(st.sampled_from(["tight", "apart", "ties", "equal", "near", "huge"]))
    cost = {
        "tight": torch.where(tight < 0.6, 1 + 0.01 * cost, 3 * cost),
        "apart": 3 * cost,
        "ties": (4 * cost).floor(),
        "equal": torch.full_like(cost, 0.7),
        "near": 1 + 1e-6 * cost,
        "huge": 1e30 * cost,
    }[kind]
    spoilt = torch.rand(cost.shape, generator=generator)
    cost = torch.where(spoilt < 0.05, torch.nan, torch.where(spoilt > 0.95, torch.inf, cost))
    return cost, matched, batch.level_sizes, batch.gt_boxes, batch.gt_labels, batch.gt_offsets


@laws(150)
@given(candidates(), configs(single_candidate="keep", no_component0="all", prefix=True) | st.just(AssignConfig()))
def test_an_object_with_a_candidate_has_a_positive_and_its_cheapest_is_one(candidates, config):
    cost, matched, _, gt_boxes, *_ = candidates
    result = split_candidates(*candidates, config)
    for row in range(len(gt_boxes)):
        of_row = ((matched == row) & cost.isfinite()).nonzero()  # in anchor order, so argmin is the first of equals
        assert (result.num_pos[row] > 0) == (len(of_row) > 0)
        if len(of_row) > 0:
            cheapest = of_row[cost[tuple(of_row.T)].argmin()]
            assert result.matched[tuple(cheapest)] == row


@laws(150)
@given(candidates(), configs())
def test_positives_are_candidates_and_are_counted(candidates, config):
    cost, matched, level_sizes, gt_boxes, gt_labels, _ = candidates
    result = split_candidates(*candidates, config)
    positive, ignored = result.matched >= 0, result.matched == -2
    candidate = (matched >= 0) & cost.isfinite()
    assert not (positive & ~candidate).any()
    assert_same(result.matched[positive], matched[positive])
    assert_same(result.num_pos, result.matched[positive].bincount(minlength=len(gt_boxes)))
    assert result.num_pos_total == positive.sum()
    assert (result.num_pos <= config.topk * len(level_sizes)).all()
    assert ignored[matched == -2].all()
    assert not (ignored & (matched != -2) & ~(candidate & (config.split == "band"))).any()
    assert_same(result.cost, cost)

    labels = result.labels(CLASSES)
    assert (labels[result.matched == -1] == CLASSES).all() and (labels[ignored] == -2).all()
    assert_same(labels[positive], gt_labels[result.matched[positive]])
    assert_same(result.boxes()[positive], gt_boxes[result.matched[positive]])
    assert not result.boxes()[~positive].any()


@laws(150)
@given(candidates(), configs())
def test_splits_agree_where_they_should(candidates, config):
    peak, posterior, band = (
        split_candidates(*candidates, dataclasses.replace(config, split=split))
        for split in ("peak", "posterior", "band")
    )
    assert_same(band.matched.clamp(min=-1), peak.matched.clamp(min=-1))
    learnt_or_ignored = (band.matched >= 0) | (band.matched == -2)
    assert learnt_or_ignored[posterior.matched >= 0].all()
    assert_same(band[2:], peak[2:])  # the fit does not depend on the split
    assert_same(posterior[3:], peak[3:])
    if config.prefix:  # the cheapest of each level are positive
        cost, matched, level_sizes, *_ = candidates
        for level_cost, before, after in zip(*(x.split(level_sizes, dim=1) for x in (cost, matched, peak.matched))):
            for row in range(len(peak.num_pos)):
                rest = level_cost[(before == row) & (after != row) & level_cost.isfinite()]
                chosen = level_cost[after == row]
                assert len(rest) == 0 or len(chosen) == 0 or chosen.max() <= rest.min()


@laws()
@given(candidates(), configs())
def test_the_mixture_is_that_of_the_cheapest_of_each_level(candidates, config):
    cost, matched, level_sizes, *_ = candidates
    result = split_candidates(*candidates, config)
    for row in range(len(result.num_pos)):
        of_row = torch.where((matched == row) & cost.isfinite(), cost, torch.inf)
        cheapest = [level.sort().values[:, : config.topk].flatten() for level in of_row.split(level_sizes, dim=1)]
        values = torch.cat(cheapest).sort().values
        values = values[values.isfinite()]  # entries of other images are infinite too
        fit = gmm_em(values, torch.tensor([0, len(values)]), **config.mixture_options())
        assert_same((result.weights[row], result.means[row], result.variances[row]), [x[0] for x in fit[:3]])
