"""Options and sizes at the ends of their allowed range, and their meaning. Refused values are in test_input*.py."""

import math

import pytest
import torch

from colad_ops import (
    AssignConfig,
    assign_cost,
    batched_nms,
    box_iou,
    colad_assign,
    cost_statistics,
    focal_kl_loss,
    gmm_em,
    match_anchors,
    paa_assign,
    score_voting,
    sigmoid_focal_loss,
    split_candidates,
)
from python_tests.errors.valid_calls import BOXES, LABELS, LEAST, LOGITS, MOST, SCORES, VALID, call
from python_tests.support.op_contract import assert_same, tensors_of

L, X = LOGITS[None], BOXES[None]
ONE_CLASS = torch.zeros(3, dtype=torch.int64)
LOSSES = [sigmoid_focal_loss, focal_kl_loss]


def test_an_infinite_threshold_is_reached_by_nobody():
    clean = call(match_anchors, low_quality="none")
    assert clean.matched.tolist() == [[0, 1, 2]]
    assert (call(match_anchors, iou_threshold=math.inf, low_quality="none").matched == -1).all()
    assert call(match_anchors, iou_threshold=math.inf).matched.equal(clean.matched)  # the best anchor of each object
    crowd = {"ignore_boxes": BOXES, "iou_threshold": math.inf, "low_quality": "none"}
    assert (call(match_anchors, **crowd).matched == -2).all()
    assert (call(match_anchors, **crowd, ignore_iof=math.inf).matched == -1).all()
    assert call(batched_nms, labels=ONE_CLASS, iou_threshold=math.inf).tolist() == [0, 2, 1]


def test_a_negative_threshold_is_reached_without_overlap():
    far = torch.tensor([[900.0, 900, 950, 950]])
    assert (call(match_anchors, anchors=far, valid=None, iou_threshold=-1.0).matched == 0).all()
    assert (call(match_anchors, anchors=far, valid=None, low_quality="none", ignore_iof=-1.0).matched == -2).all()
    assert call(batched_nms, labels=ONE_CLASS, iou_threshold=-1.0).tolist() == [0]


@pytest.mark.parametrize("max_iter", [1, 1000])
def test_a_tolerance_of_zero_ends_at_max_iter(max_iter):
    """A change of the mean log-likelihood is never less than 0, even for equal values."""
    fit = gmm_em(torch.ones(4), torch.tensor([0, 4]), tol=0.0, max_iter=max_iter)
    assert fit.n_iter == max_iter and not fit.converged
    assert fit.means[0].tolist() == pytest.approx([1.0, 1.0], rel=1e-12)


def test_an_infinite_tolerance_ends_at_the_first_finite_change():
    fit = call(gmm_em, tol=math.inf)
    assert fit.n_iter.tolist() == [2, 2] and fit.converged.all()


def test_values_outside_every_segment_are_padding():
    fit = call(gmm_em, offsets=torch.tensor([1, 3, 5]))
    assert fit.labels[[0, 5]].tolist() == [-1, -1] and fit.log_likelihood[[0, 5]].isnan().all()
    assert_same(fit[:3], gmm_em(VALID[gmm_em]["values"][1:5], torch.tensor([0, 2, 4]))[:3])


def test_all_candidates_are_kept_by_a_topk_beyond_them():
    huge, all_of_them = (call(paa_assign, config=AssignConfig(topk=topk)) for topk in (2**62, 3))
    assert_same(huge, all_of_them)


def test_predictions_may_be_cut_into_other_levels_than_the_anchors():
    """`level_sizes` defines the levels of top-k. Logits and boxes may be cut at other places."""
    pieces = call(paa_assign, logits=[L[:, :1], L[:, 1:]], boxes=[X[:, :2], X[:, 2:2], X[:, 2:]])
    assert_same(pieces, call(paa_assign))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("factor", [0, -3.0, -math.inf, 0.5])
def test_an_avg_factor_below_one_is_one(loss, factor):
    for avg_factor in (factor, torch.tensor(factor)):
        assert call(loss, avg_factor=avg_factor).equal(call(loss, reduction="sum"))


@pytest.mark.parametrize("loss", LOSSES)
def test_an_avg_factor_that_is_no_number(loss):
    for wrap in (float, torch.tensor):
        assert call(loss, avg_factor=wrap(math.nan)).isnan() and call(loss, avg_factor=wrap(math.inf)) == 0


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float64])
def test_a_weight_of_any_real_type_is_its_value(loss, dtype):
    weight = torch.tensor([1.0, 0.0, 1.0])
    assert call(loss, weight=weight.to(dtype)).equal(call(loss, weight=weight))


def test_any_negative_alpha_is_no_weighting():
    assert call(sigmoid_focal_loss, alpha=-math.inf).equal(call(sigmoid_focal_loss, alpha=-1.0))


def test_without_classes_there_is_only_background():
    assert call(sigmoid_focal_loss, logits=LOGITS[:, :0], labels=torch.tensor([0, -1, -2])) == 0
    assert call(focal_kl_loss, student_logits=LOGITS[:, :0], teacher=LOGITS[:, :0], reduction="mean") == 0


def test_an_infinite_sigma_weighs_votes_by_score_alone():
    """And if sigma is 0 in float32, no box votes."""
    options = {"boxes": X[0, :1], "scores": SCORES[:1], "labels": LABELS[:1], "iou_threshold": -1.0}
    scores = VALID[score_voting]["all_scores"][:, :1].double()
    mean = (scores * (BOXES + 1)).sum(0) / scores.sum()
    torch.testing.assert_close(call(score_voting, **options, sigma=math.inf).boxes[0], mean.float())
    assert call(score_voting, **options, sigma=1e-300).boxes.equal(BOXES[:1])


def test_any_integer_is_a_class_for_suppression():
    extremes = torch.tensor([LEAST, MOST, LEAST])
    assert call(batched_nms, labels=extremes, boxes=BOXES[[0, 0, 0]]).tolist() == [0, 1]


def test_an_assignment_is_a_decision_without_a_gradient():
    for function in (match_anchors, assign_cost, split_candidates, cost_statistics, paa_assign):
        arguments = {
            name: x.clone().requires_grad_() if isinstance(x, torch.Tensor) and x.is_floating_point() else x
            for name, x in VALID[function].items()
        }
        inputs = {id(x) for x in arguments.values()}
        results = [x for x in tensors_of(function(**arguments)) if id(x) not in inputs]
        assert results and not any(x.requires_grad for x in results)


EMPTY_BOXES, EMPTY_ROWS, START = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.tensor([0])
EMPTY_OBJECTS = {"gt_boxes": EMPTY_BOXES, "gt_labels": EMPTY_ROWS, "gt_offsets": START}
EMPTY_SPLIT = {"cost": torch.zeros(0, 0), "matched": torch.zeros(0, 0, dtype=torch.int64), "level_sizes": [0]}
NOTHING = (torch.zeros(0, 0, 0), torch.zeros(0, 0, 4))


@pytest.mark.parametrize(
    ("function", "everything"),
    [
        (box_iou, {"boxes1": EMPTY_BOXES, "boxes2": EMPTY_BOXES}),
        (
            match_anchors,
            {
                "anchors": EMPTY_BOXES,
                "gt_boxes": EMPTY_BOXES,
                "gt_offsets": START,
                "valid": EMPTY_ROWS > 0,
                "ignore_boxes": EMPTY_BOXES,
                "ignore_offsets": START,
            },
        ),
        (
            assign_cost,
            {"logits": NOTHING[0], "boxes": NOTHING[1], "gt_boxes": EMPTY_BOXES, "gt_labels": EMPTY_ROWS}
            | {"matched": EMPTY_SPLIT["matched"]},
        ),
        (gmm_em, {"values": torch.zeros(0), "offsets": START}),
        (gmm_em, {"values": torch.zeros(0, 0), "offsets": None, "counts": EMPTY_ROWS}),
        (split_candidates, EMPTY_SPLIT | EMPTY_OBJECTS),
        (cost_statistics, EMPTY_SPLIT | {"gt_offsets": START, "num_objects": 0}),
        (
            paa_assign,
            {"logits": NOTHING[0], "boxes": NOTHING[1], "anchors": EMPTY_BOXES, "level_sizes": [0]} | EMPTY_OBJECTS,
        ),
        (
            colad_assign,
            {"predictions": [NOTHING, NOTHING], "anchors": EMPTY_BOXES, "level_sizes": [0]} | EMPTY_OBJECTS,
        ),
        (sigmoid_focal_loss, {"logits": torch.zeros(0, 0), "labels": EMPTY_ROWS, "reduction": "none", "weight": None}),
        (
            focal_kl_loss,
            {"student_logits": torch.zeros(0, 0), "teacher": torch.zeros(0, 0), "reduction": "none", "weight": None},
        ),
        (batched_nms, {"boxes": EMPTY_BOXES, "scores": EMPTY_ROWS, "labels": EMPTY_ROWS, "image_offsets": START}),
        (
            score_voting,
            {"boxes": EMPTY_BOXES, "scores": torch.zeros(0), "labels": EMPTY_ROWS}
            | {"all_boxes": EMPTY_BOXES, "all_scores": torch.zeros(0, 0)},
        ),
    ],
)
def test_nothing_at_all_gives_nothing(function, everything):
    """The results have no elements, except the indicators, which have one number for each network."""
    result = call(function, **everything)
    if function is colad_assign:
        assert result.indicators.isnan().all()
        result = result[:2]
    assert all(x.numel() == 0 for x in tensors_of(result))
