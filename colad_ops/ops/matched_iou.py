"""Intersection over union (IoU) of each anchor's box with the object that the anchor is matched to."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from colad_ops import debug
from colad_ops.devices import check_same_device
from colad_ops.ops._call import call_differentiable
from colad_ops.ops._differentiable_once import register_once
from colad_ops.ops.iou import aligned_box_iou_reference


def matched_box_iou(boxes: Tensor, gt_boxes: Tensor, matched: Tensor, *, mode: str = "iou") -> Tensor:
    """Overlap of each anchor's box with its object, and 0 where the anchor has none.

    It equals ``aligned_box_iou(boxes, gt_boxes[matched], mode)`` where ``matched`` is a row. The tensor of every
    anchor's object is never made, and an anchor without an object costs one look at ``matched``.

    Args:
        boxes: ``(B, A, 4)`` boxes ``(x1, y1, x2, y2)`` in pixels; float32, float64, float16 or bfloat16. Half types are
            computed in float32.
        gt_boxes: ``(G, 4)``, same dtype and device. A constant: it gets no gradient, also if it requires one.
        matched: ``(B, A)`` int64: the anchor's row in ``gt_boxes``, as ``Assignment.matched``; ``-1`` background,
            ``-2`` ignored. Any other value raises on the CPU; on CUDA the anchor then has no object.
        mode: as for :func:`box_iou`; the box of the anchor is the first box.

    Returns:
        ``(B, A)`` in the dtype of the boxes. Without an object it is 0 and so is the gradient, whatever the box is.
        With one, values and derivatives are those of :func:`aligned_box_iou`. Differentiable once, with respect to
        ``boxes``.

    Raises:
        RuntimeError: wrong shape, dtype, device or mode, or a row that does not exist.
    """
    overlap = call_differentiable(torch.ops.colad.matched_box_iou, boxes, gt_boxes=gt_boxes, matched=matched, mode=mode)
    if debug.checks_data(matched):
        debug.check_range("matched", matched, -2, gt_boxes.shape[0] - 1)
    return overlap


@torch.library.register_fake("colad::matched_box_iou")
def _(boxes: Tensor, gt_boxes: Tensor, matched: Tensor, mode: str = "iou") -> Tensor:
    check_same_device(boxes=boxes, gt_boxes=gt_boxes, matched=matched)
    return boxes.new_empty(boxes.shape[:-1])


@torch.library.register_fake("colad::matched_box_iou_backward")
def _(grad: Tensor, boxes: Tensor, gt_boxes: Tensor, matched: Tensor, mode: str = "iou") -> Tensor:
    check_same_device(boxes=boxes, gt_boxes=gt_boxes, matched=matched, grad=grad)
    return boxes.new_empty(boxes.shape)


def _save(ctx: Any, inputs: tuple, output: Tensor) -> None:
    *tensors, ctx.mode = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    boxes, gt_boxes, matched = ctx.saved_tensors
    if not ctx.needs_input_grad[0]:
        return None, None, None, None
    gradient = torch.ops.colad.matched_box_iou_backward(
        grad=grad, boxes=boxes, gt_boxes=gt_boxes, matched=matched, mode=ctx.mode
    )
    return gradient, None, None, None


torch.library.register_autograd("colad::matched_box_iou", _backward, setup_context=_save)
register_once("matched_box_iou")


def matched_box_iou_reference(boxes: Tensor, gt_boxes: Tensor, matched: Tensor, *, mode: str = "iou") -> Tensor:
    """The reference of :func:`matched_box_iou` in plain PyTorch. It gathers the object of every anchor."""
    where = matched >= 0
    overlap = boxes.new_zeros(matched.shape)
    overlap[where] = aligned_box_iou_reference(boxes[where], gt_boxes.detach()[matched[where]], mode)
    return overlap
