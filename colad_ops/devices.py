"""All tensors of a call on one device: asked by the fakes, which a meta tensor reaches and a compiled graph is traced
with, and by the public functions that combine tensors before an operator sees them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def check_same_device(**arguments: Tensor | Sequence[Tensor] | None) -> None:
    """Raises RuntimeError naming the first two arguments that are not on the same device, and the devices.

    Of a meta tensor and one with data, torch runs the fake: without this the result would be memory nobody wrote.
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
