"""Code that the element-wise losses share: shapes, weights, reductions, derivatives."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from colad_ops.ops._differentiable_once import register_once

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
    if saves_gradient(logits, reduction):
        operator = getattr(torch.ops.colad, f"{name}_and_gradient")
        result, _ = operator(grad=expected_grad(logits, reduction, avg_factor), **arguments)
    else:
        operator = getattr(torch.ops.colad, name)
        result = operator(reduction="none" if reduction == "none" else "sum", **arguments)
    return result.view(logits.shape) if reduction == "none" else reduce(result, logits.numel(), reduction, avg_factor)


def reduce(total: Tensor, count: int, reduction: str, avg_factor: Tensor | float | None) -> Tensor:
    """Divides the sum ``total`` by ``avg_factor``, clamped to at least 1. Without ``avg_factor``, a mean divides by the
    number of elements ``count``. A NaN ``avg_factor`` gives NaN."""
    if isinstance(avg_factor, Tensor):
        return total / avg_factor.detach().clamp(min=1).to(total.dtype)
    if avg_factor is not None:
        return total / max(avg_factor, 1)
    return total / max(count, 1) if reduction == "mean" else total


def saves_gradient(logits: Tensor, reduction: str) -> bool:
    """Whether the forward pass of a sum should also compute the gradient.

    One pass over the logits then replaces two. It takes no more memory, because backward returns this gradient. Two
    cases are excluded. On CUDA, backward would have to wait for the device to compare its incoming gradient with the
    expected one. In half types, a gradient might round to 0 before it is scaled.
    """
    return (
        reduction != "none"
        and logits.device.type == "cpu"
        and logits.dtype in (torch.float32, torch.float64)
        and logits.requires_grad
        and torch.is_grad_enabled()
    )


def expected_grad(logits: Tensor, reduction: str, avg_factor: Tensor | float | None) -> Tensor | None:
    """The incoming gradient that backward of the sum gets if the caller differentiates the result of :func:`reduce`
    itself. It is computed as autograd computes it. None stands for 1."""
    if isinstance(avg_factor, Tensor):
        if avg_factor.device.type != "cpu":
            return None
        divisor: Tensor | float = avg_factor.detach().clamp(min=1).to(logits.dtype)
    elif avg_factor is not None:
        divisor = max(avg_factor, 1)
    elif reduction == "mean":
        divisor = max(logits.numel(), 1)
    else:
        return None
    return logits.new_ones(()) / divisor


def register_derivatives(name: str) -> None:
    """Registers the derivatives of ``colad::{name}`` and of ``colad::{name}_and_gradient`` with respect to the logits.

    Both take ``(logits, target, weight, reduction or grad, *options)``; ``{name}_backward`` takes
    ``(grad, logits, target, weight, *options)``.
    """
    backward_operator = getattr(torch.ops.colad, f"{name}_backward")

    def save(ctx: Any, inputs: tuple, output: Tensor) -> None:
        logits, target, weight, _, *ctx.options = inputs
        ctx.save_for_backward(logits, target, weight)

    def save_with_gradient(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
        save(ctx, inputs, output[0])
        save_gradient(ctx, output[1], inputs[3])

    def of_all_inputs(ctx: Any, gradient: Tensor | None) -> tuple[Tensor | None, ...]:
        return gradient, *[None] * (3 + len(ctx.options))

    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return of_all_inputs(ctx, backward_operator(grad, *ctx.saved_tensors, *ctx.options))

    def backward_of_sum(ctx: Any, grad: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
        if grad is None:
            return of_all_inputs(ctx, None)
        gradient = saved_gradient(ctx, grad)
        return backward(ctx, grad) if gradient is None else of_all_inputs(ctx, gradient)

    torch.library.register_autograd(f"colad::{name}", backward, setup_context=save)
    torch.library.register_autograd(f"colad::{name}_and_gradient", backward_of_sum, setup_context=save_with_gradient)
    register_once(name)


def save_gradient(ctx: Any, gradient: Tensor, expected: Tensor | None) -> None:
    """Keeps the gradient that the forward pass computed, for :func:`saved_gradient`."""
    ctx.mark_non_differentiable(gradient)
    ctx.set_materialize_grads(False)  # no tensor of zeros as the gradient of this output; None instead
    # detach() makes another tensor on the same memory. The graph node also holds the output tensor itself, and autograd
    # copies a gradient tensor that has a second owner.
    ctx.gradient, ctx.expected = gradient.detach(), expected


def saved_gradient(ctx: Any, grad: Tensor) -> Tensor | None:
    """The gradient of the forward pass, scaled for the incoming gradient ``grad``; None if backward has to compute it.

    The saved gradient is returned once and then dropped, because the receiver may change it in place. A second backward
    through the same graph computes the gradient again.
    """
    gradient, ctx.gradient = ctx.gradient, None
    if gradient is None or torch.is_grad_enabled():  # a second backward, or one that is itself differentiated
        return None
    found, expected = value_of(grad), 1.0 if ctx.expected is None else value_of(ctx.expected)
    if found is None or expected is None:
        return gradient * (grad if ctx.expected is None else grad / ctx.expected)
    if found == expected:
        return gradient
    # For an incoming gradient of 0, backward computes the gradient: it is 0 also where the saved one is NaN.
    return gradient * (found / expected) if found and expected else None


def value_of(scalar: Tensor) -> float | None:
    """The value of a scalar tensor. None if it has no single value: while a graph is recorded, or under ``vmap``, which
    passes many gradients at once."""
    if type(scalar) is not Tensor:
        return None
    try:
        return scalar.item()
    except RuntimeError:
        return None


def loss_fake(logits: Tensor, summed: bool) -> Tensor:
    """Shape of a loss operator's result."""
    if summed:
        return logits.new_empty((), dtype=torch.float64 if logits.dtype == torch.float64 else torch.float32)
    return torch.empty_like(logits)
