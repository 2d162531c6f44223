"""What a detection network predicts for every anchor."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .anchors import Anchors
from .box_coder import DeltaCoder


@dataclass(frozen=True)
class Predictions:
    """Predictions of ``B`` images. The lists have one entry for each level: views of the network's NCHW maps, not
    copies.

    Attributes:
        logits: (B, A_l, C) classification logits.
        deltas: (B, A_l, 4) box offsets, in the coder's units.
        iou_logits: (B, A_l) logits of the predicted IoU.
        boxes: (B, A, 4) the decoded ``deltas``, xyxy pixels, not clipped to the image. They are decoded once, when the
            predictions are made: assigner and losses share them.
        anchors: the anchors that they belong to.
    """

    logits: list[Tensor]
    deltas: list[Tensor]
    iou_logits: list[Tensor]
    boxes: Tensor
    anchors: Anchors

    @classmethod
    def from_levels(
        cls, logits: list[Tensor], deltas: list[Tensor], iou_logits: list[Tensor], anchors: Anchors, coder: DeltaCoder
    ) -> Predictions:
        """From the lists of the class; ``coder`` decodes the boxes."""
        return cls(logits, deltas, iou_logits, coder.decode(anchors.boxes, deltas), anchors)

    @classmethod
    def from_maps(
        cls, logits: list[Tensor], deltas: list[Tensor], iou_logits: list[Tensor], anchors: Anchors, coder: DeltaCoder
    ) -> Predictions:
        """From maps ``(B, C, H_l, W_l)``, ``(B, 4, H_l, W_l)`` and ``(B, 1, H_l, W_l)``."""
        return cls.from_levels(
            [level_map.flatten(2).transpose(1, 2) for level_map in logits],
            [level_map.flatten(2).transpose(1, 2) for level_map in deltas],
            [level_map.flatten(1) for level_map in iou_logits],
            anchors,
            coder,
        )

    @property
    def num_classes(self) -> int:
        return self.logits[0].shape[2]

    @property
    def batch_size(self) -> int:
        return self.logits[0].shape[0]

    @property
    def flat_iou_logits(self) -> Tensor:
        """(B, A) ``iou_logits`` of all levels, copied."""
        return torch.cat(self.iou_logits, dim=1)

    def detach(self) -> Predictions:
        """The same predictions without gradient, for an assigner."""
        return Predictions(
            [level.detach() for level in self.logits],
            [level.detach() for level in self.deltas],
            [level.detach() for level in self.iou_logits],
            self.boxes.detach(),
            self.anchors,
        )

    def per_level(self, flat: Tensor) -> tuple[Tensor, ...]:
        """Splits ``flat (B, A, ...)`` into views ``(B, A_l, ...)``."""
        return flat.split(self.anchors.level_sizes, dim=1)
