"""The network as a whole: shapes, views, sizes, errors."""

from __future__ import annotations

import pytest
import torch

from colad_ops.detection import FPN, AnchorGrid, PAAHead, Targets, build_network
from python_tests.support.detection_cases import CLASSES, pictures, targets_of, tiny_network


@pytest.mark.parametrize("height, width", [(64, 96), (75, 101)])
def test_predictions_fit_the_anchors(height: int, width: int) -> None:
    network = tiny_network(0).eval()
    images = pictures(2, height, width)
    predictions = network(images)
    anchors = network.anchors(images)
    assert torch.equal(anchors.boxes, predictions.anchors.boxes)
    total = sum(anchors.level_sizes)
    assert [level.shape for level in predictions.logits] == [(2, size, CLASSES) for size in anchors.level_sizes]
    assert [level.shape for level in predictions.deltas] == [(2, size, 4) for size in anchors.level_sizes]
    assert [level.shape for level in predictions.iou_logits] == [(2, size) for size in anchors.level_sizes]
    assert predictions.boxes.shape == (2, total, 4) and anchors.boxes.shape == (total, 4)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_predictions_are_views_of_the_maps(memory_format: torch.memory_format) -> None:
    network = tiny_network(0).eval().to(memory_format=memory_format)
    maps: list[torch.Tensor] = []
    network.head.class_output.register_forward_hook(lambda module, inputs, output: maps.append(output))
    predictions = network(pictures().contiguous(memory_format=memory_format))
    for level_map, level in zip(maps, predictions.logits):
        assert level.data_ptr() == level_map.data_ptr()
        row, column = 1, 2
        anchor = row * level_map.shape[3] + column
        if column < level_map.shape[3] and row < level_map.shape[2]:
            assert torch.equal(level[:, anchor], level_map[:, :, row, column])


def test_detached_predictions_share_everything_but_the_graph() -> None:
    predictions = tiny_network(0)(pictures())
    before = predictions.boxes
    detached = predictions.detach()
    assert detached.boxes.data_ptr() == before.data_ptr() and not detached.boxes.requires_grad
    assert not any(level.requires_grad for level in (*detached.logits, *detached.deltas, *detached.iou_logits))
    assert before.requires_grad


def test_every_parameter_gets_a_gradient() -> None:
    network = tiny_network(0)
    predictions = network(pictures())
    (
        predictions.boxes.square().sum()
        + predictions.flat_iou_logits.square().sum()
        + sum(level.square().sum() for level in predictions.logits)
    ).backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


def test_prior_probability_at_the_start() -> None:
    network = build_network("digits_student", 10).eval()
    for level in network(pictures(1, 96, 96)).logits:
        assert level.sigmoid().mean().item() == pytest.approx(0.01, rel=0.2)


@pytest.mark.parametrize("name, millions", [("digits_student", 0.87), ("digits_teacher", 3.4)])
def test_digits_networks_have_the_stated_size(name: str, millions: float) -> None:
    network = build_network(name, 10)
    assert sum(parameter.numel() for parameter in network.parameters()) / 1e6 == pytest.approx(millions, rel=0.05)
    assert network.head.grid.strides == (8, 16, 32)


def test_r50_is_the_papers_network() -> None:
    network = build_network("r50", 80)
    # 32.2 million parameters, of which the backbone without fc has 23,508,032
    assert sum(parameter.numel() for parameter in network.backbone.parameters()) == 23_508_032
    laterals = (512 + 1024 + 2048) * 256 + 3 * 256
    assert sum(parameter.numel() for parameter in network.neck.parameters()) == laterals + 5 * (256 * 256 * 9 + 256)
    towers = 8 * (256 * 256 * 9 + 2 * 256)
    outputs = (80 + 4 + 1) * (256 * 9 + 1)
    assert sum(parameter.numel() for parameter in network.head.parameters()) == towers + outputs + 5
    assert network.head.grid == AnchorGrid((8, 16, 32, 64, 128), 8.0)
    images = pictures(1, 128, 160)
    with torch.no_grad():
        predictions = network.eval()(images)
    assert predictions.anchors.level_sizes == (320, 80, 20, 6, 2)


def test_pretrained_networks_freeze_as_the_paper_does() -> None:
    state = build_network("r18", 5).backbone.state_dict()
    network = build_network(
        "r18", 5, backbone_weights={**state, "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    )
    assert torch.equal(network.backbone.layer4[0].conv1.weight, state["layer4.0.conv1.weight"])
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert frozen and all(name.startswith(("backbone.conv1", "backbone.bn1", "backbone.layer1")) for name in frozen)
    assert not network.train().backbone.layer4[0].bn1.training
    assert all(parameter.requires_grad for parameter in build_network("r18", 5).parameters())


def test_pyramid_adds_coarser_levels_on_its_own_output() -> None:
    torch.manual_seed(0)
    neck = FPN((4, 6), 8, extra_levels=2)
    pyramid = neck([torch.randn(1, 4, 16, 15), torch.randn(1, 6, 8, 8)])
    assert [tuple(level.shape) for level in pyramid] == [(1, 8, 16, 15), (1, 8, 8, 8), (1, 8, 4, 4), (1, 8, 2, 2)]
    assert torch.equal(pyramid[2], neck.extra[0](pyramid[1])) and torch.equal(pyramid[3], neck.extra[1](pyramid[2]))


def test_errors_name_the_argument() -> None:
    network = tiny_network(0)
    with pytest.raises(ValueError, match=r"images should have shape \(B, 3, H, W\), got \(2, 1, 64, 64\)"):
        network(torch.zeros(2, 1, 64, 64))
    with pytest.raises(RuntimeError, match="eval"):
        network.predict(pictures(), torch.tensor([[64, 96]] * 2))
    with pytest.raises(ValueError, match="image_sizes"):
        network.eval().predict(pictures(), torch.tensor([[64, 96]]))
    with pytest.raises(ValueError, match="r152"):
        build_network("r152", 3)
    with pytest.raises(ValueError, match="backbone_weights"):
        build_network("digits_student", 3, backbone_weights={})
    with pytest.raises(ValueError, match="num_classes"):
        PAAHead(8, 0, AnchorGrid((8,)), tower_channels=8, norm_groups=2)
    with pytest.raises(ValueError, match="norm_groups"):
        PAAHead(8, 3, AnchorGrid((8,)), tower_channels=8, norm_groups=3)
    with pytest.raises(ValueError, match="features"):
        network.neck([torch.zeros(1, 8, 4, 4)])


@pytest.mark.parametrize(
    "change, named",
    [
        ({"boxes": torch.zeros(2, 5)}, "boxes"),
        ({"boxes": torch.zeros(2, 4, dtype=torch.float64)}, "boxes"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, "labels"),
        ({"labels": torch.zeros(2, dtype=torch.int32)}, "labels"),
        ({"offsets": torch.zeros(3, dtype=torch.int64)}, "offsets"),
        ({"ignore_boxes": torch.zeros(1, 4)}, "ignore_offsets"),
        ({"image_sizes": torch.zeros(1, 2)}, "image_sizes"),
    ],
)
def test_targets_refuse_what_does_not_fit(change: dict, named: str) -> None:
    good = {
        "boxes": torch.zeros(2, 4),
        "labels": torch.zeros(2, dtype=torch.int64),
        "offsets": torch.tensor([0, 2]),
        "image_sizes": torch.tensor([[64, 96]]),
    }
    assert Targets(**good).batch_size == 1
    with pytest.raises(ValueError, match=named):
        Targets(**{**good, **change})


def test_image_of_object_skips_empty_images() -> None:
    box = (0, 0, 9, 9, 0)
    targets = targets_of([], [box, box], [], [box], [])
    assert targets.image_of_object().tolist() == [1, 1, 3]
    assert targets_of([], []).image_of_object().tolist() == []
