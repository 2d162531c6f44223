"""Exact greedy non-maximum suppression (NMS) within each class and image."""

from __future__ import annotations

import torch
from torch import Tensor

from colad_ops import debug
from colad_ops.devices import check_same_device
from colad_ops.ops._no_derivative import register_no_derivative
from colad_ops.ops.iou import box_iou_reference


def batched_nms(
    boxes: Tensor, scores: Tensor, labels: Tensor, iou_threshold: float = 0.6, image_offsets: Tensor | None = None
) -> Tensor:
    """Rows of the boxes to keep. Boxes are visited by descending score. A box is removed if its IoU with a box already
    kept of its class (and image) is above ``iou_threshold``.

    The result is that of torchvision's ``batched_nms``, without the coordinate offsets that lose float32 digits there.

    Args:
        boxes: ``(N, 4)`` xyxy pixels, float.
        scores: ``(N,)`` any real dtype. NaN counts as the highest score, as in torch's sort.
        labels: ``(N,)`` int64, any values.
        image_offsets: ``(B + 1,)`` int64: boxes ``image_offsets[b]:image_offsets[b + 1]`` belong to image ``b``.
            Without it, all boxes belong to one image.

    Returns:
        ``(K,)`` int64 rows by descending score; ties by the lower row. K depends on the data, so on CUDA this operator
        waits for the device; no other operator does. A NaN box is kept and suppresses no other box.

    Raises:
        RuntimeError: wrong shape, dtype or device; on the CPU (on CUDA with :func:`colad_ops.set_debug`) offsets that
            do not ascend from 0 to N.
    """
    if boxes.is_cpu:
        return torch.ops.colad.batched_nms(boxes, scores, labels, image_offsets, iou_threshold)
    return batched_nms_of_sorted_boxes(boxes, scores, labels, image_offsets, iou_threshold)


def batched_nms_of_sorted_boxes(
    boxes: Tensor, scores: Tensor, labels: Tensor, image_offsets: Tensor | None, iou_threshold: float
) -> Tensor:
    """:func:`batched_nms` on devices other than the CPU: torch sorts the boxes by group and score, and ``nms_keep``
    suppresses."""
    check_scores(scores, boxes, "(N, 4)")
    check_same_device(boxes=boxes, scores=scores, labels=labels, image_offsets=image_offsets)
    if labels.shape != boxes.shape[:1]:
        raise RuntimeError(f"labels should have shape ({boxes.shape[0]},), one a box, got {tuple(labels.shape)}")
    by_score = torch.argsort(scores, descending=True, stable=True)
    groups = by_score[torch.argsort(labels[by_score], stable=True)]  # rows by label, then score
    images = torch.zeros_like(labels)
    if image_offsets is not None:
        if debug.checks_data(boxes):
            debug.check_offsets("image_offsets", image_offsets, boxes.shape[0])
        rows = torch.arange(boxes.shape[0], device=boxes.device)
        images = torch.searchsorted(image_offsets.contiguous(), rows, right=True)
        groups = groups[torch.argsort(images[groups], stable=True)]
    keep = torch.empty(boxes.shape[0], dtype=torch.bool, device=boxes.device)
    keep[groups] = torch.ops.colad.nms_keep(
        boxes=boxes.detach()[groups], labels=labels[groups], images=images[groups], iou_threshold=iou_threshold
    )
    return by_score[keep[by_score]]


def check_scores(scores: Tensor, boxes: Tensor, shape_of_boxes: str) -> None:
    """Checks the shapes, and that ``scores`` can be sorted."""
    if boxes.dim() != 2 or boxes.shape[1] != 4:
        raise RuntimeError(f"boxes should have shape {shape_of_boxes}, got {tuple(boxes.shape)}")
    if scores.shape != boxes.shape[:1]:
        raise RuntimeError(f"scores should have shape ({boxes.shape[0]},), one a box, got {tuple(scores.shape)}")
    if scores.is_complex():
        raise RuntimeError(f"scores should be real, got {scores.dtype}")


@torch.library.register_fake("colad::nms_keep")
def _(boxes: Tensor, labels: Tensor, images: Tensor, iou_threshold: float = 0.6) -> Tensor:
    check_same_device(boxes=boxes, labels=labels, images=images)
    return boxes.new_empty(boxes.shape[:1], dtype=torch.bool)


@torch.library.register_fake("colad::batched_nms")
def _(
    boxes: Tensor, scores: Tensor, labels: Tensor, image_offsets: Tensor | None, iou_threshold: float = 0.6
) -> Tensor:
    check_same_device(boxes=boxes, scores=scores, labels=labels, image_offsets=image_offsets)
    return boxes.new_empty(torch.library.get_ctx().new_dynamic_size(), dtype=torch.int64)


register_no_derivative("batched_nms")
_library = torch.library.Library("colad", "IMPL")
_library.impl("batched_nms", batched_nms_of_sorted_boxes, "CompositeExplicitAutograd")  # the CPU has a kernel


def batched_nms_reference(
    boxes: Tensor, scores: Tensor, labels: Tensor, iou_threshold: float = 0.6, image_offsets: Tensor | None = None
) -> Tensor:
    """The reference of :func:`batched_nms` in plain PyTorch: box by box."""
    compute = torch.float64 if boxes.dtype == torch.float64 else torch.float32
    offsets = [0, boxes.shape[0]] if image_offsets is None else image_offsets.tolist()
    image = torch.zeros_like(labels)
    for b in range(len(offsets) - 1):
        image[offsets[b] : offsets[b + 1]] = b
    keep: list[int] = []
    for row in torch.argsort(scores, descending=True, stable=True).tolist():
        rivals = [k for k in keep if labels[k] == labels[row] and image[k] == image[row]]
        iou = box_iou_reference(boxes[rivals].to(compute), boxes[row : row + 1].to(compute))
        if not (iou.double() > iou_threshold).any():
            keep.append(row)
    return torch.tensor(keep, dtype=torch.int64, device=boxes.device)
