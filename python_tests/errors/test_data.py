"""Bad values that do not raise: NaN, infinity, boxes without area or with an area too large for their dtype. One rule
holds everywhere: a bad value affects only its own result, and all other results are the same bit for bit."""

import itertools
import math

import pytest
import torch

from colad_ops import (
    aligned_box_iou,
    assign_cost,
    batched_nms,
    box_iou,
    colad_assign,
    cost_statistics,
    decode_boxes,
    focal_kl_loss,
    gmm_em,
    match_anchors,
    paa_assign,
    score_voting,
    sigmoid_focal_loss,
    split_candidates,
)
from colad_ops.ops.colad_assign import GRANULARITIES
from colad_ops.ops.iou import MODES
from colad_ops.ops.match_anchors import match_anchors_reference
from python_tests.errors.valid_calls import BOXES, VALID, call
from python_tests.support.op_contract import assert_same
from python_tests.support.scenes import make_scene

FAR = torch.tensor([900.0, 900, 950, 950])
INVERTED, POINT, LINE = (torch.tensor(x) for x in ([10.0, 10, 0, 0], [5.0, 5, 5, 5], [0.0, 5, 10, 5]))
bad_value = pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
corner = pytest.mark.parametrize("corner", range(4))
OTHERS = [0, 2]  # all rows except the bad one


@bad_value
@corner
@pytest.mark.parametrize("mode", MODES)
def test_iou_stays_in_its_row_and_column(value, corner, mode):
    clean = call(box_iou, mode=mode)
    row = call(box_iou, "boxes1", (1, corner), value, mode=mode)
    column = call(box_iou, "boxes2", (1, corner), value, mode=mode)
    aligned = call(aligned_box_iou, "boxes2", (1, corner), value, mode=mode)
    assert row[OTHERS].equal(clean[OTHERS]) and column[:, OTHERS].equal(clean[:, OTHERS])
    assert aligned[OTHERS].equal(clean.diagonal()[OTHERS])
    assert_same(aligned[1], column[1, 1])
    if math.isnan(value):
        assert row[1].isnan().all() and column[:, 1].isnan().all()
    elif mode in ("iou", "iof"):
        assert_in_unit_range_or_nan(torch.stack([row[1], column[:, 1]]))


@bad_value
@corner
@pytest.mark.parametrize("argument", ["anchors", "deltas"])
def test_decoded_boxes_stay_in_their_row(value, corner, argument):
    found, clean = call(decode_boxes, argument, (1, corner), value), call(decode_boxes)
    assert found[OTHERS].equal(clean[OTHERS])
    if math.isnan(value):
        assert found[1].isnan().tolist() == [i % 2 == corner % 2 for i in range(4)]


def assert_in_unit_range_or_nan(overlap):
    assert (overlap.isnan() | ((overlap >= 0) & (overlap <= 1))).all()


def extreme_boxes(dtype=torch.float32):
    """Boxes with every pair of these numbers as corners, on both axes: ordinary, huge, inverted, empty, infinite and
    NaN boxes."""
    ends = [-1e30, 0.0, 10.0, 1.4e19, 1e30, 3e38, math.inf, math.nan]
    return torch.tensor([(a, 0, b, b) for a, b in itertools.product(ends, ends)] + [(0, 0, 8, 9)], dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_huge_boxes_overlap_by_no_more_than_all_of_them(dtype):
    boxes = extreme_boxes(dtype)
    for mode in ("iou", "iof"):
        assert_in_unit_range_or_nan(box_iou(boxes, boxes, mode))
    giou = box_iou(boxes, boxes, "giou")
    assert (giou.isnan() | giou.isinf() | ((giou >= -1) & (giou <= 1))).all()


def test_huge_boxes_by_example():
    huge = torch.tensor([[0.0, 0, 1e30, 1e30]])
    assert box_iou(huge, huge).isnan() and box_iou(huge.double(), huge.double()) == 1  # the area overflows float32
    assert box_iou(huge, BOXES[:1]) == 0 and box_iou(BOXES[:1], huge, "iof") == 1
    assert (match_anchors(huge, huge, torch.tensor([0, 1])).matched == -1).all()


@pytest.mark.parametrize("low_quality", ["all", "own", "none"])
@pytest.mark.parametrize("claim_zero_overlap", [False, True])
def test_extreme_boxes_match_as_the_matrix_of_their_iou_says(low_quality, claim_zero_overlap):
    boxes, offsets = extreme_boxes(), torch.tensor([0, 65])
    options = {"low_quality": low_quality, "claim_zero_overlap": claim_zero_overlap}
    result = match_anchors(boxes, boxes, offsets, **options)
    assert_same(result, match_anchors_reference(boxes, boxes, offsets, **options))
    unmatchable = boxes.isnan().any(dim=1)
    assert (result.matched[0, unmatchable] == -1).all() and not torch.isin(result.matched, unmatchable.nonzero()).any()


@bad_value
@corner
def test_a_bad_anchor_matches_nothing(value, corner):
    clean = call(match_anchors, low_quality="none")
    bad = call(match_anchors, "anchors", (1, corner), value, low_quality="none")
    assert bad.matched[0, 1] == -1 and bad.iou[0, 1] == 0
    assert_same([x[:, OTHERS] for x in bad], [x[:, OTHERS] for x in clean])


@bad_value
@corner
@pytest.mark.parametrize("low_quality", ["all", "own", "none"])
def test_a_bad_object_is_one_that_overlaps_nothing(value, corner, low_quality):
    bad = call(match_anchors, "gt_boxes", (1, corner), value, low_quality=low_quality)
    assert_same(bad, call(match_anchors, "gt_boxes", 1, FAR, low_quality=low_quality))


@pytest.mark.parametrize("box", [INVERTED, POINT, LINE])
def test_a_box_without_area_overlaps_nothing(box):
    assert_same(call(match_anchors, "gt_boxes", 1, box), call(match_anchors, "gt_boxes", 1, FAR))
    assert_same(call(assign_cost, "boxes", (0, 1), box), call(assign_cost, "boxes", (0, 1), FAR))
    assert_same(call(paa_assign, "boxes", (0, 1), box), call(paa_assign, "boxes", (0, 1), FAR))
    assert_same(*(call(batched_nms, "boxes", 1, x, labels=torch.zeros(3, dtype=torch.int64)) for x in (box, FAR)))
    assert call(score_voting, "boxes", 1, box).boxes[2].equal(box)


@bad_value
@corner
def test_an_ignore_box_reaches_as_far_as_it_says(value, corner):
    """An infinite ignore box covers its side of the image. A NaN ignore box covers nothing."""
    like = FAR if math.isnan(value) else torch.where(torch.arange(4) == corner, math.copysign(1e6, value), BOXES[0])
    options = {"gt_boxes": BOXES[:0], "gt_offsets": torch.tensor([0, 0]), "ignore_boxes": BOXES}
    bad = call(match_anchors, "ignore_boxes", (0, corner), value, **options)
    assert_same(bad, call(match_anchors, "ignore_boxes", 0, like, **options))


@bad_value
@pytest.mark.parametrize(
    ("argument", "place"),
    [("logits", (0, 1, 1)), ("logits", (0, 1, 4)), *(("boxes", (0, 1, c)) for c in range(4))]
    + [("gt_boxes", (1, c)) for c in range(4)],
)
def test_a_bad_prediction_costs_only_its_anchor(value, argument, place):
    clean, bad = call(assign_cost), call(assign_cost, argument, place, value)
    assert bad[0, OTHERS].equal(clean[0, OTHERS])
    assert bad[0, 1].isnan() if math.isnan(value) else not bad[0, 1] < 0


@bad_value
def test_a_bad_value_spoils_its_segment_only(value):
    clean, bad = call(gmm_em), call(gmm_em, "values", 3, value)
    for name in ("weights", "means", "variances"):
        assert getattr(bad, name)[0].equal(getattr(clean, name)[0]) and getattr(bad, name)[1].isnan().all()
    assert bad.labels.tolist() == [*clean.labels[:2].tolist(), 0, 0, 0, 0]
    assert bad.responsibility[:2].equal(clean.responsibility[:2]) and bad.responsibility[2:].isnan().all()


def test_values_whose_squares_overflow_are_as_infinite_ones():
    values = torch.tensor([1.0, 1.5, 1e300, 5e299, 2e299, 9.0], dtype=torch.float64)
    bad = gmm_em(values, torch.tensor([0, 2, 6]))
    assert bad.means[0].equal(call(gmm_em).means[0])
    assert bad.means[1].isnan().all() and (bad.labels[2:] == 0).all()


@bad_value
@pytest.mark.parametrize("function", [split_candidates, cost_statistics])
def test_a_cost_that_is_no_number_is_no_candidate(value, function):
    expected = call(function, "matched", (0, 1), -1)
    bad = call(function, "cost", (0, 1), value)
    assert_same([x for x in bad if x.dtype != torch.float32], [x for x in expected if x.dtype != torch.float32])


@bad_value
@pytest.mark.parametrize(("argument", "place"), [("logits", (0, 1, 1)), ("boxes", (0, 1, 2))])
def test_a_bad_prediction_changes_no_other_object(value, argument, place):
    clean, bad = call(paa_assign), call(paa_assign, argument, place, value)
    assert bad.matched[0, OTHERS].equal(clean.matched[0, OTHERS])
    assert_same([x[OTHERS] for x in bad[2:8]], [x[OTHERS] for x in clean[2:8]])
    assert bad.cost[0, 1].isfinite() or bad.matched[0, 1] == -1


@bad_value
@corner
def test_a_bad_object_is_assigned_nothing(value, corner):
    bad, expected = call(paa_assign, "gt_boxes", (1, corner), value), call(paa_assign, "gt_boxes", 1, FAR)
    assert_same(bad[:8], expected[:8])
    assert bad.num_pos[1] == 0


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("broken", [0, 1])
def test_a_network_of_nan_assigns_nothing(granularity, broken):
    scene = make_scene([3, 0, 4])
    good = (scene.logits, scene.boxes)
    nan = (scene.logits * math.nan, scene.boxes)
    rest = (scene.anchors, scene.level_sizes, scene.gt_boxes, scene.gt_labels, scene.gt_offsets)
    predictions = [nan, good] if broken == 0 else [good, nan]
    result = colad_assign(predictions, *rest, granularity=granularity)
    assert_same(result.assignment, paa_assign(*good, *rest))
    assert not torch.isin(result.teacher, torch.tensor(broken)).any() and result.indicators[broken].isnan()


@bad_value
@pytest.mark.parametrize(
    ("function", "argument"),
    [
        (sigmoid_focal_loss, "logits"),
        (sigmoid_focal_loss, "weight"),
        (focal_kl_loss, "student_logits"),
        (focal_kl_loss, "teacher"),
        (focal_kl_loss, "weight"),
    ],
)
def test_a_bad_element_has_its_own_loss_and_gradient(value, function, argument):
    place = 1 if argument == "weight" else (1, 1)
    elsewhere = torch.ones(3, 5, dtype=torch.bool)
    elsewhere[place] = False
    leaf = "logits" if function is sigmoid_focal_loss else "student_logits"
    losses, gradients = [], []
    for spoil in (False, True):
        arguments = {name: x.clone() for name, x in VALID[function].items()}
        if spoil:
            arguments[argument][place] = value
        arguments[leaf].requires_grad_()
        losses.append(function(**arguments, reduction="none"))
        gradients += torch.autograd.grad(losses[-1].sum(), arguments[leaf])
    for clean, bad in (losses, gradients):
        assert bad[elsewhere].equal(clean[elsewhere])
        assert not math.isnan(value) or bad[~elsewhere].isnan().all()
    assert function(**{k: x.detach() for k, x in arguments.items()}).isfinite() == losses[1].sum().isfinite()


@bad_value
@corner
@pytest.mark.parametrize("row", [0, 1])
def test_a_bad_box_stays_and_suppresses_none(value, corner, row):
    one_class = torch.zeros(3, dtype=torch.int64)
    assert call(batched_nms, labels=one_class).tolist() == [0, 2]
    bad = call(batched_nms, "boxes", (row, corner), value, labels=one_class)
    assert bad.tolist() == call(batched_nms, "boxes", row, FAR, labels=one_class).tolist() == [0, 2, 1]


@bad_value
@pytest.mark.parametrize("function", [batched_nms, score_voting])
def test_nan_and_infinite_scores_sort_as_torch_sorts_them(value, function):
    like = -1.0 if value == -math.inf else 2.0
    bad, expected = call(function, "scores", 1, value), call(function, "scores", 1, like)
    assert_same(bad if function is batched_nms else bad.boxes, expected if function is batched_nms else expected.boxes)


@bad_value
@corner
def test_a_bad_box_has_no_voters_and_does_not_vote(value, corner):
    clean, bad = call(score_voting), call(score_voting, "boxes", (1, corner), value)
    stays = torch.where(torch.arange(4) == corner, value, BOXES[1])
    assert_same(bad.boxes, torch.stack([clean.boxes[0], clean.boxes[1], stays]))
    bad = call(score_voting, "all_boxes", (1, corner), value)
    assert_same(bad, call(score_voting, "all_boxes", 1, FAR))


@bad_value
def test_a_bad_score_does_not_vote(value):
    assert_same(call(score_voting, "all_scores", (1, 1), value), call(score_voting, "all_scores", (1, 1), 0.0))
