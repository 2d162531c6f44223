"""Soft labels and localisation distillation against the formulas written out."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from colad_ops import box_iou
from colad_ops.detection import SoftLabelLoss
from colad_ops.detection.soft_label import nearest_iou
from python_tests.support.detection_cases import pictures, targets_of, tiny_network, two_images


def test_nearest_iou_is_the_images_own_best() -> None:
    boxes = torch.rand(3, 40, 4) * 40
    boxes[..., 2:] += boxes[..., :2]
    targets = targets_of([(4, 4, 30, 34, 0), (20, 8, 56, 56, 1)], [], [(10, 20, 60, 60, 2)])
    found = nearest_iou(boxes, targets)
    torch.testing.assert_close(found[0], box_iou(boxes[0], targets.boxes[:2]).amax(dim=1))
    assert (found[1] == 0).all()
    torch.testing.assert_close(found[2], box_iou(boxes[2], targets.boxes[2:]).amax(dim=1))
    assert (nearest_iou(boxes[:2], targets_of([], [])) == 0).all()


def bernoulli_kl(student: torch.Tensor, teacher: torch.Tensor, gamma: float) -> torch.Tensor:
    """Equation 1 as it is printed, in float64."""
    p, q = teacher.double().sigmoid(), student.double().sigmoid()
    kl = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    return (p - q).abs() ** gamma * kl


def test_losses_are_the_formulas() -> None:
    student, teacher = tiny_network(0)(pictures()), tiny_network(1).eval()(pictures()).detach()
    # Teacher boxes that overlap objects, some above and some below the threshold.
    targets = two_images()
    near = torch.rand(2, teacher.boxes.shape[1], 4, generator=torch.Generator().manual_seed(0)) * 12 - 6
    teacher = replace(teacher, boxes=torch.stack([targets.boxes[0] + near[0], targets.boxes[3] + near[1]]))
    valid = torch.rand(teacher.boxes.shape[:2], generator=torch.Generator().manual_seed(1)) > 0.3
    options = SoftLabelLoss(cls_weight=3.0, box_weight=1.5, iou_weight=7.0, gamma=1.5, min_iou=0.6)
    losses = options(student, teacher, targets, valid)

    quality = torch.stack(
        [
            box_iou(teacher.boxes[image], targets.boxes[rows]).amax(dim=1)
            for image, rows in enumerate((slice(0, 3), slice(3, 5)))
        ]
    )
    imitated = valid & (quality > 0.6)
    assert 0 < imitated.sum() < valid.sum()
    norm = quality[imitated].sum()
    cls = bernoulli_kl(torch.cat(student.logits, 1), torch.cat(teacher.logits, 1), 1.5)[valid].sum()
    giou = torch.stack(
        [
            box_iou(one[None], other[None], "giou")[0, 0]
            for one, other in zip(student.boxes[imitated], teacher.boxes[imitated])
        ]
    )
    iou = bernoulli_kl(student.flat_iou_logits[imitated], teacher.flat_iou_logits[imitated], 1.5).sum()
    assert losses["loss_soft_cls"].item() == pytest.approx((3.0 * cls / norm).item(), rel=1e-4)
    assert losses["loss_soft_box"].item() == pytest.approx(
        (1.5 * ((1 - giou) * quality[imitated]).sum() / norm).item(), rel=1e-4
    )
    assert losses["loss_soft_iou"].item() == pytest.approx((7.0 * iou / norm).item(), rel=1e-4)


def test_normaliser_is_at_least_one() -> None:
    student, teacher = tiny_network(0)(pictures()), tiny_network(1).eval()(pictures())
    valid = torch.ones(teacher.boxes.shape[:2], dtype=torch.bool)
    losses = SoftLabelLoss()(student, teacher, targets_of([], []), valid)
    cls = bernoulli_kl(torch.cat(student.logits, 1), torch.cat(teacher.logits, 1), 0.5).sum()
    assert losses["loss_soft_cls"].item() == pytest.approx(2.0 * cls.item(), rel=1e-4)
    assert losses["loss_soft_box"] == 0 and losses["loss_soft_iou"] == 0


def test_a_student_equal_to_its_teacher_has_nothing_to_learn() -> None:
    student, teacher = tiny_network(0).eval(), tiny_network(0).eval()
    predictions = student(pictures())
    losses = SoftLabelLoss()(
        predictions, teacher(pictures()), two_images(), torch.ones(predictions.boxes.shape[:2], dtype=torch.bool)
    )
    for value in losses.values():
        assert value.item() == pytest.approx(0, abs=1e-4)
    sum(losses.values()).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in student.parameters())
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_imitation_brings_the_student_nearer() -> None:
    torch.manual_seed(0)
    student, teacher = tiny_network(0), tiny_network(1).eval()
    optimizer = torch.optim.AdamW(student.parameters(), 3e-3)
    images, targets = pictures(), two_images()

    def distance() -> float:
        logits = zip(student(images).logits, teacher(images).logits)
        return sum(F.mse_loss(one.sigmoid(), other.sigmoid()).item() for one, other in logits)

    start = distance()
    for _ in range(20):
        predictions = student(images)
        losses = SoftLabelLoss()(predictions, teacher(images), targets, predictions.anchors.valid(targets.image_sizes))
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    assert distance() < 0.7 * start
