"""Boxes as scaled offsets from their anchors (R-CNN's parametrisation)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


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

    def decode(self, anchors: Tensor, deltas: Tensor) -> Tensor:
        """Boxes ``(..., A, 4)``, of ``deltas (..., A, 4)`` on ``anchors (A, 4)``; float32 for half deltas."""
        deltas = deltas.to(torch.promote_types(deltas.dtype, anchors.dtype))
        limit = math.log(self.max_ratio)
        # The stds stay Python numbers: a tensor of them would be copied from the host, with a sync, at every step.
        dx, dy, dw, dh = (delta * std for delta, std in zip(deltas.unbind(-1), self.stds))  # (..., A) each
        x1, y1, x2, y2 = anchors.unbind(-1)  # (A,) each
        width, height = x2 - x1, y2 - y1
        x, y = (x1 + x2) * 0.5 + dx * width, (y1 + y2) * 0.5 + dy * height
        half_width = width * dw.clamp(-limit, limit).exp() * 0.5
        half_height = height * dh.clamp(-limit, limit).exp() * 0.5
        return torch.stack([x - half_width, y - half_height, x + half_width, y + half_height], dim=-1)

    def encode(self, anchors: Tensor, boxes: Tensor) -> Tensor:
        """Deltas ``(..., A, 4)`` of ``boxes (..., A, 4)``, which must have positive width and height."""
        size = anchors[..., 2:] - anchors[..., :2]
        offset = ((boxes[..., :2] + boxes[..., 2:]) - (anchors[..., :2] + anchors[..., 2:])) * 0.5
        ratio = (boxes[..., 2:] - boxes[..., :2]) / size
        components = (*(offset / size).unbind(-1), *ratio.log().unbind(-1))
        return torch.stack([component / std for component, std in zip(components, self.stds)], dim=-1)
