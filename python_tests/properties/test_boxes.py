"""Laws of IoU, matching and cost.

Results are equal bit for bit, except where a comment gives a reason.
"""

from __future__ import annotations

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from colad_ops import (
    aligned_box_iou,
    assign_cost,
    box_iou,
)
from python_tests.properties.options import IOU_MODES
from python_tests.support.op_contract import assert_same
from python_tests.support.property_checks import HALF_TYPES, SCALES, SHIFTS, value_and_gradients
from python_tests.support.strategies import batches, boxes_of, configs, generators, laws

COUNTS = st.integers(0, 12)


# IoU


@laws()
@given(generators(), COUNTS, COUNTS, st.booleans(), IOU_MODES)
def test_iou_is_symmetric_and_in_range(generator, n, m, exact, mode):
    a, b = (boxes_of(generator, count, exact=exact, odd=True) for count in (n, m))
    iou, values = box_iou(a, b), box_iou(a, b, mode)
    if mode != "iof":  # the distance of the centres rounds differently when the boxes are exchanged
        assert_same(box_iou(b, a, mode), values.T, atol=1e-6 if mode in ("diou", "ciou") else 0.0)
    assert_same(values.isnan(), (a.isnan().any(1)[:, None] | b.isnan().any(1)))
    values, iou = values.nan_to_num(nan=0.0), iou.nan_to_num(nan=0.0)
    rounding = 1e-6
    if mode in ("iou", "iof"):
        assert ((values >= 0) & (values <= 1)).all()
        assert (values >= iou - rounding).all()
    else:
        assert (values <= iou + rounding).all()
    if mode == "giou":
        assert (values >= -1 - rounding).all()
    boxes = a[((a[:, 2:] - a[:, :2]) > 0).all(1)]
    assert_same(aligned_box_iou(boxes, boxes, mode), torch.ones(len(boxes)))


@laws()
@given(st.data(), generators(), COUNTS, COUNTS, IOU_MODES, SHIFTS, SCALES)
def test_iou_of_moved_and_rearranged_boxes(data, generator, n, m, mode, shift, scale):
    a, b = (boxes_of(generator, count, exact=True, odd=True) for count in (n, m))
    values = box_iou(a, b, mode)
    assert_same(box_iou((a + shift) * scale, (b + shift) * scale, mode), values)
    rows, columns = torch.randperm(n, generator=generator), torch.randperm(m, generator=generator)
    assert_same(box_iou(a[rows], b[columns], mode), values[rows][:, columns])
    assert_same(aligned_box_iou(a[:, None], b[None], mode), values)
    assert_same(box_iou(torch.stack([a, a]), b, mode), torch.stack([values, values]))


@laws()
@given(generators(), COUNTS, COUNTS, IOU_MODES)
def test_iou_gradients_see_no_translation_and_no_scaling(generator, n, m, mode):
    """Euler's theorem: the value does not change along these directions, so the derivative is 0 up to rounding."""
    a, b = (boxes_of(generator, count, exact=False, odd=False).double() for count in (n, m))
    _, (grad_a, grad_b) = value_and_gradients(lambda a, b: box_iou(a, b, mode), a, b)
    total = (grad_a.sum(0) + grad_b.sum(0)).view(2, 2).sum(0)
    assert_same(total, torch.zeros(2, dtype=torch.float64), atol=1e-10)
    if mode != "ciou":  # its alpha is held constant, and it does not change along these directions either
        assert abs((grad_a * a).sum() + (grad_b * b).sum()) < 1e-9


@laws()
@given(generators(), COUNTS, IOU_MODES, HALF_TYPES)
def test_iou_of_half_types_is_rounded_once(generator, n, mode, dtype):
    a, b = (boxes_of(generator, n, exact=False, odd=True).to(dtype) for _ in range(2))
    assert_same(box_iou(a, b, mode), box_iou(a.float(), b.float(), mode).to(dtype))
    half, full = (
        value_and_gradients(lambda a, b: aligned_box_iou(a, b, mode), x, y) for x, y in ((a, b), (a.float(), b.float()))
    )
    assert_same(half, (full[0].to(dtype), tuple(grad.to(dtype) for grad in full[1])))


# Matching


@laws(150)
@given(batches(), st.sampled_from([0.0, 0.1, 0.3]), st.floats(0, 0.5))
def test_matching_by_threshold_and_low_quality(batch, threshold, step):
    """A higher threshold adds no candidate. Low-quality matches only add candidates. "all" and "own" match the same
    anchors."""
    lower, higher = (batch.match(iou_threshold=t, low_quality="none").matched for t in (threshold, threshold + step))
    assert_same(lower[higher >= 0], higher[higher >= 0])
    every, own = (batch.match(iou_threshold=threshold, low_quality=name).matched for name in ("all", "own"))
    assert_same(every >= 0, own >= 0)
    assert_same(own[lower >= 0], lower[lower >= 0])
    match = batch.match(iou_threshold=threshold)
    assert ((match.iou >= threshold) | (match.iou > 0))[match.matched >= 0].all()
    for image in range(batch.images):
        begin, end = batch.gt_offsets[image : image + 2].tolist()
        assert ((match.matched[image] < 0) | ((match.matched[image] >= begin) & (match.matched[image] < end))).all()


@laws(150)
@given(batches(), configs(claim_zero_overlap=False) | configs(claim_zero_overlap=True))
def test_matching_without_the_anchors_that_take_no_part(batch, config):
    """Anchors that are not valid are background with IoU 0, and do not change the match of the others. Crowds change
    only unmatched anchors."""
    options = config.matching_options()
    match = batch.match(**options)
    for image in range(batch.images):
        alone = batch.with_images(torch.tensor([image]))
        valid = torch.ones(len(batch.anchors), dtype=torch.bool) if batch.valid is None else batch.valid[image]
        assert (match.matched[image, ~valid] == -1).all() and (match.iou[image, ~valid] == 0).all()
        rest = alone.with_anchors(valid.nonzero()[:, 0], [int(valid.sum())]).match(**options)
        rows = torch.where(rest.matched >= 0, rest.matched + batch.gt_offsets[image], rest.matched)
        assert_same((match.matched[image, valid], match.iou[image, valid]), (rows[0], rest.iou[0]))
    without_crowds = batch.match(**{**options, "ignore_iof": math.inf})
    ignored = match.matched == -2
    assert (without_crowds.matched[ignored] == -1).all()
    assert_same(match.matched[~ignored], without_crowds.matched[~ignored])
    assert_same(match.iou, without_crowds.iou)


# Cost


@laws()
@given(batches(), configs(), st.booleans())
def test_cost_reads_matched_anchors_only(batch, config, probs):
    logits, boxes = batch.predictions[0]
    logits = logits.sigmoid() if probs else logits
    matched = batch.match(**config.matching_options()).matched
    objects, options = (batch.gt_boxes, batch.gt_labels), {"probs": probs, **config.cost_options()}
    cost = assign_cost(logits, boxes, *objects, matched, **options)
    assert (cost[matched < 0] == math.inf).all()
    assert not (cost[matched >= 0] < 0).any()
    unread = (matched < 0).unsqueeze(-1)
    spoilt = [torch.where(unread, torch.nan, x) for x in (logits, boxes)]
    assert_same(assign_cost(*spoilt, *objects, matched, **options), cost)
    levels = [[v.mT.contiguous().mT for v in x.split(batch.level_sizes, dim=1)] for x in (logits, boxes)]
    assert_same(assign_cost(*levels, *objects, matched, **options), cost)
    # With the classes renumbered, the focal losses are added in another order.
    new_label = torch.tensor([2, 0, 1])
    moved = logits[..., new_label.argsort()]
    relabelled = assign_cost(moved, boxes, batch.gt_boxes, new_label[batch.gt_labels], matched, **options)
    assert_same(relabelled, cost, rtol=1e-6, atol=1e-6)


# Mixtures
