"""Checks that all tensors of a call are on one device.

Fake kernels call this check: torch runs them for meta tensors and to trace a compiled graph. Public functions call it
if they combine tensors before they call an operator."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def check_same_device(**arguments: Tensor | Sequence[Tensor] | None) -> None:
    """Raises RuntimeError if two arguments are on different devices. The message names both arguments and both devices.

    If a call mixes a meta tensor and a tensor with data, torch runs the fake kernel. Without this check the result
    would be uninitialised memory.
    """
    first = None
    for name, value in arguments.items():
        if value is None:
            continue
        tensors = {name: value} if isinstance(value, Tensor) else {f"{name}[{i}]": x for i, x in enumerate(value)}
        for name_of_one, tensor in tensors.items():
            if first is None:
                first, device = name_of_one, tensor.device
            elif tensor.device != device:
                raise RuntimeError(
                    f"{name_of_one} and {first} should be on the same device, got {tensor.device} and {device}"
                )
