"""One square anchor at each location of the feature pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class Anchors:
    """Anchors of one input size, level by level, rows before columns.

    Attributes:
        boxes: (A, 4) float32 xyxy pixels; anchors at the border leave the image.
        points: (A, 2) float32 ``(x, y)`` centres in pixels.
        level_sizes: number of anchors of each level; they sum to ``A``.
    """

    boxes: Tensor
    points: Tensor
    level_sizes: tuple[int, ...]

    def valid(self, image_sizes: Tensor) -> Tensor:
        """(B, A) bool: is the anchor's cell inside the unpadded image? ``image_sizes (B, 2)`` are ``(height, width)``.

        Cell ``x`` of ``ceil(width / stride)`` cells is inside when ``x * stride < width``, that is when the centre is.
        """
        height, width = image_sizes[:, :, None].unbind(1)  # (B, 1) each
        x, y = self.points.unbind(1)  # (A,) each
        return (x < width) & (y < height)


@dataclass(frozen=True)
class AnchorGrid:
    """Lays square anchors of side ``scale * stride`` with centres ``(x * stride, y * stride)``, as ATSS and PAA do.

    Args:
        strides: of each level, in pixels.
        scale: side of an anchor in strides; 8 in the paper. Smaller for pictures whose objects are small.

    Raises:
        ValueError: no stride, or a stride or scale that is not positive.
    """

    strides: tuple[int, ...]
    scale: float = 8.0

    def __post_init__(self) -> None:
        if not self.strides or min(self.strides) <= 0:
            raise ValueError(f"strides should be one or more positive numbers, got {self.strides}")
        if not self.scale > 0:
            raise ValueError(f"scale should be positive, got {self.scale}")

    def feature_sizes(self, height: int, width: int) -> tuple[tuple[int, int], ...]:
        """``(rows, columns)`` of each level for an input of ``height x width`` pixels."""
        return tuple((-(-height // stride), -(-width // stride)) for stride in self.strides)

    def __call__(self, feature_sizes: Sequence[tuple[int, int]], device: torch.device) -> Anchors:
        """Anchors for maps of ``feature_sizes``, one ``(rows, columns)`` for each level.

        The tensors are cached and shared by all callers: do not write to them.
        """
        if len(feature_sizes) != len(self.strides):
            raise ValueError(
                f"feature_sizes should have one entry for each of the {len(self.strides)} strides, "
                f"got {len(feature_sizes)}"
            )
        return _lay_anchors(self, tuple((int(rows), int(columns)) for rows, columns in feature_sizes), device)


@lru_cache(maxsize=64)
def _lay_anchors(grid: AnchorGrid, feature_sizes: tuple[tuple[int, int], ...], device: torch.device) -> Anchors:
    # The cache lives longer than this call: tensors made in inference mode could never be used in training later.
    with torch.inference_mode(False):
        points, half_sides = [], []
        for stride, (rows, columns) in zip(grid.strides, feature_sizes):
            y, x = torch.meshgrid(
                torch.arange(rows, device=device), torch.arange(columns, device=device), indexing="ij"
            )
            points.append(torch.stack([x, y], dim=2).reshape(-1, 2) * float(stride))  # (rows * columns, 2)
            half_sides.append(torch.full((rows * columns, 1), grid.scale * stride / 2, device=device))
        centres, half = torch.cat(points), torch.cat(half_sides)
        boxes = torch.cat([centres - half, centres + half], dim=1)  # (A, 4)
    return Anchors(boxes, centres, tuple(rows * columns for rows, columns in feature_sizes))
