"""Label assignment for a head of one's own: from its maps and targets in torchvision's format to labels, boxes and
normalisers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import AssignConfig, Assignment, paa_assign, ragged
from .positives import Positives
from .ranks import mean_over_ranks


@dataclass(frozen=True)
class HeadTargets:
    """What a head learns from a batch: B images, A anchors, G objects.

    Attributes:
        labels: (B, A) int64: the class of each anchor, ``num_classes`` for background, -2 for ignored, as
            ``colad_ops.sigmoid_focal_loss`` takes them.
        num_pos: float32 scalar on the device, the normaliser: number of positives of the batch, at least 1. In a
            distributed run the mean over all ranks (DistributedDataParallel averages the gradients).
        assignment: all results of the assignment.
        level_sizes: number of anchors of each level.
        most_positives: the largest number of positives that these objects can have: ``topk`` an object and level.
    """

    labels: Tensor
    num_pos: Tensor
    assignment: Assignment
    level_sizes: tuple[int, ...]
    most_positives: int

    @property
    def positive(self) -> Tensor:
        """(B, A) bool: the anchors that learn an object."""
        return self.assignment.matched >= 0

    def boxes(self) -> Tensor:
        """(B, A, 4) xyxy pixels: the box that each anchor learns, 0 where it has none."""
        return self.assignment.boxes()

    def iou(self, boxes: Tensor, *, mode: str = "iou") -> Tensor:
        """(B, A): IoU (or another mode of ``colad_ops.box_iou``) of ``boxes (B, A, 4)`` with the box that each anchor
        learns, 0 where it has none; differentiable in ``boxes``."""
        return self.assignment.iou(boxes, mode=mode)

    def positives(self) -> Positives:
        """The positive anchors as rows, for losses that are computed on positives only."""
        return Positives.of(self.assignment, self.most_positives)

    def per_level(self, flat: Tensor) -> tuple[Tensor, ...]:
        """Splits ``flat (B, A, ...)`` into views ``(B, A_l, ...)``."""
        return flat.split(self.level_sizes, dim=1)


class HeadAssigner:
    """Assigns labels inside a dense head that is not one of ours (PAA; LAD with the maps of a teacher).

    A head holds one and calls it in its loss. Per level, ``class_maps`` and ``delta_maps`` are its outputs::

        boxes = decode_boxes(anchors, flatten_maps(delta_maps, 4))
        taught = assigner(class_maps, boxes, anchors, targets)  # for LAD: class_maps and boxes of the teacher
        levels = zip(flatten_maps(class_maps, num_classes), taught.per_level(taught.labels))
        loss_cls = sum(sigmoid_focal_loss(*level, reduction="sum", avg_factor=taught.num_pos) for level in levels)
        loss_box = ((1 - taught.iou(boxes, mode="giou")) * taught.positive).sum() / taught.num_pos

    Logits are read in their own dtype, half included. Boxes and anchors are taken as float32, and the cost and the
    mixtures are computed in float32 and float64, also under autocast.

    Args:
        num_classes: ``C``, the class channels of an anchor.
        config: options of the assignment.
        anchor_scale: factor of the anchors' sides for the matching. Anchors of one stride, as in FCOS, overlap too few
            objects; ``8`` makes them those of ATSS and PAA.
        over_ranks: False: the normaliser is that of this rank, without communication.

    Raises:
        ValueError: ``num_classes < 1``, or ``anchor_scale`` that is not positive.
    """

    def __init__(
        self,
        num_classes: int,
        config: AssignConfig = AssignConfig(),
        *,
        anchor_scale: float = 1.0,
        over_ranks: bool = True,
    ) -> None:
        if num_classes < 1:
            raise ValueError(f"num_classes should be at least 1, got {num_classes}")
        if not anchor_scale > 0:
            raise ValueError(f"anchor_scale should be positive, got {anchor_scale}")
        self.num_classes = num_classes
        self.config = config
        self.anchor_scale = anchor_scale
        self.over_ranks = over_ranks

    @torch.no_grad()
    def __call__(
        self,
        class_maps: Sequence[Tensor],
        boxes: Tensor,
        anchors: Tensor,
        targets: Sequence[Mapping[str, Tensor]] | Objects,
        *,
        probs: bool = False,
        valid: Tensor | None = None,
    ) -> HeadTargets:
        """The labels of a batch, without gradient and without a host sync.

        Args:
            class_maps: one for each level: logits ``(B, K * C, H_l, W_l)``, with ``K`` anchors a location, or
                ``(B, A_l, C)``.
            boxes: (B, A, 4) decoded boxes of the same network, xyxy pixels.
            anchors: (A, 4) xyxy pixels, in the order of the maps: levels, rows, columns, anchors of a location.
            targets: for each image ``"boxes" (n, 4)`` xyxy pixels and ``"labels" (n,)`` int64 in ``0 .. C - 1``. With
                ``"iscrowd" (n,)``, the rows of value 1 are no objects: unmatched anchors inside them are ignored.
            probs: ``class_maps`` holds probabilities.
            valid: (A,) or (B, A) bool, anchors that may take part (not in the padding).

        Raises:
            ValueError: maps whose channels do not fit ``num_classes``.
            RuntimeError: another shape, dtype or device that is wrong (see ``colad_ops.paa_assign``).
        """
        logits = flatten_maps(class_maps, self.num_classes)
        level_sizes = tuple(level.shape[1] for level in logits)
        objects = targets if isinstance(targets, Objects) else Objects.of(targets)
        assignment = paa_assign(
            logits,
            boxes.float(),
            scaled(anchors.float(), self.anchor_scale),
            level_sizes,
            objects.boxes,
            objects.labels,
            objects.offsets,
            self.config,
            valid=valid,
            ignore_boxes=objects.ignore_boxes,
            ignore_offsets=None if objects.ignore_boxes is None else objects.offsets,
            probs=probs,
        )
        num_pos = assignment.num_pos_total.float()
        if self.over_ranks:
            num_pos = mean_over_ranks(num_pos)
        most_positives = min(assignment.matched.numel(), len(objects.boxes) * len(level_sizes) * self.config.topk)
        labels = assignment.labels(self.num_classes)
        return HeadTargets(labels, num_pos.clamp(min=1), assignment, level_sizes, most_positives)


@dataclass(frozen=True)
class Objects:
    """The objects of a batch as the operators take them, from targets in torchvision's format.

    A compiled loss takes this instead of the targets: then only the number of all objects is dynamic.
    """

    boxes: Tensor  # (G, 4) float32
    labels: Tensor  # (G,) int64
    offsets: Tensor  # (B + 1,) int64
    ignore_boxes: Tensor | None  # (G, 4) float32: the crowds

    @classmethod
    def of(cls, targets: Sequence[Mapping[str, Tensor]]) -> Objects:
        boxes, offsets = ragged([target["boxes"].float() for target in targets])
        labels = torch.cat([target["labels"] for target in targets])
        if not any("iscrowd" in target for target in targets):
            return cls(boxes, labels, offsets, None)
        flags = [target.get("iscrowd", torch.zeros_like(target["labels"])) for target in targets]
        for image, (flag, target) in enumerate(zip(flags, targets)):
            if flag.shape != target["labels"].shape:
                wanted, got = tuple(target["labels"].shape), tuple(flag.shape)
                raise ValueError(f"targets[{image}]['iscrowd'] should have shape {wanted}, got {got}")
        crowd = torch.cat(flags).bool()[:, None]
        # Picking rows would need their number on the host. A box of NaN matches nothing, so every row can stay.
        nan = float("nan")
        return cls(boxes.masked_fill(crowd, nan), labels, offsets, boxes.masked_fill(~crowd, nan))


def flatten_maps(maps: Sequence[Tensor], channels: int) -> list[Tensor]:
    """Views ``(B, A_l, channels)`` of maps ``(B, K * channels, H_l, W_l)``, anchors by row, column and then ``k``.
    With ``K > 1`` the anchors of a location do not have one stride in memory, and the result is a copy.

    Entries ``(B, A_l, channels)`` are returned as they are.

    Raises:
        ValueError: a map of another shape.
    """
    return [_flatten_map(level_map, channels, level) for level, level_map in enumerate(maps)]


def _flatten_map(level_map: Tensor, channels: int, level: int) -> Tensor:
    shape = tuple(level_map.shape)
    if len(shape) == 3 and shape[2] == channels:
        return level_map
    if len(shape) != 4 or shape[1] == 0 or shape[1] % channels:
        raise ValueError(
            f"maps[{level}] should have shape (B, K * {channels}, H, W) or (B, A_l, {channels}), got {shape}"
        )
    if shape[1] == channels:
        return level_map.flatten(2).transpose(1, 2)
    by_anchor = level_map.unflatten(1, (-1, channels))  # (B, K, channels, H, W)
    return by_anchor.permute(0, 3, 4, 1, 2).flatten(1, 3)


def scaled(anchors: Tensor, scale: float) -> Tensor:
    """``anchors (A, 4)`` with sides ``scale`` times as long and the same centres."""
    if scale == 1:
        return anchors
    centres, half = (anchors[:, :2] + anchors[:, 2:]) / 2, (anchors[:, 2:] - anchors[:, :2]) / 2
    return torch.cat([centres - scale * half, centres + scale * half], dim=1)
