"""PAA's losses: mmdetection's values from predictions to the end, what counts where, and what stays finite."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from colad_ops import AssignConfig, Assignment, box_iou
from colad_ops.detection import PAA, DeltaCoder, PAALoss, Predictions, Targets
from colad_ops.detection.assigners import assign_labels
from python_tests.golden import golden_sets
from python_tests.support.detection_cases import golden_predictions, pictures, targets_of, tiny_network, two_images

# No object of these is so near a tie that rounding changes its positives.
STABLE = {"large_c80", "medium_confident", "medium_random", "small_basic", "small_crowd", "small_nogt"}
STABLE_SETS = [name for name in golden_sets.cases("paa_assign") if Path(name).stem in STABLE]


@pytest.mark.parametrize("name", STABLE_SETS)
def test_losses_from_predictions_to_the_end(name: str) -> None:
    """Our own assignment with mmdetection's preset, then the losses."""
    arrays = golden_sets.load(name)
    assert (arrays["giou_gt_flip_eps"] > 1e-4).all()
    predictions = golden_predictions(arrays)
    targets = Targets(
        torch.from_numpy(arrays["gt_boxes"]),
        torch.from_numpy(arrays["gt_labels"]).long(),
        torch.from_numpy(arrays["gt_offsets"]).long(),
        torch.from_numpy(arrays["pad_shape"]).long(),
    )
    valid = predictions.anchors.valid(targets.image_sizes)
    assignment = assign_labels(predictions, targets, valid, AssignConfig.mmdet())
    losses = PAALoss()(predictions, assignment, valid)
    for part, key in (("loss_cls", "giou_loss_cls"), ("loss_box", "giou_loss_bbox"), ("loss_iou", "giou_loss_iou")):
        assert losses[part].item() == pytest.approx(float(arrays[key]), rel=1e-5, abs=1e-6)


def first_anchors_learn_an_object(predictions) -> Assignment:
    """All background but the first two anchors of the first image, which learn an object of class 0 and one of class 2
    in the same place."""
    matched = torch.full(predictions.boxes.shape[:2], -1)
    matched[0, :2] = torch.tensor([0, 1])
    boxes, labels = torch.tensor([[4.0, 4.0, 30.0, 34.0]] * 2), torch.tensor([0, 2])
    unused = dict.fromkeys(("cost", "num_pos", "mean", "std", "weights", "means", "variances"), torch.empty(0))
    return Assignment(matched=matched, gt_boxes=boxes, gt_labels=labels, **unused)


def test_ignored_and_invalid_anchors_count_nowhere() -> None:
    predictions = tiny_network(0)(pictures())
    assignment = first_anchors_learn_an_object(predictions)
    valid = torch.ones_like(assignment.matched, dtype=torch.bool)
    ignored = first_anchors_learn_an_object(predictions)
    ignored.matched[0, 1] = -2
    ignored.matched[1, 5:] = -2
    masked = valid.clone()
    masked[0, 1] = False
    masked[1, 5:] = False
    one, other = PAALoss()(predictions, ignored, valid), PAALoss()(predictions, assignment, masked)
    assert one["num_pos"] == other["num_pos"] == 1
    for part, value in one.items():
        assert torch.equal(value, other[part]), part
    full = PAALoss()(predictions, assignment, valid)
    assert full["num_pos"] == 2 and full["loss_cls"] > one["loss_cls"]

    predictions = tiny_network(0)(pictures()).detach()
    leaves = [level.clone().requires_grad_() for level in predictions.logits]
    PAALoss()(replace(predictions, logits=leaves), ignored, valid)["loss_cls"].backward()
    assert (
        (leaves[0].grad[1, 5:] == 0).all() and (leaves[0].grad[1, :5] != 0).all() and (leaves[0].grad[0, 1] == 0).all()
    )


@pytest.mark.parametrize("weighting", ["iou", "uniform"])
def test_batch_without_any_object_is_finite_and_moves_only_the_classes(weighting: str) -> None:
    method = PAA(tiny_network(0), criterion=PAALoss(box_weighting=weighting))
    losses = method.loss(pictures(), targets_of([], []))
    losses["loss"].backward()
    assert losses["num_pos"] == 0 and losses["loss_box"] == 0 and losses["loss_iou"] == 0
    logits = torch.cat(method.network(pictures()).logits, dim=1).detach()
    background = 0.75 * logits.sigmoid().square() * torch.nn.functional.softplus(logits)
    torch.testing.assert_close(losses["loss_cls"], background.sum() / 2)  # by the number of images
    for name, parameter in method.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
    head = method.network.head
    assert head.class_output.weight.grad.abs().sum() > 0
    assert head.box_output.weight.grad.abs().sum() == 0 and head.iou_output.weight.grad.abs().sum() == 0


def test_gradients_reach_the_boxes_through_the_box_loss_alone() -> None:
    """The IoU is a target of the IoU branch and a weight of the boxes: neither may be met by moving the box."""
    predictions = tiny_network(0)(pictures()).detach()
    deltas = [level.clone().requires_grad_() for level in predictions.deltas]
    iou_logits = [level.clone().requires_grad_() for level in predictions.iou_logits]
    learning = Predictions.from_levels(predictions.logits, deltas, iou_logits, predictions.anchors, DeltaCoder())
    assignment = first_anchors_learn_an_object(predictions)
    valid = torch.ones_like(assignment.matched, dtype=torch.bool)
    losses = PAALoss()(learning, assignment, valid)
    assert torch.autograd.grad(losses["loss_iou"], deltas, retain_graph=True, allow_unused=True) == (None,) * 3
    (found,) = torch.autograd.grad(losses["loss_box"], deltas[:1], retain_graph=True)

    boxes, objects = learning.boxes[0, :2], assignment.boxes()[0, :2]
    weight = box_iou(boxes, objects[:1]).detach()[:, 0]
    expected = 1.3 * ((1 - box_iou(boxes, objects[:1], "giou")[:, 0]) * weight).sum() / weight.sum()
    assert losses["loss_box"].item() == pytest.approx(expected.item())
    torch.testing.assert_close(found, torch.autograd.grad(expected, deltas[:1])[0])


def test_total_is_the_sum_of_its_parts() -> None:
    losses = PAA(tiny_network(0)).loss(pictures(), two_images())
    parts = [losses[name] for name in ("loss_cls", "loss_box", "loss_iou")]
    torch.testing.assert_close(losses["loss"].detach(), sum(parts))
    assert losses["loss"].requires_grad and not any(part.requires_grad for part in parts)


def test_bad_weighting_is_named() -> None:
    with pytest.raises(ValueError, match="box_weighting.*'giou'"):
        PAALoss(box_weighting="giou")
