"""A gradient that a forward pass has saved, times the gradient that arrives in the backward pass."""

from __future__ import annotations

import torch
from torch import Tensor

from colad_ops.devices import check_same_device


def scale_gradient_(gradient: Tensor, grad: Tensor) -> Tensor:
    """Multiplies ``gradient`` in place by the scalar ``grad``, without waiting for the device to know its value.

    Where ``grad`` is 1, as in ``loss.backward()``, no element is read or written.

    Args:
        gradient: float32, float64, float16 or bfloat16, of any shape, without gaps in memory.
        grad: a scalar on the same device, float64 for a float64 ``gradient``, else float32. If it is 0, the result is
            0, also where ``gradient`` is NaN or infinite.

    Returns:
        ``gradient``.

    Raises:
        RuntimeError: wrong shape, dtype or device, or gaps in memory.
    """
    torch.ops.colad.scale_gradient_(gradient, grad)
    return gradient


@torch.library.register_fake("colad::scale_gradient_")
def _(gradient: Tensor, grad: Tensor) -> None:
    check_same_device(gradient=gradient, grad=grad)


def scale_gradient_reference(gradient: Tensor, grad: Tensor) -> Tensor:
    """The reference of :func:`scale_gradient_` in plain PyTorch."""
    return gradient.copy_(torch.where(grad == 0, 0, gradient * grad))
