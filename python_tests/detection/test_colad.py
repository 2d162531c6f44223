"""CoLAD: the indicator names the assigner, and everybody learns."""

from __future__ import annotations

import pytest
import torch

from colad_ops import AssignConfig, paa_assign
from colad_ops.detection import PAA, CoLAD
from python_tests.support.detection_cases import pictures, targets_of, tiny_network, two_images

SEEDS = [(0, 1), (1, 0), (2, 3), (4, 1, 0)]


def assignments_alone(method: CoLAD, images: torch.Tensor, targets) -> list:
    """What each network would assign if it were alone."""
    return [PAA(network).assign(images, targets) for network in method.learners]


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("indicator", ["std_mean", "fisher"])
def test_the_assigner_is_the_one_that_the_indicator_names(seeds: tuple[int, ...], indicator: str) -> None:
    method = CoLAD([tiny_network(seed) for seed in seeds], indicator=indicator).eval()
    images, targets = pictures(), two_images()
    chosen = method.co_assign(images, targets)
    best = int(chosen.indicators.argmax())
    assert (chosen.teacher == best).all()
    alone = assignments_alone(method, images, targets)
    own = [one.fisher if indicator == "fisher" else one.std / one.mean for one in alone]
    torch.testing.assert_close(chosen.indicators, torch.stack(own).mean(dim=1))
    assert torch.equal(chosen.assignment.matched, alone[best].matched)
    assert torch.equal(method.assign(images, targets).matched, alone[best].matched)
    assert any(not torch.equal(other.matched, alone[best].matched) for other in alone)  # the choice matters


def test_the_choice_follows_the_network_not_its_place() -> None:
    images, targets = pictures(), two_images()
    one = CoLAD([tiny_network(0), tiny_network(1)]).eval().co_assign(images, targets)
    other = CoLAD([tiny_network(1), tiny_network(0)]).eval().co_assign(images, targets)
    assert torch.equal(one.indicators, other.indicators.flip(0)) and one.indicators[0] != one.indicators[1]
    assert (one.teacher == 1 - other.teacher).all()
    assert torch.equal(one.assignment.matched, other.assignment.matched)


def test_equal_networks_let_the_first_assign() -> None:
    chosen = CoLAD([tiny_network(0), tiny_network(0)]).eval().co_assign(pictures(), two_images())
    assert (chosen.teacher == 0).all() and chosen.indicators[0] == chosen.indicators[1]


@pytest.mark.parametrize("granularity", ["iteration", "image", "object"])
def test_both_learn_from_the_same_labels(granularity: str) -> None:
    method = CoLAD([tiny_network(0, norm_eval=True), tiny_network(1, norm_eval=True)], granularity=granularity).train()
    images, targets = pictures(), two_images()
    losses = method.loss(images, targets)
    losses["loss"].backward()
    for name, parameter in method.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
    for network in method.learners:
        assert network.head.class_output.weight.grad.abs().sum() > 0
        assert network.head.box_output.weight.grad.abs().sum() > 0
    assert losses["network0/num_pos"] == losses["network1/num_pos"] == method.assign(images, targets).num_pos.sum()
    parts = [value for name, value in losses.items() if "/loss_" in name]
    assert len(parts) == 6
    torch.testing.assert_close(losses["loss"].detach(), torch.stack(parts).sum())
    assert losses["network0/indicator"] != losses["network1/indicator"]


def test_each_network_can_be_evaluated_alone() -> None:
    first, second = tiny_network(0), tiny_network(1)
    method = CoLAD([first, second])
    assert list(method.networks) == ["network0", "network1"]
    assert method.networks["network0"] is first and method.networks["network1"] is second
    assert set(method.networks["network1"].state_dict()) == set(second.state_dict())


@pytest.mark.parametrize(
    "targets", [targets_of([], []), targets_of([], [(10, 20, 60, 60, 2)])], ids=["none", "one empty"]
)
def test_images_without_objects_train(targets) -> None:
    method = CoLAD([tiny_network(0), tiny_network(1)])
    losses = method.loss(pictures(), targets)
    losses["loss"].backward()
    assert torch.isfinite(losses["loss"])
    assert all(torch.isfinite(parameter.grad).all() for parameter in method.parameters())


def test_networks_of_different_size_learn_together() -> None:
    from colad_ops.detection import build_network

    torch.manual_seed(0)
    method = CoLAD([build_network("digits_student", 3), build_network("digits_teacher", 3)])
    losses = method.loss(pictures(2, 96, 96), targets_of([(10, 20, 40, 60, 1)], [], height=96, width=96))
    losses["loss"].backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in method.parameters())


def test_bad_networks_are_named() -> None:
    network = tiny_network(0)
    with pytest.raises(ValueError, match="two or more, got 1"):
        CoLAD([network])
    with pytest.raises(ValueError, match="twice"):
        CoLAD([network, network])
    with pytest.raises(ValueError, match=r"networks\[1\].*num_classes, got 3 and 5"):
        CoLAD([network, tiny_network(1, num_classes=5)])


def test_assignment_is_the_operators_own() -> None:
    """CoLAD's labels equal PAA's assignment on the chosen network's raw outputs."""
    method = CoLAD([tiny_network(0), tiny_network(1)]).eval()
    images, targets = pictures(), two_images()
    chosen = method.co_assign(images, targets)
    outputs = method.learners[int(chosen.teacher[0])](images)
    expected = paa_assign(
        torch.cat(outputs.logits, 1).detach(),
        outputs.boxes.detach(),
        outputs.anchors.boxes,
        outputs.anchors.level_sizes,
        targets.boxes,
        targets.labels,
        targets.offsets,
        AssignConfig(),
    )
    assert torch.equal(chosen.assignment.matched, expected.matched)
