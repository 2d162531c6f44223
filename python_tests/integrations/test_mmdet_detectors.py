"""Whole mmdetection detectors: LAD with its teacher, and a teacher for PAA."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

import python_tests.integrations.mmcv_ext  # noqa: F401, before mmdet is imported

pytest.importorskip("mmdet", minversion="3.3")
pytest.importorskip("sklearn")  # the stock head needs it

from colad_ops.integrations import mmdet as integration
from colad_ops.integrations.mmdet import heads
from python_tests.integrations.mmdet_heads import (
    build_detector,
    build_head,
    data_samples,
    detector_config,
    lad_config,
    make_batch,
)
from python_tests.integrations.stock_table import largest_difference

CLASSES = 8


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 128, 160, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def samples() -> list:
    return data_samples(make_batch(2, 128, 160, CLASSES, 9))


def losses_and_gradients(detector: nn.Module, images: Tensor, samples: list) -> tuple[list[Tensor], list[Tensor]]:
    losses = detector.loss(images, samples)
    detector.zero_grad()
    sum(losses.values()).backward()
    return list(losses.values()), [x.grad for x in detector.parameters() if x.grad is not None]


def test_lad_trains_as_the_stock_detector(images, samples):
    """Patching the detector patches student and teacher."""
    stock = build_detector(lad_config(CLASSES))
    adapted = integration.patch(copy.deepcopy(stock))
    losses, gradients = losses_and_gradients(stock, images, samples)
    found, found_gradients = losses_and_gradients(adapted, images, samples)
    assert type(adapted) is type(stock) and type(adapted.teacher_model.bbox_head) is type(adapted.bbox_head)
    assert largest_difference(losses, found) < 3e-6
    assert largest_difference(gradients, found_gradients) < 1e-4


def test_lad_of_registered_heads(images, samples):
    losses = build_detector(lad_config(CLASSES)).loss(images, samples)
    found = build_detector(lad_config(CLASSES, "ColadLADHead")).loss(images, samples)
    assert largest_difference(list(losses.values()), list(found.values())) < 3e-6


def test_a_student_refuses_labels_of_a_stock_teacher(images, samples):
    detector = build_detector(lad_config(CLASSES))
    integration.patch(detector.bbox_head)
    with pytest.raises(TypeError, match="patch the teacher's head too"):
        detector.loss(images, samples)


def test_a_teacher_assigns_the_labels(images, samples, monkeypatch):
    student, teacher = build_detector(detector_config(CLASSES)), build_detector(detector_config(CLASSES), seed=1)
    seen = []
    assign = heads.assign_labels
    monkeypatch.setattr(heads, "assign_labels", lambda *args: seen.append(args[0]) or assign(*args))
    before = list(student.state_dict())
    assert integration.patch(student, teacher=teacher) is student
    student.train()
    losses, gradients = losses_and_gradients(student, images, samples)
    with torch.no_grad():
        logits = teacher.eval().bbox_head(teacher.extract_feat(images))[0]
    for level, expected in zip(seen[-1].logits, logits, strict=True):
        assert torch.equal(level, expected.flatten(2).transpose(1, 2))
    assert sum(losses) > 0 and all(x.isfinite().all() for x in gradients)
    assert list(student.state_dict()) == before
    assert not any(x.requires_grad for x in teacher.parameters())
    assert all(module is not teacher for module in student.modules())
    assert {x.dtype for x in student.double().bbox_head._teacher.parameters()} == {torch.float64}


def test_a_teacher_that_has_the_students_weights_changes_nothing(images, samples):
    student = build_detector(detector_config(CLASSES)).eval()  # as a teacher: with the averages of its norms
    alone = integration.patch(copy.deepcopy(student))
    taught = integration.patch(student, teacher=copy.deepcopy(student))
    assert largest_difference(*(list(x.loss(images, samples).values()) for x in (alone, taught))) == 0


def test_a_function_is_a_teacher_too(images, samples):
    student, teacher = build_detector(detector_config(CLASSES)), build_detector(detector_config(CLASSES), seed=1).eval()
    of_detector = integration.patch(copy.deepcopy(student), teacher=teacher).loss(images, samples)
    of_function = integration.patch(copy.deepcopy(student), teacher=teacher.forward).loss(images, samples)
    pyramid = student.extract_feat(images)
    head = integration.patch(copy.deepcopy(student.bbox_head), teacher=lambda _: teacher(images))
    of_head = head.loss(pyramid, samples)
    for losses in (of_function, of_head):
        assert largest_difference(list(of_detector.values()), list(losses.values())) == 0


def test_a_head_asks_for_what_its_teacher_needs(images, samples):
    detector = integration.patch(build_detector(detector_config(CLASSES)), teacher=lambda images: ())
    pyramid = detector.extract_feat(images)
    with pytest.raises(RuntimeError, match="loss of the detector should be called"):
        detector.bbox_head.loss(pyramid, samples)
    with pytest.raises(RuntimeError, match="loss should be called instead of loss_by_feat"):
        detector.bbox_head.loss_by_feat(*detector.bbox_head(pyramid), [], [])


def test_teachers_that_do_not_fit():
    detector = build_detector(detector_config(CLASSES))
    for teacher, message in (
        (build_detector(detector_config(CLASSES + 1)), "num_classes should be 8, got 9"),
        (detector, "teacher should be another detector"),
    ):
        with pytest.raises(ValueError, match=message):
            integration.patch(detector, teacher=teacher)
    other = build_detector(detector_config(CLASSES))
    other.bbox_head.prior_generator.base_anchors[0] *= 2
    with pytest.raises(ValueError, match="anchors of teacher"):
        integration.patch(detector, teacher=other)
    with pytest.raises(ValueError, match="patch the whole detector"):
        integration.patch(detector.bbox_head, teacher=other)
    with pytest.raises(TypeError, match="a detector or a function, got a int"):
        integration.patch(detector, teacher=3)
    with pytest.raises(ValueError, match="should be None for a LADHead"):
        integration.patch(build_head("LADHead", CLASSES), teacher=lambda pyramid: ())
    with pytest.raises(ValueError, match="should be None for a LADHead"):
        integration.patch(build_detector(lad_config(CLASSES)), teacher=other)
