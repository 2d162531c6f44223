"""LAD and SoLAD: the teacher assigns and nothing else happens to it."""

from __future__ import annotations

import copy

import pytest
import torch

from colad_ops import AssignConfig, paa_assign
from colad_ops.detection import LAD, PAA, PAALoss, SoLAD
from python_tests.support.detection_cases import pictures, targets_of, tiny_network, two_images

METHODS = [LAD, SoLAD]


class RecordingLoss(PAALoss):
    """PAA's losses, remembering the assignment that they were given."""

    def __call__(self, predictions, assignment, valid):
        type(self).last = assignment
        return super().__call__(predictions, assignment, valid)


@pytest.mark.parametrize("method_type", METHODS)
def test_labels_are_the_assignment_on_the_teachers_outputs(method_type: type[LAD]) -> None:
    teacher = tiny_network(1)
    method = method_type(tiny_network(0), teacher, criterion=RecordingLoss()).train()
    images, targets = pictures(), two_images()
    method.loss(images, targets)

    outputs = teacher.eval()(images)
    anchors = outputs.anchors
    expected = paa_assign(
        torch.cat(outputs.logits, 1),
        outputs.boxes,
        anchors.boxes,
        anchors.level_sizes,
        targets.boxes,
        targets.labels,
        targets.offsets,
        AssignConfig(),
        valid=anchors.valid(targets.image_sizes),
    )
    assert torch.equal(RecordingLoss.last.matched, expected.matched)
    assert torch.equal(RecordingLoss.last.cost, expected.cost)
    assert torch.equal(method.assign(images, targets).matched, expected.matched)

    own = PAA(tiny_network(0), criterion=RecordingLoss()).train()
    own.loss(images, targets)
    assert not torch.equal(RecordingLoss.last.matched, expected.matched)  # the student alone would have said otherwise


@pytest.mark.parametrize("method_type", METHODS)
def test_nothing_happens_to_the_teacher(method_type: type[LAD]) -> None:
    teacher = tiny_network(1).train()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    student = tiny_network(0)
    method = method_type(student, teacher)
    optimizer = torch.optim.SGD(method.parameters(), 0.1, weight_decay=0.1)
    for _ in range(2):
        method.train()
        teacher.train()  # somebody else's call
        optimizer.zero_grad()
        method.loss(pictures(), two_images())["loss"].backward()
        optimizer.step()
        assert not any(module.training for module in teacher.modules())
        assert all(module.training for module in student.modules())
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in teacher.parameters())
    after = teacher.state_dict()
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert torch.equal(value, after[name]), name


@pytest.mark.parametrize("method_type", METHODS)
def test_the_teacher_is_in_no_list(method_type: type[LAD]) -> None:
    student, teacher = tiny_network(0), tiny_network(1)
    method = method_type(student, teacher)
    assert {id(parameter) for parameter in method.parameters()} == {id(parameter) for parameter in student.parameters()}
    assert set(method.state_dict()) == {f"student.{name}" for name in student.state_dict()}
    assert not any(module is teacher for module in method.modules())
    assert list(method.networks) == ["student"] and method.networks["student"] is student
    assert method.teacher is teacher


def test_every_student_parameter_learns() -> None:
    method = SoLAD(tiny_network(0), tiny_network(1))
    method.loss(pictures(), two_images())["loss"].backward()
    silent = [
        name
        for name, parameter in method.named_parameters()
        if parameter.grad is None or not torch.isfinite(parameter.grad).all()
    ]
    assert silent == []


def test_a_teacher_that_is_a_copy_gives_paas_labels_at_step_0() -> None:
    # Statistics of the normalisation stay fixed, so that a training forward of the student is the teacher's eval
    # forward.
    student = tiny_network(0, norm_eval=True)
    images, targets = pictures(), two_images()
    lad = LAD(student, copy.deepcopy(student), criterion=RecordingLoss()).train()
    lad_losses = lad.loss(images, targets)
    lad_assignment = RecordingLoss.last
    paa_losses = PAA(student, criterion=RecordingLoss()).train().loss(images, targets)
    assert torch.equal(lad_assignment.matched, RecordingLoss.last.matched)
    for name, value in paa_losses.items():
        assert torch.equal(value, lad_losses[name]), name


def test_teachers_are_loaded_strictly() -> None:
    method = LAD(tiny_network(0), tiny_network(1))
    wanted = tiny_network(2).state_dict()
    method.load_teacher(wanted)
    assert all(torch.equal(value, wanted[name]) for name, value in method.teacher.state_dict().items())
    incomplete = {name: value for name, value in wanted.items() if name != "head.box_scales"}
    with pytest.raises(RuntimeError, match="head.box_scales"):
        method.load_teacher(incomplete)
    with pytest.raises(RuntimeError, match="student.head"):
        method.load_teacher({**wanted, "student.head": torch.zeros(1)})
    with pytest.raises(RuntimeError, match="size mismatch"):
        method.load_teacher(tiny_network(2, num_classes=7).state_dict())


def test_the_teacher_moves_with_the_student() -> None:
    method = LAD(tiny_network(0), tiny_network(1)).double()
    assert {parameter.dtype for parameter in method.teacher.parameters()} == {torch.float64}
    method.to("meta")
    assert {parameter.device.type for parameter in method.teacher.parameters()} == {"meta"}


def test_copies_have_their_own_teacher() -> None:
    method = LAD(tiny_network(0), tiny_network(1))
    twin = copy.deepcopy(method)
    assert twin.teacher is not method.teacher
    assert torch.equal(twin.assign(pictures(), two_images()).matched, method.assign(pictures(), two_images()).matched)


@pytest.mark.parametrize("method_type", METHODS)
@pytest.mark.parametrize(
    "targets", [targets_of([], []), targets_of([], [(10, 20, 60, 60, 2)])], ids=["none", "one empty"]
)
def test_images_without_objects_train(method_type: type[LAD], targets) -> None:
    method = method_type(tiny_network(0), tiny_network(1))
    losses = method.loss(pictures(), targets)
    losses["loss"].backward()
    assert torch.isfinite(losses["loss"])
    assert all(torch.isfinite(parameter.grad).all() for parameter in method.parameters())


def test_soft_labels_come_on_top() -> None:
    student, teacher = tiny_network(0, norm_eval=True), tiny_network(1)
    images, targets = pictures(), two_images()
    hard = LAD(student, teacher).loss(images, targets)
    soft = SoLAD(student, teacher).loss(images, targets)
    for name in ("loss_cls", "loss_box", "loss_iou", "num_pos"):
        assert torch.equal(hard[name], soft[name])
    added = sum(soft[name] for name in ("loss_soft_cls", "loss_soft_box", "loss_soft_iou"))
    assert added > 0
    torch.testing.assert_close(soft["loss"].detach(), hard["loss"].detach() + added)


def test_mismatched_networks_are_refused() -> None:
    student = tiny_network(0)
    with pytest.raises(ValueError, match="another network"):
        LAD(student, student)
    with pytest.raises(ValueError, match="num_classes, got 3 and 4"):
        LAD(student, tiny_network(1, num_classes=4))
    with pytest.raises(ValueError, match="anchor grid"):
        LAD(student, tiny_network(1, scale=4.0))
