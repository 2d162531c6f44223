"""The workload of the benches and the roofline: a batch as in training on COCO, with the predictions of a half-trained
detector."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import lru_cache

import torch
from torch import Tensor

from colad_ops import AssignConfig, match_anchors, ragged
from colad_ops.detection.anchors import AnchorGrid

STRIDES = (8, 16, 32, 64, 128)
# Sides of COCO's objects are log-normal: 41 % below 32 and 75 % below 96 pixels of the original picture give these.
LOG_SIDE_MEAN, LOG_SIDE_STD = 3.74, 1.20
SMALL = {"images": 2, "objects": 6, "height": 128, "width": 160, "classes": 8}  # of make_workload: runs in moments
BATCH = {"images": 8, "objects": 58, "height": 800, "width": 1344, "classes": 80}  # of the benches on a CPU
RESIZE = 5 / 3  # a picture of 640 x 480 brought to a short side of 800


@dataclass
class Workload:
    anchors: Tensor
    level_sizes: list[int]
    gt_boxes: Tensor
    gt_labels: Tensor
    gt_offsets: Tensor
    class_maps: list[Tensor]  # (B, C, H_l, W_l), as a head writes them
    box_maps: list[Tensor]  # (B, 4, H_l, W_l)
    teacher_maps: list[Tensor]  # (B, C, H_l, W_l): another network's
    config: AssignConfig = field(default_factory=AssignConfig)

    @property
    def images(self) -> int:
        return self.class_maps[0].shape[0]

    @property
    def classes(self) -> int:
        return self.class_maps[0].shape[1]

    def logits(self) -> list[Tensor]:
        return views(self.class_maps)

    def boxes(self) -> list[Tensor]:
        return views(self.box_maps)

    def assign_arguments(self) -> tuple:
        return (
            self.logits(), self.boxes(), self.anchors, self.level_sizes, self.gt_boxes, self.gt_labels,
            self.gt_offsets, self.config,
        )  # fmt: skip

    def to(self, device: torch.device) -> Workload:
        def moved(value):
            if isinstance(value, list):
                return [moved(x) for x in value]
            return value.to(device) if isinstance(value, Tensor) else value

        return replace(self, **{f.name: moved(getattr(self, f.name)) for f in fields(self)})


def views(maps: list[Tensor]) -> list[Tensor]:
    """NCHW maps as views ``(B, A_l, channels)``, without a copy."""
    return [m.flatten(2).transpose(1, 2) for m in maps]


def objects_of_images(images: int, total: int, generator: torch.Generator) -> list[int]:
    """Number of objects in each image, with sum ``total``: at least 1, as uneven as in COCO (log-normal). If ``total``
    is less than the number of images, some images are empty."""
    if total < images:
        return [1] * total + [0] * (images - total)
    share = torch.randn(images, generator=generator).exp()
    counts = [1 + int(x) for x in share / share.sum() * (total - images)]
    counts[0] += total - sum(counts)
    return counts


def random_objects(count: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    side = (LOG_SIDE_MEAN + LOG_SIDE_STD * torch.randn(count, generator=generator)).exp() * RESIZE
    aspect = (0.4 * torch.randn(count, generator=generator)).exp()  # its square is width / height
    size = torch.stack([(side * aspect).clamp(4, 0.9 * width), (side / aspect).clamp(4, 0.9 * height)], dim=1)
    room = torch.tensor([width, height]) - size
    corner = torch.rand(count, 2, generator=generator) * room
    return torch.cat([corner, corner + size], dim=1)


def make_workload(
    images: int = 16, objects: int = 117, height: int = 800, width: int = 1344, classes: int = 80, seed: int = 0
) -> Workload:
    generator = torch.Generator().manual_seed(seed)
    grid = AnchorGrid(STRIDES)
    sides = grid.feature_sizes(height, width)
    laid = grid(sides, torch.device("cpu"))
    counts = objects_of_images(images, objects, generator)
    gt_boxes, gt_offsets = ragged([random_objects(n, height, width, generator) for n in counts])
    gt_labels = torch.randint(0, classes, (len(gt_boxes),), generator=generator)

    match = match_anchors(laid.boxes, gt_boxes, gt_offsets)
    near = match.matched.clamp(min=0)
    with_object = match.matched >= 0
    logits = torch.randn(images, len(laid.boxes), classes, generator=generator) - 4
    raised = torch.where(with_object, 4 * match.iou + torch.randn(match.iou.shape, generator=generator), 0)
    logits.scatter_add_(2, gt_labels[near][:, :, None], raised[:, :, None])
    teacher = logits + 0.5 * torch.randn(logits.shape, generator=generator)
    jitter = torch.randn(images, len(laid.boxes), 4, generator=generator)
    half_way = laid.boxes + torch.where(with_object[:, :, None], 0.5 * (gt_boxes[near] - laid.boxes), 0)
    boxes = half_way + 0.05 * (laid.boxes[:, 2:] - laid.boxes[:, :2]).repeat(1, 2) * jitter

    def maps(rows: Tensor) -> list[Tensor]:
        levels = rows.split(list(laid.level_sizes), dim=1)
        return [x.transpose(1, 2).reshape(images, -1, h, w).contiguous() for x, (h, w) in zip(levels, sides)]

    return Workload(
        laid.boxes, list(laid.level_sizes), gt_boxes, gt_labels, gt_offsets, maps(logits), maps(boxes), maps(teacher)
    )


workload = lru_cache(maxsize=4)(make_workload)
