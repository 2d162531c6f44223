"""Laws of suppression and score voting.

Results are equal bit for bit, except where a comment gives a reason.
"""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from colad_ops import (
    batched_nms,
    box_iou,
    score_voting,
)
from python_tests.support.op_contract import assert_same
from python_tests.support.property_checks import HALF_TYPES, SCALES, SHIFTS
from python_tests.support.strategies import boxes_of, generators, laws

COUNTS = st.integers(0, 12)


@st.composite
def detections(draw: st.DrawFn, *, ties: bool = True, exact: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes, scores (with ties on request), labels of 3 classes."""
    generator = draw(generators())
    count = draw(st.integers(0, 30))
    scores = torch.randperm(count, generator=generator) / 32
    if ties:
        scores = (8 * scores).floor() / 8
    labels = torch.randint(0, draw(st.integers(1, 3)), (count,), generator=generator)
    return boxes_of(generator, count, exact=exact, odd=True), scores, labels


THRESHOLDS = st.sampled_from([-1.0, 0.0, 0.25, 0.5, 0.75, 1.0])


@laws(150)
@given(detections(), THRESHOLDS)
def test_nms_keeps_what_nothing_better_suppresses(detections, threshold):
    """Together these laws allow only one result: kept boxes do not suppress each other, and every dropped box is
    suppressed by a kept box before it."""
    boxes, scores, labels = detections
    keep = batched_nms(*detections, threshold)
    by_score = torch.argsort(scores, descending=True, stable=True)
    place = by_score.argsort()
    assert (place[keep].diff() > 0).all()  # by score, ties by the lower row; none twice
    suppressed = (box_iou(boxes, boxes) > threshold) & (labels[:, None] == labels) & (place[:, None] < place)
    assert not suppressed[keep][:, keep].any()
    dropped = torch.ones(len(boxes), dtype=torch.bool)
    dropped[keep] = False
    assert suppressed[keep][:, dropped].any(0).all()
    assert_same(batched_nms(boxes[keep], scores[keep], labels[keep], threshold), torch.arange(len(keep)))


@laws()
@given(st.data(), detections(ties=False), THRESHOLDS, SHIFTS, SCALES)
def test_nms_of_moved_and_rearranged_boxes(data, detections, threshold, shift, scale):
    """Ties go to the lower row, so all scores differ here. Boxes of one image do not affect another image."""
    boxes, scores, labels = detections
    keep = batched_nms(*detections, threshold)
    assert_same(batched_nms((boxes + shift) * scale, scores, labels, threshold), keep)
    assert_same(batched_nms(boxes, scores * 2 - 5, 7 - 100 * labels, threshold), keep)
    order = torch.tensor(data.draw(st.permutations(range(len(boxes)))), dtype=torch.int64)
    assert_same(order[batched_nms(boxes[order], scores[order], labels[order], threshold)], keep)

    cut = data.draw(st.integers(0, len(boxes)))
    ends = [0, cut, cut, len(boxes)]
    images = [begin + batched_nms(*(x[begin:end] for x in detections), threshold) for begin, end in zip(ends, ends[1:])]
    together = torch.cat(images)
    of_batch = batched_nms(*detections, threshold, torch.tensor(ends))
    assert_same(of_batch, together[scores[together].argsort(descending=True)])


@laws()
@given(detections(exact=False), THRESHOLDS, HALF_TYPES)
def test_nms_of_half_types(detections, threshold, dtype):
    boxes, scores, labels = detections
    boxes = boxes.to(dtype)
    assert_same(
        batched_nms(boxes, scores.to(dtype), labels, threshold), batched_nms(boxes.float(), scores, labels, threshold)
    )


@laws()
@given(st.data(), detections(), generators(), SHIFTS, SCALES)
def test_voted_boxes(data, detections, generator, shift, scale):
    boxes, scores, labels = detections
    boxes = boxes.nan_to_num(nan=1.0)  # in practice, boxes after NMS are finite
    voters = boxes_of(generator, data.draw(COUNTS), exact=True, odd=True)
    all_scores = torch.rand(len(voters), 3, generator=generator)
    votes = score_voting(boxes, scores, labels, voters, all_scores)
    by_score = torch.argsort(scores, descending=True, stable=True)
    assert_same(votes[1:], (scores[by_score], labels[by_score]))
    # Up to rounding, a mean lies between its smallest and largest value. A box without voters stays as it is.
    old = boxes[by_score]
    votes_for = (box_iou(old, voters) > 0.01) & (all_scores.T[labels[by_score]] > 0.05)  # (K, N)
    alone = ~votes_for.any(1)
    assert_same(votes.boxes[alone], old[alone])
    for box, mine in zip(votes.boxes[~alone], votes_for[~alone]):
        assert ((box >= voters[mine].amin(0) - 1e-3) & (box <= voters[mine].amax(0) + 1e-3)).all()
    # Scaling by a power of two is exact. A translation and another order of the voters change the rounding of sums.
    assert_same(score_voting(boxes * scale, scores, labels, voters * scale, all_scores).boxes, votes.boxes * scale)
    moved = score_voting(boxes + shift, scores, labels, voters + shift, all_scores)
    assert_same(moved.boxes - shift, votes.boxes, atol=0.02)
    order = torch.randperm(len(voters), generator=generator)
    assert_same(
        score_voting(boxes, scores, labels, voters[order], all_scores[order]).boxes, votes.boxes, rtol=1e-5, atol=1e-3
    )
    rows = torch.randperm(len(boxes), generator=generator)
    rows = rows[scores[rows].argsort(descending=True, stable=True)]  # equal scores keep their input order
    moved = score_voting(boxes[rows], scores[rows], labels[rows], voters, all_scores)
    assert_same(moved.boxes, votes.boxes[by_score.argsort()[rows]])


@laws()
@given(detections(exact=False), generators(), HALF_TYPES)
def test_voted_boxes_of_half_types_are_rounded_once(detections, generator, dtype):
    boxes, scores, labels = detections
    boxes, voters = boxes.to(dtype), boxes_of(generator, 9, exact=False, odd=True).to(dtype)
    all_scores = torch.rand(9, 3, generator=generator).to(dtype)
    half = score_voting(boxes, scores, labels, voters, all_scores)
    full = score_voting(boxes.float(), scores, labels, voters.float(), all_scores.float())
    assert_same(half, (full.boxes.to(dtype), *full[1:]))


# Threads
