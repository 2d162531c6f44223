"""Matching anchors to objects by largest IoU, without ever storing the anchors x objects matrix."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from colad_ops import debug
from colad_ops.devices import check_same_device
from colad_ops.ops.iou import box_iou_reference


class Match(NamedTuple):
    """Result of :func:`match_anchors`."""

    matched: Tensor
    """``(B, A)`` int64: the object's row in ``gt_boxes``, ``-1`` background, ``-2`` ignored."""
    iou: Tensor
    """``(B, A)`` largest IoU of the anchor with any object of its image, in the dtype of the anchors; 0 where it
    overlaps none or is not valid."""


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
    """Gives every anchor its object, or background.

    1. A valid anchor goes to the object of its image of largest IoU if that is ``>= iou_threshold``; ties to the lowest
       row.
    2. ``low_quality="all"`` (mmdetection, the LAD code): each object with a best IoU > 0 also takes every valid anchor
       that ties its best IoU, below the threshold or taken by another; objects are served in row order, a later one
       overrides. ``"own"`` (the PAA code): such an anchor gets its own best object instead. ``"none"``: skipped.
    3. An unmatched anchor of which at least ``ignore_iof`` lies in an ignore (crowd) box becomes ``-2``.

    Memory grows with ``B * A + G``. Equal to mmdetection's ``MaxIoUAssigner(iou_threshold, iou_threshold, 0)`` but for
    ``claim_zero_overlap``.

    Args:
        anchors: ``(A, 4)`` xyxy pixels, float; one set for all images.
        gt_boxes: ``(G, 4)`` xyxy pixels, same dtype and device; the objects of all images.
        gt_offsets: ``(B + 1,)`` int64: image ``b`` owns rows ``gt_offsets[b]:gt_offsets[b + 1]``. On the CPU offsets
            that do not ascend from 0 to G raise; on CUDA they are cut to the rows there are.
        valid: ``(A,)`` or ``(B, A)`` bool; an anchor that is not valid (off the image, in the padding) is background
            and nobody's best.
        ignore_boxes, ignore_offsets: ``(I, 4)`` and ``(B + 1,)``, as the objects.
        claim_zero_overlap: True reproduces a defect of mmdetection and the LAD code, where an object that overlaps
            nothing takes every valid anchor of IoU 0 from the objects before it (with ``low_quality="own"``, the PAA
            code: gives every such anchor its own best object).
        inclusive_corners: True reads ``x2, y2`` as the last pixel inside, so that a width is ``x2 - x1 + 1``
            (maskrcnn-benchmark and the codes built on it). For anchors, objects and ignore boxes alike.

    Returns:
        :class:`Match`, without a gradient. A NaN anchor or box matches nothing. So does one whose area overflows the
        type computed in (sides over 1e19 pixels in float32, infinite coordinates), unless ``iou_threshold <= 0``; an
        ignore box of that size still ignores the anchors inside.

    Raises:
        RuntimeError: wrong shape, dtype, device or option.
    """
    match = Match(
        *torch.ops.colad.match_anchors(
            anchors=anchors.detach(),
            gt_boxes=gt_boxes.detach(),
            gt_offsets=gt_offsets,
            valid=valid,
            ignore_boxes=None if ignore_boxes is None else ignore_boxes.detach(),
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


def check_offsets_of_boxes(
    gt_boxes: Tensor, gt_offsets: Tensor, ignore_boxes: Tensor | None, ignore_offsets: Tensor | None
) -> None:
    """What only the data can tell of the boxes of a call. It waits for the device."""
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
    """The twin of :func:`match_anchors`: image by image, with the whole matrix."""
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
