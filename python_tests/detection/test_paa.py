"""PAA training: what it assigns, what it needs, that it learns."""

from __future__ import annotations

import pytest
import torch

from colad_ops import AssignConfig, paa_assign
from colad_ops.detection import LAD, PAA, CoLAD, Targets
from python_tests.support.detection_cases import CLASSES, pictures, targets_of, tiny_network, two_images


def test_it_learns_from_its_own_predictions() -> None:
    method = PAA(tiny_network(0)).eval()
    images, targets = pictures(), two_images()
    assignment = method.assign(images, targets)
    predictions = method.network(images)
    logits, boxes = torch.cat(predictions.logits, 1).detach(), predictions.boxes.detach()
    anchors = method.anchors(images)
    valid = torch.ones(2, anchors.boxes.shape[0], dtype=torch.bool)
    expected = paa_assign(
        logits,
        boxes,
        anchors.boxes,
        anchors.level_sizes,
        targets.boxes,
        targets.labels,
        targets.offsets,
        AssignConfig(),
        valid=valid,
    )
    assert torch.equal(assignment.matched, expected.matched)
    assert (assignment.num_pos > 0).all() and not assignment.cost.requires_grad


def test_images_without_objects_are_background() -> None:
    method = PAA(tiny_network(0))
    targets = targets_of([], [(10, 20, 60, 60, 2)])
    assignment = method.eval().assign(pictures(), targets)
    assert (assignment.labels(CLASSES)[0] == CLASSES).all() and (assignment.labels(CLASSES)[1] == 2).any()
    losses = method.train().loss(pictures(), targets)
    losses["loss"].backward()
    assert torch.isfinite(losses["loss"]) and losses["num_pos"] > 0


def test_padding_is_no_background() -> None:
    """The classes of anchors in the padding get no gradient, and no object is assigned there."""
    method = PAA(tiny_network(0)).eval()
    boxes = two_images()
    padded = Targets(boxes.boxes, boxes.labels, boxes.offsets, torch.tensor([[64, 96], [64, 64]]))
    captured: list[torch.Tensor] = []

    def capture(module: torch.nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        output.retain_grad()
        captured.append(output)

    method.network.head.class_output.register_forward_hook(capture)
    method.loss(pictures(), padded)["loss"].backward()
    finest = captured[0].grad  # (2, C, 8, 12), stride 8
    assert (finest[1, :, :, 8:] == 0).all() and (finest[0] != 0).all() and (finest[1, :, :, :8] != 0).all()


@pytest.mark.parametrize("name", ["paa", "lad", "colad"])
def test_nobody_assigns_an_object_to_the_padding(name: str) -> None:
    whole = two_images()  # the second image's last object reaches from x = 62 to 90
    padded = Targets(whole.boxes, whole.labels, whole.offsets, torch.tensor([[64, 96], [64, 64]]))
    method = {
        "paa": lambda: PAA(tiny_network(0)),
        "lad": lambda: LAD(tiny_network(0), tiny_network(1)),
        "colad": lambda: CoLAD([tiny_network(0), tiny_network(1)]),
    }[name]().eval()
    invalid = ~method.anchors(pictures()).valid(padded.image_sizes)
    assert invalid.any() and (method.assign(pictures(), whole).matched[invalid] >= 0).any()
    assignment = method.assign(pictures(), padded)
    assert (assignment.matched[invalid] == -1).all() and (assignment.num_pos > 0).all()


def test_crowd_regions_are_left_alone() -> None:
    method = PAA(tiny_network(0)).eval()
    alone = targets_of([(4, 4, 30, 34, 0)], [])
    crowd = Targets(
        alone.boxes,
        alone.labels,
        alone.offsets,
        alone.image_sizes,
        torch.tensor([[0.0, 0.0, 96.0, 64.0]]),
        torch.tensor([0, 0, 1]),
    )
    labels = method.assign(pictures(), crowd).labels(CLASSES)
    assert (labels[0] != -2).all() and (labels[1] == -2).any()
    assert method.loss(pictures(), crowd)["loss_cls"] < method.loss(pictures(), alone)["loss_cls"]


def test_empty_batch() -> None:
    losses = PAA(tiny_network(0)).eval().loss(pictures()[:0], targets_of())
    losses["loss"].backward()
    assert losses["loss"] == 0


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_training_lowers_the_loss_and_finds_the_objects(memory_format: torch.memory_format) -> None:
    torch.manual_seed(0)
    method = PAA(tiny_network(0)).to(memory_format=memory_format).train()
    images, targets = pictures().contiguous(memory_format=memory_format), two_images()
    optimizer = torch.optim.AdamW(method.parameters(), 1e-2)
    history = []
    for _ in range(60):
        losses = method.loss(images, targets)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        history.append(losses["loss"].item())
    assert sum(history[-5:]) < 0.3 * sum(history[:5])
    for image, detections in enumerate(method.eval().network.predict(images, targets.image_sizes)):
        rows = slice(targets.offsets[image], targets.offsets[image + 1])
        assert set(targets.labels[rows].tolist()) <= set(detections.labels.tolist())


def test_calling_the_method_is_its_loss() -> None:
    method = PAA(tiny_network(0)).eval()
    assert torch.equal(method(pictures(), two_images())["loss"], method.loss(pictures(), two_images())["loss"])
    assert list(method.networks) == ["paa"] and method.networks["paa"] is method.network
