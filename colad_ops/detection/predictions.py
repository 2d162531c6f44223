"""What a detection network predicts for every anchor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from .anchors import Anchors
from .box_coder import DeltaCoder


@dataclass(frozen=True)
class Predictions:
    """Predictions of ``B`` images, one entry for each level. All are views of the network's NCHW maps, not copies.

    Attributes:
        logits: (B, A_l, C) classification logits.
        deltas: (B, A_l, 4) box offsets, in the coder's units.
        iou_logits: (B, A_l) logits of the predicted IoU.
        anchors: the anchors that they belong to.
        coder: decodes ``deltas``.
    """

    logits: list[Tensor]
    deltas: list[Tensor]
    iou_logits: list[Tensor]
    anchors: Anchors
    coder: DeltaCoder

    @classmethod
    def from_maps(
        cls, logits: list[Tensor], deltas: list[Tensor], iou_logits: list[Tensor], anchors: Anchors, coder: DeltaCoder
    ) -> Predictions:
        """From maps ``(B, C, H_l, W_l)``, ``(B, 4, H_l, W_l)`` and ``(B, 1, H_l, W_l)``."""
        return cls(
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

    @cached_property
    def boxes(self) -> Tensor:
        """(B, A, 4) decoded boxes, xyxy pixels, not clipped to the image."""
        return self.coder.decode(self.anchors.boxes, torch.cat(self.deltas, dim=1))

    @cached_property
    def flat_iou_logits(self) -> Tensor:
        """(B, A) ``iou_logits`` of all levels."""
        return torch.cat(self.iou_logits, dim=1)

    def detach(self) -> Predictions:
        """The same predictions without gradient, for an assigner. Boxes that are already decoded are shared."""
        detached = replace(
            self,
            logits=[level.detach() for level in self.logits],
            deltas=[level.detach() for level in self.deltas],
            iou_logits=[level.detach() for level in self.iou_logits],
        )
        if "boxes" in self.__dict__:
            detached.__dict__["boxes"] = self.boxes.detach()
        return detached

    def per_level(self, flat: Tensor) -> tuple[Tensor, ...]:
        """Splits ``flat (B, A, ...)`` into views ``(B, A_l, ...)``."""
        return flat.split(self.anchors.level_sizes, dim=1)
