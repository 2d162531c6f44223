"""Random detection scenes for the tests: pyramids of anchors, objects, and predictions of a half-trained network. Also
the outputs of a network: channel maps and detections."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from colad_ops import ragged


def random_boxes(generator: torch.Generator, count: int, size: float = 100.0, smallest: float = 1.0) -> Tensor:
    """``(count, 4)`` boxes inside ``size`` x ``size`` pixels, sides from ``smallest`` up."""
    centre = torch.rand(count, 2, generator=generator) * size
    side = smallest + torch.rand(count, 2, generator=generator) * size / 2
    return torch.cat([centre - side / 2, centre + side / 2], dim=1)


@dataclass
class Scene:
    anchors: Tensor
    level_sizes: list[int]
    gt_boxes: Tensor
    gt_labels: Tensor
    gt_offsets: Tensor
    logits: Tensor  # (B, A, C)
    boxes: Tensor  # (B, A, 4)


def make_scene(
    objects: list[int],
    *,
    size: int = 96,
    strides=(8, 16, 32),
    scale: float = 3.0,
    classes: int = 5,
    seed: int = 0,
    smallest: float = 8.0,
) -> Scene:
    """One image for each entry of ``objects``; the entry is the number of its objects. Anchors have side
    ``scale * stride``."""
    generator = torch.Generator().manual_seed(seed)
    anchors, level_sizes = [], []
    for stride in strides:
        steps = torch.arange(0, size, stride, dtype=torch.float32)
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        centre = torch.stack([x, y], dim=-1).reshape(-1, 2)
        anchors.append(torch.cat([centre - scale * stride / 2, centre + scale * stride / 2], dim=1))
        level_sizes.append(len(centre))
    anchors = torch.cat(anchors)
    of_images = [random_boxes(generator, n, size, smallest) for n in objects]
    gt_boxes, gt_offsets = ragged(of_images) if objects else (torch.zeros(0, 4), torch.tensor([0]))
    gt_labels = torch.randint(0, classes, (len(gt_boxes),), generator=generator)
    images = len(objects)
    logits = torch.randn(images, len(anchors), classes, generator=generator) - 2
    boxes = anchors + torch.randn(images, len(anchors), 4, generator=generator) * 6
    return Scene(anchors, level_sizes, gt_boxes, gt_labels, gt_offsets, logits, boxes)


def channel_first_views(rows: Tensor, level_sizes: list[int]) -> list[Tensor]:
    """The layout of a convolution's output: per-level maps (B, C, A_l), viewed as (B, A_l, C)."""
    return [level.transpose(1, 2).contiguous().transpose(1, 2) for level in rows.split(level_sizes, dim=1)]


def detections(count: int, classes: int = 3, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes, scores and labels before NMS."""
    generator = torch.Generator().manual_seed(seed)
    boxes = random_boxes(generator, count, 60.0, 10.0)
    scores = (torch.rand(count, generator=generator) * 20).round() / 20  # with ties
    return boxes, scores, torch.randint(0, classes, (count,), generator=generator)
