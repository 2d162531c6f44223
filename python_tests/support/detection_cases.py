"""Small networks, pictures and golden predictions that the detection tests share."""

from __future__ import annotations

import numpy as np
import torch

from colad_ops.detection import (
    FPN,
    AnchorGrid,
    BasicBlock,
    DeltaCoder,
    DetectionNetwork,
    PAAHead,
    Predictions,
    ResNet,
    Targets,
)

CLASSES = 3


def tiny_network(seed: int, *, num_classes: int = CLASSES, scale: float = 3.0, **backbone_options) -> DetectionNetwork:
    """A network with a few thousand parameters on strides 8, 16, 32. The same seed gives the same network."""
    torch.manual_seed(seed)
    backbone = ResNet(BasicBlock, (1, 1, 1, 1), widths=(8, 8, 16, 16), stem="small", **backbone_options)
    neck = FPN(backbone.out_channels, 8)
    head = PAAHead(8, num_classes, AnchorGrid(backbone.strides, scale), tower_convs=1, tower_channels=8, norm_groups=2)
    # With the usual small initialisation all anchors of an object have nearly equal predictions. Larger weights give
    # different predictions, so that the assignment has to choose.
    for output in (head.class_output, head.box_output, head.iou_output):
        torch.nn.init.normal_(output.weight, std=0.3)
    return DetectionNetwork(backbone, neck, head)


def pictures(batch: int = 2, height: int = 64, width: int = 96, seed: int = 0) -> torch.Tensor:
    """(batch, 3, height, width) of noise."""
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def targets_of(
    *boxes_and_labels: list[tuple[float, float, float, float, int]], height: int = 64, width: int = 96
) -> Targets:
    """Targets from one list of ``(x1, y1, x2, y2, label)`` for each image."""
    rows = torch.tensor([row for image in boxes_and_labels for row in image], dtype=torch.float32).reshape(-1, 5)
    offsets = torch.tensor([0] + [len(image) for image in boxes_and_labels]).cumsum(0)
    sizes = torch.tensor([[height, width]] * len(boxes_and_labels), dtype=torch.int64).reshape(-1, 2)
    return Targets(rows[:, :4].contiguous(), rows[:, 4].long(), offsets, sizes)


def two_images() -> Targets:
    """Three objects in the first image, two in the second."""
    return targets_of(
        [(4, 4, 30, 34, 0), (40, 8, 76, 56, 1), (70, 2, 92, 24, 2)], [(10, 20, 60, 60, 2), (62, 6, 90, 30, 0)]
    )


def golden_predictions(arrays: dict[str, np.ndarray]) -> Predictions:
    """The predictions of a golden set (A or F) on our own anchors."""
    grid = AnchorGrid(tuple(int(stride) for stride in arrays["strides"]))
    anchors = grid([(int(rows), int(columns)) for rows, columns in arrays["feat_hw"]], torch.device("cpu"))

    def per_level(name: str) -> list[torch.Tensor]:
        return list(torch.from_numpy(arrays[name]).split(anchors.level_sizes, dim=1))

    return Predictions.from_levels(
        per_level("cls_logits"), per_level("bbox_deltas"), per_level("iou_logits"), anchors, DeltaCoder()
    )
