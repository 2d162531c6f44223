"""Code that the element-wise losses share: shapes, weights, reductions, derivatives."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from colad_ops.ops._differentiable_once import register_once
from colad_ops.ops.scale_gradient import scale_gradient_

REDUCTIONS = ("none", "sum", "mean")


def check_reduction(reduction: str, avg_factor: Tensor | float | None) -> None:
    if reduction not in REDUCTIONS:
        raise RuntimeError(f"reduction should be none, sum or mean, got {reduction}")
    if avg_factor is not None and reduction == "none":
        raise RuntimeError(f"avg_factor should go with reduction sum or mean, got it with {reduction}")
    if isinstance(avg_factor, Tensor) and avg_factor.dim() != 0:
        raise RuntimeError(f"avg_factor should be a number or a scalar tensor, got shape {tuple(avg_factor.shape)}")


def at_most_3d(tensor: Tensor | None, last: int) -> Tensor | None:
    """Flattens all dimensions between the first one and the ``last`` ones.

    The kernels take at most 3 dimensions, with any strides. The result is a view, also for an NCHW map that is seen as
    (B, H, W, C).
    """
    if tensor is None or tensor.dim() <= 2 + last:
        return tensor
    return tensor.flatten(1, tensor.dim() - 1 - last)


def check_weight(weight: Tensor | None, logits: Tensor) -> Tensor | None:
    """``weight``, detached, in the dtype that the kernels read: float64 for float64 logits, else float32."""
    if weight is None:
        return None
    if weight.shape != logits.shape and weight.shape != logits.shape[:-1]:
        raise RuntimeError(
            f"weight should have shape {tuple(logits.shape)} or {tuple(logits.shape[:-1])}, got {tuple(weight.shape)}"
        )
    if weight.is_complex():
        raise RuntimeError(f"weight should be real, got {weight.dtype}")
    return weight.detach().to(torch.float64 if logits.dtype == torch.float64 else torch.float32)


def call_loss(
    name: str,
    logits: Tensor,
    weight: Tensor | None,
    reduction: str,
    avg_factor: Tensor | float | None,
    /,
    **arguments: Any,
) -> Tensor:
    """Calls the operator ``colad::{name}`` and reduces its result, as the public function returns it.

    ``arguments`` are the operator's own arguments: logits and target of at most 3 dimensions, and its options.
    """
    check_reduction(reduction, avg_factor)
    weight = check_weight(weight, logits)
    arguments["weight"] = at_most_3d(weight, 1 if weight is not None and weight.dim() == logits.dim() else 0)
    if reduction == "none":
        return getattr(torch.ops.colad, name)(reduction="none", **arguments).view(logits.shape)
    if not saves_gradient(logits):
        total = getattr(torch.ops.colad, name)(reduction="sum", **arguments)
        return reduce(total, logits.numel(), reduction, avg_factor)
    operator = getattr(torch.ops.colad, f"{name}_and_gradient")
    if not isinstance(avg_factor, Tensor):
        return operator(avg_factor=avg_factor, reduction=reduction, **arguments)[0]
    if avg_factor.device == logits.device:
        return operator(avg_factor_tensor=readable(avg_factor), **arguments)[0]
    return reduce(operator(**arguments)[0], logits.numel(), reduction, avg_factor)  # a kernel cannot read it


def readable(avg_factor: Tensor) -> Tensor:
    """``avg_factor``, detached, in a dtype that the kernels read."""
    if avg_factor.is_complex():
        raise RuntimeError(f"avg_factor should be real, got {avg_factor.dtype}")
    read = avg_factor.dtype in (torch.float32, torch.float64, torch.int64)
    return avg_factor.detach() if read else avg_factor.detach().to(torch.float64)


def reduce(total: Tensor, count: int, reduction: str, avg_factor: Tensor | float | None) -> Tensor:
    """Divides the sum ``total`` by ``avg_factor``, clamped to at least 1. Without ``avg_factor``, a mean divides by the
    number of elements ``count``. A NaN ``avg_factor`` gives NaN."""
    if isinstance(avg_factor, Tensor):
        return total / avg_factor.detach().clamp(min=1).to(total.dtype)
    if avg_factor is not None:
        return total / max(avg_factor, 1)
    return total / max(count, 1) if reduction == "mean" else total


def saves_gradient(logits: Tensor) -> bool:
    """Whether the forward pass of a sum should also compute the gradient.

    One pass over the logits then replaces two. It takes no more memory, because backward returns this gradient. In
    float16 a gradient might round to 0 before it is scaled. bfloat16 has the range of float32; on the CPU its gradients
    are not saved either, because scaling one would round it a second time.
    """
    dtypes = (torch.float32, torch.float64, *(() if logits.device.type == "cpu" else (torch.bfloat16,)))
    return logits.dtype in dtypes and logits.requires_grad and torch.is_grad_enabled()


def register_derivatives(name: str) -> None:
    """Registers the derivatives of ``colad::{name}`` and of ``colad::{name}_and_gradient`` with respect to the logits.

    The first takes ``(logits, target, weight, reduction, *options)``, the second ``(logits, target, weight,
    avg_factor_tensor, avg_factor, reduction, *options)``; ``{name}_backward`` takes ``(grad, logits, target, weight,
    *options)``.
    """
    backward_operator = getattr(torch.ops.colad, f"{name}_backward")

    def save(ctx: Any, inputs: tuple, output: Tensor) -> None:
        logits, target, weight, _, *ctx.options = inputs
        ctx.save_for_backward(logits, target, weight)

    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        gradient = backward_operator(grad, *ctx.saved_tensors, *ctx.options)
        return gradient, *[None] * (3 + len(ctx.options))

    def save_with_gradient(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
        *operands, avg_factor, reduction = inputs[:6]
        ctx.save_for_backward(*operands)
        ctx.divisor, ctx.options = (avg_factor, reduction), inputs[6:]
        save_gradient(ctx, output[1])

    def backward_of_sum(ctx: Any, grad: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
        if grad is None:
            gradient = None
        elif (gradient := saved_gradient(ctx, grad)) is None:
            *operands, avg_factor_tensor = ctx.saved_tensors
            avg_factor, reduction = ctx.divisor
            divided = reduce(
                grad, operands[0].numel(), reduction, avg_factor if avg_factor_tensor is None else avg_factor_tensor
            )
            gradient = backward_operator(divided, *operands, *ctx.options)
        return gradient, *[None] * (5 + len(ctx.options))

    torch.library.register_autograd(f"colad::{name}", backward, setup_context=save)
    torch.library.register_autograd(f"colad::{name}_and_gradient", backward_of_sum, setup_context=save_with_gradient)
    register_once(name)


def save_gradient(ctx: Any, gradient: Tensor) -> None:
    """Keeps the gradient that the forward pass computed, for :func:`saved_gradient`."""
    ctx.mark_non_differentiable(gradient)
    ctx.set_materialize_grads(False)  # no tensor of zeros as the gradient of this output; None instead
    # detach() makes another tensor on the same memory. The graph node also holds the output tensor itself, and autograd
    # copies a gradient tensor that has a second owner.
    ctx.gradient = gradient.detach()


def saved_gradient(ctx: Any, grad: Tensor) -> Tensor | None:
    """The gradient of the forward pass times the incoming gradient ``grad``; None if backward has to compute it.

    The saved gradient is returned once and then dropped, because the receiver may change it in place. A second backward
    through the same graph computes the gradient again.
    """
    gradient, ctx.gradient = ctx.gradient, None
    if gradient is None or torch.is_grad_enabled():  # a second backward, or one that is itself differentiated
        return None
    return scale_gradient_(gradient, grad) if is_one_number(grad) else gradient * grad


def is_one_number(scalar: Tensor) -> bool:
    """Whether a scalar tensor has a memory of its own. It has none while a graph is recorded, or under ``vmap``, which
    passes many gradients at once."""
    if type(scalar) is not Tensor:
        return False
    try:
        scalar.data_ptr()
    except RuntimeError:
        return False
    return True


def loss_fake(logits: Tensor, summed: bool) -> Tensor:
    """Shape of a loss operator's result."""
    if summed:
        return logits.new_empty((), dtype=torch.float64 if logits.dtype == torch.float64 else torch.float32)
    return torch.empty_like(logits)
