"""Ragged batches: the rows of all images one after the other, and the offset of each image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def ragged(tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Joins a list with one tensor for each image into ``(rows, offsets)``. Every operator takes objects in this form.

    Args:
        tensors: B tensors ``(n_b, ...)`` of one dtype and device. ``n_b`` may be 0; then ``torch.tensor([])`` of this
            dtype stands for any shape ``(0, ...)``.

    Returns:
        ``rows (n_0 + ... + n_{B-1}, ...)`` and ``offsets (B + 1,)`` int64 on the same device: image ``b`` owns rows
        ``offsets[b]:offsets[b + 1]``. There is no device sync, because the host knows the sizes.

    Raises:
        ValueError: an empty list (dtype and trailing shape would be unknown); a tensor instead of a list; a tensor
            without dimensions; a tensor of another dtype or device.
        RuntimeError: trailing shapes that differ (raised by ``torch.cat``).
    """
    if isinstance(tensors, Tensor):
        raise ValueError(f"tensors should be a list, one tensor an image, got a tensor of shape {tuple(tensors.shape)}")
    if len(tensors) == 0:
        raise ValueError(
            "tensors should hold at least one tensor (an image without objects is a tensor with 0 rows), got none"
        )
    ends = [0]
    for i, tensor in enumerate(tensors):
        if tensor.dim() == 0:
            raise ValueError(f"tensors[{i}] should have shape (n, ...), got ()")
        if tensor.dtype != tensors[0].dtype or tensor.device != tensors[0].device:
            raise ValueError(
                f"tensors[{i}] should be {tensors[0].dtype} on {tensors[0].device} as tensors[0], "
                f"got {tensor.dtype} on {tensor.device}"
            )
        ends.append(ends[-1] + tensor.shape[0])
    return torch.cat(list(tensors)), torch.tensor(ends, dtype=torch.int64).to(tensors[0].device, non_blocking=True)
