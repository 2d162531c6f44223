"""Boxes as scaled offsets from their anchors (R-CNN's parametrisation)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .. import decode_boxes


@dataclass(frozen=True)
class DeltaCoder:
    """Turns deltas ``(dx, dy, dw, dh)`` into boxes and back.

    ``x = xa + dx * std_x * wa``, ``w = wa * exp(dw * std_w)`` with anchor centre ``xa`` and width ``wa``; likewise y
    and height. The stds are those of RetinaNet, ATSS and PAA. Decoded boxes may leave the image.

    Args:
        stds: factors of ``(dx, dy, dw, dh)``.
        max_ratio: a decoded side is between ``1 / max_ratio`` and ``max_ratio`` times the anchor's, so that no exp
            overflows.
    """

    stds: tuple[float, float, float, float] = (0.1, 0.1, 0.2, 0.2)
    max_ratio: float = 1000 / 16

    def decode(self, anchors: Tensor, deltas: Tensor | Sequence[Tensor]) -> Tensor:
        """Boxes ``(..., A, 4)`` of ``deltas (..., A, 4)`` or of per-level views ``(B, A_l, 4)``, on ``anchors (A, 4)``;
        float32 for half deltas. Anchors get no gradient. See ``colad_ops.decode_boxes``."""
        return decode_boxes(anchors, deltas, stds=self.stds, max_ratio=self.max_ratio)

    def encode(self, anchors: Tensor, boxes: Tensor) -> Tensor:
        """Deltas ``(..., A, 4)`` of ``boxes (..., A, 4)``, which must have positive width and height."""
        size = anchors[..., 2:] - anchors[..., :2]
        offset = ((boxes[..., :2] + boxes[..., 2:]) - (anchors[..., :2] + anchors[..., 2:])) * 0.5
        ratio = (boxes[..., 2:] - boxes[..., :2]) / size
        components = (*(offset / size).unbind(-1), *ratio.log().unbind(-1))
        return torch.stack([component / std for component, std in zip(components, self.stds)], dim=-1)
