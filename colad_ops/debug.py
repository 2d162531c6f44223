"""Checks of the values in CUDA tensors, e.g. that labels are in range. They are off by default because they wait for
the device."""

from __future__ import annotations

import torch
from torch import Tensor

_debug = False


def set_debug(enabled: bool) -> None:
    """Turns the checks of values in CUDA tensors on or off. They raise the same errors as on the CPU, and they sync the
    host at every call."""
    global _debug
    _debug = bool(enabled)


def checks_data(tensor: Tensor) -> bool:
    """Whether Python should check the values of ``tensor``. CPU kernels always check the values themselves."""
    return _debug and tensor.is_cuda and not torch.compiler.is_compiling()


def check_range(name: str, values: Tensor, low: int, high: int) -> None:
    """Raises RuntimeError if a value lies outside ``low..high``. The message names the argument, the value and its
    row."""
    bad = ((values < low) | (values > high)).nonzero()
    if len(bad):
        row = tuple(bad[0].tolist())
        raise RuntimeError(
            f"{name} should be in {low}..{high}, got {values[row].item()} at row {row[0] if len(row) == 1 else row}"
        )


def check_offsets(name: str, offsets: Tensor, rows: int) -> None:
    """Raises RuntimeError if the offsets are not ``(segments + 1,)`` int64 or do not ascend from 0 to ``rows``."""
    if offsets.dim() != 1 or offsets.shape[0] < 1 or offsets.dtype != torch.int64:
        raise RuntimeError(
            f"{name} should have shape (segments + 1,) and dtype int64, got {tuple(offsets.shape)}, {offsets.dtype}"
        )
    values = offsets.tolist()
    if values[0] != 0:
        raise RuntimeError(f"{name}[0] should be 0, got {values[0]}")
    for row, (before, after) in enumerate(zip(values, values[1:]), start=1):
        if before > after:
            raise RuntimeError(f"{name} should ascend, got {before} then {after} at row {row}")
    if values[-1] != rows:
        raise RuntimeError(f"{name} should end at the number of rows {rows}, got {values[-1]}")
