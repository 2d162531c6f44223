"""What the element-wise losses share: shapes, weights, reductions."""

from __future__ import annotations

import torch
from torch import Tensor

REDUCTIONS = ("none", "sum", "mean")


def check_reduction(reduction: str, avg_factor: Tensor | float | None) -> None:
    if reduction not in REDUCTIONS:
        raise RuntimeError(f"reduction should be none, sum or mean, got {reduction}")
    if avg_factor is not None and reduction == "none":
        raise RuntimeError(f"avg_factor should go with reduction sum or mean, got it with {reduction}")
    if isinstance(avg_factor, Tensor) and avg_factor.dim() != 0:
        raise RuntimeError(f"avg_factor should be a number or a scalar tensor, got shape {tuple(avg_factor.shape)}")


def at_most_3d(tensor: Tensor | None, last: int) -> Tensor | None:
    """Flattens the dimensions between the first and the ``last`` ones, so that the kernels' 3 of any strides are left;
    a view also of an NCHW map seen as (B, H, W, C)."""
    if tensor is None or tensor.dim() <= 2 + last:
        return tensor
    return tensor.flatten(1, tensor.dim() - 1 - last)


def check_weight(weight: Tensor | None, logits: Tensor) -> Tensor | None:
    """``weight`` in the type the kernels read, detached: float32, or float64 with float64 logits."""
    if weight is None:
        return None
    if weight.shape != logits.shape and weight.shape != logits.shape[:-1]:
        raise RuntimeError(
            f"weight should have shape {tuple(logits.shape)} or {tuple(logits.shape[:-1])}, got {tuple(weight.shape)}"
        )
    if weight.is_complex():
        raise RuntimeError(f"weight should be real, got {weight.dtype}")
    return weight.detach().to(torch.float64 if logits.dtype == torch.float64 else torch.float32)


def reduce(total: Tensor, count: int, reduction: str, avg_factor: Tensor | float | None) -> Tensor:
    """From the sum: divided by ``avg_factor`` clamped at 1 where given, else by the number of elements for a mean.
    A NaN ``avg_factor`` gives NaN."""
    if isinstance(avg_factor, Tensor):
        return total / avg_factor.detach().clamp(min=1).to(total.dtype)
    if avg_factor is not None:
        return total / max(avg_factor, 1)
    return total / max(count, 1) if reduction == "mean" else total


def loss_fake(logits: Tensor, sum: bool) -> Tensor:
    """Shape of a loss operator's result."""
    if sum:
        return logits.new_empty((), dtype=torch.float64 if logits.dtype == torch.float64 else torch.float32)
    return torch.empty_like(logits)
