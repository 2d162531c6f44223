"""Matches anchors to objects by largest IoU. The anchors x objects matrix is never stored."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from colad_ops import debug
from colad_ops.devices import check_same_device
from colad_ops.ops._no_derivative import register_no_derivative
from colad_ops.ops.iou import box_iou_reference


class Match(NamedTuple):
    """Result of :func:`match_anchors`."""

    matched: Tensor
    """``(B, A)`` int64: the object's row in ``gt_boxes``, ``-1`` background, ``-2`` ignored."""
    iou: Tensor
    """``(B, A)`` in the dtype of the anchors: largest IoU of the anchor with any object of its image; 0 where the
    anchor overlaps no object or is not valid."""


def match_anchors(
    anchors: Tensor,
    gt_boxes: Tensor,
    gt_offsets: Tensor,
    *,
    iou_threshold: float = 0.1,
    low_quality: str = "all",
    valid: Tensor | None = None,
    ignore_boxes: Tensor | None = None,
    ignore_offsets: Tensor | None = None,
    ignore_iof: float = 0.5,
    claim_zero_overlap: bool = False,
    inclusive_corners: bool = False,
) -> Match:
    """Matches every anchor to an object, to background, or ignores it.

    1. A valid anchor is matched to the object of its image with the largest IoU, if this IoU is ``>= iou_threshold``.
       Ties go to the lowest row.
    2. ``low_quality="all"`` (mmdetection, the LAD code): each object with a best IoU > 0 also takes every valid anchor
       whose IoU equals this best IoU, even if the IoU is below the threshold or the anchor is matched to another
       object. The rule is applied to the objects in row order; a later object overrides an earlier one. ``"own"`` (the
       PAA code): such an anchor is matched to the anchor's own best object instead. ``"none"``: this step is skipped.
    3. An unmatched valid anchor becomes ``-2`` if at least the share ``ignore_iof`` of its area lies in one ignore
       (crowd) box.

    Memory grows with ``B * A + G``. Results equal those of mmdetection's
    ``MaxIoUAssigner(iou_threshold, iou_threshold, 0)``, except for ``claim_zero_overlap``.

    Args:
        anchors: ``(A, 4)`` xyxy pixels, float; one set for all images.
        gt_boxes: ``(G, 4)`` xyxy pixels, same dtype and device; the objects of all images.
        gt_offsets: ``(B + 1,)`` int64: image ``b`` owns rows ``gt_offsets[b]:gt_offsets[b + 1]``. On the CPU, offsets
            that do not ascend from 0 to G raise; on CUDA they are clamped to the range of the rows.
        valid: ``(A,)`` or ``(B, A)`` bool. An anchor that is not valid (off the image, in the padding) is background
            and never the best anchor of an object.
        ignore_boxes, ignore_offsets: ``(I, 4)`` and ``(B + 1,)``, in the form of ``gt_boxes`` and ``gt_offsets``.
        claim_zero_overlap: True reproduces a defect of mmdetection and the LAD code: an object that overlaps no anchor
            takes every valid anchor with which its IoU is 0 from the objects before it. With ``low_quality="own"`` (the
            PAA code) every such anchor is matched to the anchor's own best object.
        inclusive_corners: True reads ``x2, y2`` as the last pixel inside, so that a width is ``x2 - x1 + 1``
            (maskrcnn-benchmark and the codes built on it). This applies to anchors, objects and ignore boxes.

    Returns:
        :class:`Match`, without a gradient. A NaN anchor or box matches nothing. An anchor or box whose area overflows
        the compute dtype (sides over 1e19 pixels in float32, infinite coordinates) also matches nothing, unless
        ``iou_threshold <= 0``. An ignore box of that size still ignores the anchors inside it.

    Raises:
        RuntimeError: wrong shape, dtype, device or option.
    """
    match = Match(
        *torch.ops.colad.match_anchors(
            anchors=anchors,
            gt_boxes=gt_boxes,
            gt_offsets=gt_offsets,
            valid=valid,
            ignore_boxes=ignore_boxes,
            ignore_offsets=ignore_offsets,
            iou_threshold=iou_threshold,
            low_quality=low_quality,
            ignore_iof=ignore_iof,
            claim_zero_overlap=claim_zero_overlap,
            inclusive_corners=inclusive_corners,
        )
    )
    if debug.checks_data(anchors):
        check_offsets_of_boxes(gt_boxes, gt_offsets, ignore_boxes, ignore_offsets)
    return match


register_no_derivative("match_anchors")


def check_offsets_of_boxes(
    gt_boxes: Tensor, gt_offsets: Tensor, ignore_boxes: Tensor | None, ignore_offsets: Tensor | None
) -> None:
    """Checks the offsets of objects and ignore boxes. The check reads the data, so it waits for the device."""
    debug.check_offsets("gt_offsets", gt_offsets, gt_boxes.shape[0])
    if ignore_boxes is not None and ignore_offsets is not None:
        debug.check_offsets("ignore_offsets", ignore_offsets, ignore_boxes.shape[0])


@torch.library.register_fake("colad::match_anchors")
def _(
    anchors: Tensor,
    gt_boxes: Tensor,
    gt_offsets: Tensor,
    valid: Tensor | None = None,
    ignore_boxes: Tensor | None = None,
    ignore_offsets: Tensor | None = None,
    *options: Any,
) -> tuple[Tensor, Tensor]:
    check_same_device(
        anchors=anchors,
        gt_boxes=gt_boxes,
        gt_offsets=gt_offsets,
        valid=valid,
        ignore_boxes=ignore_boxes,
        ignore_offsets=ignore_offsets,
    )
    shape = (gt_offsets.shape[0] - 1, anchors.shape[0])
    return anchors.new_empty(shape, dtype=torch.int64), anchors.new_empty(shape)


def match_anchors_reference(
    anchors: Tensor,
    gt_boxes: Tensor,
    gt_offsets: Tensor,
    *,
    iou_threshold: float = 0.1,
    low_quality: str = "all",
    valid: Tensor | None = None,
    ignore_boxes: Tensor | None = None,
    ignore_offsets: Tensor | None = None,
    ignore_iof: float = 0.5,
    claim_zero_overlap: bool = False,
    inclusive_corners: bool = False,
) -> Match:
    """The reference of :func:`match_anchors` in plain PyTorch: image by image, with the whole IoU matrix."""
    compute = torch.float64 if anchors.dtype == torch.float64 else torch.float32
    result_dtype = anchors.dtype
    far_edge = torch.tensor([0, 0, 1, 1] if inclusive_corners else [0, 0, 0, 0], dtype=compute, device=anchors.device)
    anchors, gt_boxes = anchors.to(compute) + far_edge, gt_boxes.to(compute) + far_edge
    offsets = gt_offsets.tolist()
    images = len(offsets) - 1
    valid = anchors.new_ones(anchors.shape[0], dtype=torch.bool) if valid is None else valid
    valid = valid.expand(images, -1)
    matched = torch.full((images, anchors.shape[0]), -1, dtype=torch.int64, device=anchors.device)
    largest = torch.zeros((images, anchors.shape[0]), dtype=compute, device=anchors.device)
    threshold = torch.tensor(iou_threshold, dtype=compute)
    for b in range(images):
        first, last = offsets[b], offsets[b + 1]
        if last > first and anchors.shape[0] > 0:
            iou = box_iou_reference(gt_boxes[first:last], anchors)
            iou = torch.where(valid[b], iou, -1).nan_to_num(nan=-1.0)
            best = iou.max(dim=0)
            largest[b] = best.values.clamp(min=0)
            own = (iou == best.values).int().argmax(dim=0) + first  # the lowest row of a tie
            matched[b] = torch.where(valid[b] & (best.values >= threshold) & (best.values >= 0), own, -1)
            for row in range(first, last):
                top = iou[row - first].max().clamp(min=0)
                ties = valid[b] & (iou[row - first] == top) & ((top > 0) | claim_zero_overlap)
                if low_quality == "all":
                    matched[b] = torch.where(ties, row, matched[b])
                elif low_quality == "own":
                    matched[b] = torch.where(ties, own, matched[b])
        if ignore_boxes is not None and ignore_offsets is not None:
            crowd = ignore_boxes[ignore_offsets[b] : ignore_offsets[b + 1]].to(compute) + far_edge
            inside = box_iou_reference(anchors, crowd, "iof") >= torch.tensor(ignore_iof, dtype=compute)
            matched[b] = torch.where((matched[b] == -1) & valid[b] & inside.any(dim=1), -2, matched[b])
    return Match(matched, largest.to(result_dtype))
