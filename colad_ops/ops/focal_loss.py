"""The sigmoid focal loss on integer labels, without a one-hot tensor."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from colad_ops import debug
from colad_ops.devices import check_same_device
from colad_ops.ops import _losses


def sigmoid_focal_loss(
    logits: Tensor,
    labels: Tensor,
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
    weight: Tensor | None = None,
    reduction: str = "sum",
    avg_factor: Tensor | float | None = None,
) -> Tensor:
    """``a (1 - p)^gamma * cross entropy`` of every logit (Lin et al., ICCV 2017, equation 5).

    It equals torchvision's ``sigmoid_focal_loss`` on one-hot ``labels``, and mmdetection's on integer labels.

    Args:
        logits: ``(..., C)`` float32, float64, float16 or bfloat16 (half types are computed in float32), any strides.
        labels: ``(...,)`` int64: ``0..C-1``; ``C`` or ``-1`` is background; ``-2`` is ignored (loss and gradient 0).
            Any other label raises on the CPU and is ignored on CUDA.
        alpha: weight of the target class; the other classes have weight ``1 - alpha``. Negative: no weighting.
        gamma: focusing exponent, >= 0.
        weight: ``(...,)`` or ``(..., C)``, a constant. An element of weight 0 has loss and gradient 0, whatever its
            logit is.
        reduction: ``"none"``, ``"sum"`` or ``"mean"`` (over all elements).
        avg_factor: number or device scalar, clamped to at least 1. If given, the sum is divided by it, also for
            ``"mean"``.

    Returns:
        ``(..., C)`` in the dtype of the logits, or a scalar: float32 (float64 for float64 logits). Differentiable once,
        with respect to ``logits``.

    Raises:
        RuntimeError: wrong shape, dtype, device or option.
    """
    loss = _losses.call_loss(
        "sigmoid_focal_loss",
        logits,
        weight,
        reduction,
        avg_factor,
        logits=_losses.at_most_3d(logits, 1),
        labels=_losses.at_most_3d(labels, 0),
        alpha=alpha,
        gamma=gamma,
    )
    if debug.checks_data(logits):
        debug.check_range("labels", labels, -2, logits.shape[-1])
    return loss


@torch.library.register_fake("colad::sigmoid_focal_loss")
def _(logits: Tensor, labels: Tensor, weight: Tensor | None = None, reduction: str = "sum", *options: Any) -> Tensor:
    check_same_device(logits=logits, labels=labels, weight=weight)
    return _losses.loss_fake(logits, summed=reduction == "sum")


@torch.library.register_fake("colad::sigmoid_focal_loss_and_gradient")
def _(
    logits: Tensor, labels: Tensor, weight: Tensor | None = None, avg_factor_tensor: Tensor | None = None, *options: Any
) -> tuple[Tensor, Tensor]:
    check_same_device(logits=logits, labels=labels, weight=weight, avg_factor_tensor=avg_factor_tensor)
    return _losses.loss_fake(logits, summed=True), _losses.loss_fake(logits, summed=False)


@torch.library.register_fake("colad::sigmoid_focal_loss_backward")
def _(grad: Tensor, logits: Tensor, labels: Tensor, weight: Tensor | None = None, *options: Any) -> Tensor:
    check_same_device(logits=logits, labels=labels, weight=weight, grad=grad)
    return torch.empty_like(logits)


_losses.register_derivatives("sigmoid_focal_loss")


def sigmoid_focal_loss_reference(
    logits: Tensor,
    labels: Tensor,
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
    weight: Tensor | None = None,
    reduction: str = "sum",
    avg_factor: Tensor | float | None = None,
) -> Tensor:
    """The reference of :func:`sigmoid_focal_loss` in plain PyTorch, on one-hot labels."""
    classes = logits.shape[-1]
    dtype = logits.dtype
    x = logits if dtype == torch.float64 else logits.float()
    background = torch.where((labels < 0) | (labels >= classes), classes, labels)
    target = F.one_hot(background, classes + 1)[..., :classes].to(x.dtype)
    cross_entropy = F.binary_cross_entropy_with_logits(x, target, reduction="none")
    wrong = torch.where(target > 0, (-x).sigmoid(), x.sigmoid())
    loss = wrong**gamma * cross_entropy
    if alpha >= 0:
        loss = loss * torch.where(target > 0, alpha, 1 - alpha)
    loss = loss * (labels != -2).unsqueeze(-1)
    if weight is not None:
        loss = loss * (weight if weight.dim() == loss.dim() else weight.unsqueeze(-1))
    return loss.to(dtype) if reduction == "none" else _losses.reduce(loss.sum(), loss.numel(), reduction, avg_factor)
