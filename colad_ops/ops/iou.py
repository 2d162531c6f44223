"""Intersection over union (IoU) of boxes, and its variants IoF, GIoU, DIoU and CIoU: for every pair, or row by row."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from colad_ops.devices import check_same_device
from colad_ops.ops._call import call_differentiable
from colad_ops.ops._differentiable_once import register_once

MODES = ("iou", "iof", "giou", "diou", "ciou")


def box_iou(boxes1: Tensor, boxes2: Tensor, mode: str = "iou") -> Tensor:
    """Overlap of every box of the first set with every box of the second.

    Args:
        boxes1: ``(..., N, 4)`` boxes ``(x1, y1, x2, y2)`` in pixels; float32, float64, float16 or bfloat16. Half types
            are computed in float32. Width and height are clamped at 0: an inverted box is an empty box.
        boxes2: ``(..., M, 4)``, same dtype and device. Leading dimensions are broadcast.
        mode: ``"iou"``; ``"iof"`` (intersection over the area of the first box); ``"giou"`` (Rezatofighi et al. 2019);
            ``"diou"``, ``"ciou"`` (Zheng et al. 2020; CIoU's alpha is a constant in the derivative, as in the paper).

    Returns:
        ``(..., N, M)`` in the dtype of the boxes. A union (or first area) of 0 gives 0; an enclosing box of area 0
        gives ``giou = iou``. A NaN coordinate gives NaN.

        Differentiable once, with respect to both arguments. If two corners tie, each gets half of the derivative. A box
        of width or height exactly 0 still has a derivative.

        An area may overflow the compute dtype (sides over 1e19 pixels in float32, infinite coordinates). ``iou`` and
        ``iof`` are then 0, 1 or NaN, as the overflowed areas give; the other modes may also be infinite.

    Raises:
        RuntimeError: wrong shape, dtype, device or mode.
    """
    if boxes1.dim() > 2 or boxes2.dim() > 2:
        boxes1, boxes2 = _broadcast_leading(boxes1, boxes2, 2)
    return call_differentiable(torch.ops.colad.box_iou, boxes1, boxes2, mode=mode)


def aligned_box_iou(boxes1: Tensor, boxes2: Tensor, mode: str = "iou") -> Tensor:
    """Overlap of each box with the box at the same index: ``(..., 4) x (..., 4) -> (...)``.

    Arguments, conventions, gradients and errors are those of :func:`box_iou`. All dimensions except the last are
    broadcast.
    """
    if boxes1.shape != boxes2.shape:
        boxes1, boxes2 = _broadcast_leading(boxes1, boxes2, 1)
    return call_differentiable(torch.ops.colad.aligned_box_iou, boxes1, boxes2, mode=mode)


def _broadcast_leading(boxes1: Tensor, boxes2: Tensor, own: int) -> tuple[Tensor, Tensor]:
    """Broadcasts all but the last ``own`` dimensions. The operator checks the last ones."""
    if min(boxes1.dim(), boxes2.dim()) < own:
        return boxes1, boxes2
    try:
        leading = torch.broadcast_shapes(boxes1.shape[:-own], boxes2.shape[:-own])
    except RuntimeError:
        raise RuntimeError(
            "boxes1 and boxes2 should broadcast in their leading dimensions, got "
            f"{tuple(boxes1.shape)} and {tuple(boxes2.shape)}"
        ) from None
    return boxes1.expand(leading + boxes1.shape[-own:]), boxes2.expand(leading + boxes2.shape[-own:])


@torch.library.register_fake("colad::box_iou")
def _(boxes1: Tensor, boxes2: Tensor, mode: str = "iou") -> Tensor:
    check_same_device(boxes1=boxes1, boxes2=boxes2)
    return boxes1.new_empty((*boxes1.shape[:-1], boxes2.shape[-2]))


@torch.library.register_fake("colad::aligned_box_iou")
def _(boxes1: Tensor, boxes2: Tensor, mode: str = "iou") -> Tensor:
    check_same_device(boxes1=boxes1, boxes2=boxes2)
    return boxes1.new_empty(boxes1.shape[:-1])


@torch.library.register_fake("colad::box_iou_backward")
@torch.library.register_fake("colad::aligned_box_iou_backward")
def _(grad: Tensor, boxes1: Tensor, boxes2: Tensor, mode: str = "iou") -> tuple[Tensor, Tensor]:
    check_same_device(boxes1=boxes1, boxes2=boxes2, grad=grad)
    return boxes1.new_empty(boxes1.shape), boxes2.new_empty(boxes2.shape)


def _save(ctx: Any, inputs: tuple, output: Tensor) -> None:
    boxes1, boxes2, ctx.mode = inputs
    ctx.save_for_backward(boxes1, boxes2)


def _register_backward(name: str) -> None:
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        boxes1, boxes2 = ctx.saved_tensors
        operator = getattr(torch.ops.colad, f"{name}_backward")
        grad1, grad2 = operator(grad=grad, boxes1=boxes1, boxes2=boxes2, mode=ctx.mode)
        return grad1, grad2, None

    torch.library.register_autograd(f"colad::{name}", backward, setup_context=_save)
    register_once(name)


_register_backward("box_iou")
_register_backward("aligned_box_iou")


def box_iou_reference(boxes1: Tensor, boxes2: Tensor, mode: str = "iou") -> Tensor:
    """The reference of :func:`box_iou` in plain PyTorch."""
    return aligned_box_iou_reference(boxes1.unsqueeze(-2), boxes2.unsqueeze(-3), mode)


def aligned_box_iou_reference(boxes1: Tensor, boxes2: Tensor, mode: str = "iou") -> Tensor:
    """The reference of :func:`aligned_box_iou` in plain PyTorch: the same values, and by autograd the same
    derivatives."""
    if mode not in MODES:
        raise RuntimeError(f"mode should be {', '.join(MODES[:-1])} or {MODES[-1]}, got {mode}")
    dtype = boxes1.dtype
    compute = torch.float64 if dtype == torch.float64 else torch.float32
    boxes1, boxes2 = torch.broadcast_tensors(boxes1.to(compute), boxes2.to(compute))
    first, second = boxes1.split(2, dim=-1), boxes2.split(2, dim=-1)
    size1 = _clamp_at_zero(first[1] - first[0])
    size2 = _clamp_at_zero(second[1] - second[0])
    overlap = _clamp_at_zero(torch.minimum(first[1], second[1]) - torch.maximum(first[0], second[0])).prod(-1)
    area1, area2 = size1.prod(-1), size2.prod(-1)
    if mode == "iof":
        return _ratio(overlap, area1).to(dtype)
    union = area1 + area2 - overlap
    result = iou = _ratio(overlap, union)
    hull = _clamp_at_zero(torch.maximum(first[1], second[1]) - torch.minimum(first[0], second[0]))
    if mode == "giou":
        result = iou - _ratio(hull.prod(-1) - union, hull.prod(-1))
    if mode in ("diou", "ciou"):
        distance = ((second[0] + second[1] - first[0] - first[1]) / 2).square().sum(-1)
        result = iou - _ratio(distance, hull.square().sum(-1))
    if mode == "ciou":
        angle = torch.atan2(*_width_and_height(size2)) - torch.atan2(*_width_and_height(size1))
        v = 4 / math.pi**2 * angle.square()
        alpha = _ratio(v, 1 - iou + v).detach()
        result = result - alpha * v
    return result.to(dtype)


def _clamp_at_zero(size: Tensor) -> Tensor:
    """A clamp whose derivative at exactly 0 is 1, as in the operator. For torch's own clamp this derivative is 1 before
    version 2.15, and 0 since."""
    return torch.where(size < 0, 0, size)


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """``numerator / denominator``. Where the denominator is 0, value and derivative are 0, but a NaN numerator gives
    NaN."""
    empty = (denominator == 0) & ~numerator.isnan()
    return torch.where(empty, 0, numerator) / torch.where(empty, 1, denominator)


def _width_and_height(size: Tensor) -> tuple[Tensor, Tensor]:
    """Width and height as arguments of atan2. The derivative of atan2 at (0, 0) would be NaN, so a box of width and
    height 0 gets the constants (0, 1), whose angle is 0."""
    point = (size == 0).all(-1)
    return torch.where(point, 0, size[..., 0]), torch.where(point, 1, size[..., 1])
