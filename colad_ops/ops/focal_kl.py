"""The focal Kullback-Leibler loss: soft-label distillation of class probabilities, equation (1) of the LAD paper."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from colad_ops.devices import check_same_device
from colad_ops.ops import _losses


def focal_kl_loss(
    student_logits: Tensor,
    teacher: Tensor,
    *,
    gamma: float = 2.0,
    teacher_is_logits: bool = True,
    smooth: float = 0.0,
    weight: Tensor | None = None,
    reduction: str = "sum",
    avg_factor: Tensor | float | None = None,
) -> Tensor:
    """``|p_t - p_s|^gamma * (p_t log(p_t / p_s) + (1 - p_t) log((1 - p_t) / (1 - p_s)))`` of every logit.

    LAD paper, equation (1), with ``p_s = sigmoid(student_logits)``; stable for logits of +-1e4 and ``p_t`` in {0, 1}.
    With a one-hot teacher it is the focal loss without alpha.

    Args:
        student_logits: ``(..., C)`` float32, float64, float16 or bfloat16 (half types are computed in float32), any
            strides.
        teacher: logits, or probabilities in 0..1 with ``teacher_is_logits=False``; same shape, dtype and device as
            ``student_logits``. It is a constant: it gets no gradient.
        gamma: exponent, >= 0.
        smooth: the focal weight is ``((p_t - p_s)^2 + smooth)^(gamma / 2)``. The paper has ``smooth = 0``, the official
            code ``1e-6``.
        weight: ``(...,)`` or ``(..., C)``, a constant. An element of weight 0 has loss and gradient 0, whatever its
            logits are.
        reduction: ``"none"``, ``"sum"`` or ``"mean"`` (over all elements).
        avg_factor: number or device scalar, clamped to at least 1. If given, the sum is divided by it, also for
            ``"mean"``.

    Returns:
        ``(..., C)`` in the dtype of the logits, or a scalar: float32 (float64 for float64 logits). Differentiable once,
        with respect to ``student_logits``. The gradient also goes through the focal weight. It is finite for every
        gamma >= 0.

    Raises:
        RuntimeError: wrong shape, dtype, device or option.
    """
    if teacher.shape != student_logits.shape:
        raise RuntimeError(
            f"teacher should have shape {tuple(student_logits.shape)} of student_logits, got {tuple(teacher.shape)}"
        )
    return _losses.call_loss(
        "focal_kl_loss",
        student_logits,
        weight,
        reduction,
        avg_factor,
        student_logits=_losses.at_most_3d(student_logits, 1),
        teacher=_losses.at_most_3d(teacher.detach(), 1),
        gamma=gamma,
        teacher_is_logits=teacher_is_logits,
        smooth=smooth,
    )


@torch.library.register_fake("colad::focal_kl_loss")
def _(
    student_logits: Tensor, teacher: Tensor, weight: Tensor | None = None, reduction: str = "sum", *options: Any
) -> Tensor:
    check_same_device(student_logits=student_logits, teacher=teacher, weight=weight)
    return _losses.loss_fake(student_logits, summed=reduction == "sum")


@torch.library.register_fake("colad::focal_kl_loss_and_gradient")
def _(
    student_logits: Tensor,
    teacher: Tensor,
    weight: Tensor | None = None,
    avg_factor_tensor: Tensor | None = None,
    *options: Any,
) -> tuple[Tensor, Tensor]:
    check_same_device(
        student_logits=student_logits, teacher=teacher, weight=weight, avg_factor_tensor=avg_factor_tensor
    )
    return _losses.loss_fake(student_logits, summed=True), _losses.loss_fake(student_logits, summed=False)


@torch.library.register_fake("colad::focal_kl_loss_backward")
def _(grad: Tensor, student_logits: Tensor, teacher: Tensor, weight: Tensor | None = None, *options: Any) -> Tensor:
    check_same_device(student_logits=student_logits, teacher=teacher, weight=weight, grad=grad)
    return torch.empty_like(student_logits)


_losses.register_derivatives("focal_kl_loss")


def focal_kl_loss_reference(
    student_logits: Tensor,
    teacher: Tensor,
    *,
    gamma: float = 2.0,
    teacher_is_logits: bool = True,
    smooth: float = 0.0,
    weight: Tensor | None = None,
    reduction: str = "sum",
    avg_factor: Tensor | float | None = None,
) -> Tensor:
    """The reference of :func:`focal_kl_loss` in plain PyTorch: equation (1) as written, from log-sigmoids."""
    dtype = student_logits.dtype
    x = student_logits if dtype == torch.float64 else student_logits.float()
    t = teacher.detach().to(x.dtype)
    p_t = t.sigmoid() if teacher_is_logits else t
    cross_entropy = -(p_t * F.logsigmoid(x) + (1 - p_t) * F.logsigmoid(-x))
    if teacher_is_logits:
        entropy = -(p_t * F.logsigmoid(t) + t.neg().sigmoid() * F.logsigmoid(-t))
    else:
        entropy = -(torch.xlogy(p_t, p_t) + torch.xlogy(1 - p_t, 1 - p_t))
    base = (p_t - x.sigmoid()).square() + smooth
    # At base = 0 the derivative of base^(gamma / 2) is infinite for small gamma. KL is 0 there, so the product is set
    # to 0.
    focal = torch.where(base > 0, torch.where(base > 0, base, 1) ** (gamma / 2), float(gamma == 0))
    loss = focal * (cross_entropy - entropy)
    if weight is not None:
        loss = loss * (weight if weight.dim() == loss.dim() else weight.unsqueeze(-1))
    return loss.to(dtype) if reduction == "none" else _losses.reduce(loss.sum(), loss.numel(), reduction, avg_factor)
