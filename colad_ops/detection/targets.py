"""The ground truth of a batch: its objects, as ragged tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Targets:
    """Ground truth of a batch of ``B`` images with ``G`` objects in all.

    Args:
        boxes: (G, 4) float32, ``(x1, y1, x2, y2)`` in pixels of the (resized, unpadded) input picture.
        labels: (G,) int64, ``0 .. C - 1``.
        offsets: (B + 1,) int64; image ``b`` owns rows ``offsets[b]:offsets[b + 1]``. An image without objects owns no
            row.
        image_sizes: (B, 2) int64, ``(height, width)`` of each picture before padding to the batch.
        ignore_boxes: (I, 4) float32 regions (crowds) whose unmatched anchors are ignored by the losses.
        ignore_offsets: (B + 1,) int64, the offsets of ``ignore_boxes``. Both are given or neither.

    Raises:
        ValueError: a shape or dtype is wrong; the message names the argument and what it got. Values are not read
            (that would sync a GPU): the operators report a label out of range.
    """

    boxes: Tensor
    labels: Tensor
    offsets: Tensor
    image_sizes: Tensor
    ignore_boxes: Tensor | None = None
    ignore_offsets: Tensor | None = None

    def __post_init__(self) -> None:
        _require("image_sizes", self.image_sizes, (None, 2), torch.int64)
        batch = self.image_sizes.shape[0]
        _require("boxes", self.boxes, (None, 4), torch.float32)
        _require("labels", self.labels, (self.boxes.shape[0],), torch.int64)
        _require("offsets", self.offsets, (batch + 1,), torch.int64)
        if (self.ignore_boxes is None) != (self.ignore_offsets is None):
            raise ValueError("ignore_boxes and ignore_offsets go together: got only one of them")
        if self.ignore_boxes is not None and self.ignore_offsets is not None:
            _require("ignore_boxes", self.ignore_boxes, (None, 4), torch.float32)
            _require("ignore_offsets", self.ignore_offsets, (batch + 1,), torch.int64)

    @property
    def batch_size(self) -> int:
        return self.image_sizes.shape[0]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Targets:
        """The same targets on ``device``."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Targets:
        """A copy in page-locked memory."""
        return self._map(Tensor.pin_memory)

    def _map(self, move: Callable[[Tensor], Tensor]) -> Targets:
        return Targets(
            move(self.boxes),
            move(self.labels),
            move(self.offsets),
            move(self.image_sizes),
            None if self.ignore_boxes is None else move(self.ignore_boxes),
            None if self.ignore_offsets is None else move(self.ignore_offsets),
        )

    def image_of_object(self) -> Tensor:
        """(G,) int64: the image that owns each object, computed without a host sync."""
        rows = torch.arange(self.boxes.shape[0], device=self.boxes.device)
        return torch.bucketize(rows, self.offsets[1:], right=True)


def _require(name: str, tensor: Tensor, shape: tuple[int | None, ...], dtype: torch.dtype) -> None:
    fits = tensor.dim() == len(shape) and all(want in (None, got) for want, got in zip(shape, tensor.shape))
    if not fits:
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise ValueError(f"{name} should have shape ({wanted}), got {tuple(tensor.shape)}")
    if tensor.dtype != dtype:
        raise ValueError(f"{name} should be {dtype}, got {tensor.dtype}")
