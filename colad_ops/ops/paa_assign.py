"""The whole assignment: matching, cost, per-level top-k, mixture, positives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from colad_ops import debug
from colad_ops.assignment import Assignment
from colad_ops.config import AssignConfig
from colad_ops.devices import check_same_device
from colad_ops.ops._call import data_in_order
from colad_ops.ops._no_derivative import register_no_derivative
from colad_ops.ops.assign_cost import Levels, as_levels, assign_cost_reference
from colad_ops.ops.match_anchors import check_offsets_of_boxes, match_anchors_reference
from colad_ops.ops.split_candidates import split_candidates_reference, split_fakes


def paa_assign(
    logits: Levels,
    boxes: Levels,
    anchors: Tensor,
    level_sizes: Sequence[int],
    gt_boxes: Tensor,
    gt_labels: Tensor,
    gt_offsets: Tensor,
    config: AssignConfig = AssignConfig(),
    *,
    valid: Tensor | None = None,
    ignore_boxes: Tensor | None = None,
    ignore_offsets: Tensor | None = None,
    probs: bool = False,
) -> Assignment:
    """Probabilistic anchor assignment (Kim and Lee, ECCV 2020; LAD paper, section 3.1) of a whole batch, without a host
    sync. For LAD, pass the predictions of the teacher.

    Steps:

    1. :func:`colad_ops.match_anchors` matches anchors to objects; a matched anchor is a candidate of its object.
    2. :func:`colad_ops.assign_cost` computes the cost of every candidate.
    3. For each object and level, the ``config.topk`` cheapest candidates are kept.
    4. One mixture for each object is fitted to the costs of its kept candidates (:func:`colad_ops.gmm_em`).
    5. ``config.split`` decides which of these candidates are positive.

    By default an object with one candidate keeps it, and an object without a component-0 candidate keeps all its
    candidates. So every object that has a candidate has a positive. Other codes choose differently, see
    :class:`AssignConfig`.

    Args:
        logits: ``(B, A, C)`` or a list of per-level views ``(B, A_l, C)``, as in :func:`colad_ops.assign_cost`.
        boxes: ``(B, A, 4)`` decoded predictions, xyxy pixels, or per-level views.
        anchors: ``(A, 4)`` xyxy pixels, level by level; dtype of ``gt_boxes``.
        level_sizes: number of anchors on each level, with sum A; at most 16 levels.
        gt_boxes, gt_labels, gt_offsets: ``(G, 4)`` xyxy pixels, ``(G,)`` int64, ``(B + 1,)`` int64
            (:func:`colad_ops.ragged`).
        valid: ``(A,)`` or ``(B, A)`` bool: True for the anchors that take part; the others are background.
        ignore_boxes, ignore_offsets: ``(I, 4)``, ``(B + 1,)``: crowd regions.
        probs: True if ``logits`` holds probabilities.

    Returns:
        :class:`Assignment`. An anchor whose cost is NaN or infinite is not a candidate.

    Raises:
        RuntimeError: wrong shape, dtype or device; on the CPU (on CUDA with :func:`colad_ops.set_debug`) also a label
        or offset out of range.
    """
    logits, boxes = as_levels(logits), as_levels(boxes)
    data = _data_in_order(
        logits=logits,
        boxes=boxes,
        anchors=anchors,
        gt_boxes=gt_boxes,
        gt_labels=gt_labels,
        gt_offsets=gt_offsets,
        level_sizes=level_sizes,
        valid=valid,
        ignore_boxes=ignore_boxes,
        ignore_offsets=ignore_offsets,
    )
    options = config.changed_options if probs is False else {"probs": probs, **config.changed_options}
    results = torch.ops.colad.paa_assign(*data, **options)
    if debug.checks_data(anchors):
        check_offsets_of_boxes(gt_boxes, gt_offsets, ignore_boxes, ignore_offsets)
        debug.check_range("gt_labels", gt_labels, 0, logits[0].shape[-1] - 1)
    return Assignment._make((*results, gt_boxes, gt_labels))


_data_in_order = data_in_order(torch.ops.colad.paa_assign)
register_no_derivative("paa_assign")


@torch.library.register_fake("colad::paa_assign")
def _(
    logits: list[Tensor],
    boxes: list[Tensor],
    anchors: Tensor,
    gt_boxes: Tensor,
    gt_labels: Tensor,
    gt_offsets: Tensor,
    level_sizes: Sequence[int],
    valid: Tensor | None = None,
    ignore_boxes: Tensor | None = None,
    ignore_offsets: Tensor | None = None,
    *options: Any,
) -> tuple[Tensor, ...]:
    check_same_device(
        anchors=anchors,
        logits=logits,
        boxes=boxes,
        gt_boxes=gt_boxes,
        gt_labels=gt_labels,
        gt_offsets=gt_offsets,
        valid=valid,
        ignore_boxes=ignore_boxes,
        ignore_offsets=ignore_offsets,
    )
    shape = (gt_offsets.shape[0] - 1, anchors.shape[0])
    matched, cost = anchors.new_empty(shape, dtype=torch.int64), anchors.new_empty(shape, dtype=torch.float32)
    return matched, cost, *split_fakes(cost, gt_boxes.shape[0])


def paa_assign_reference(
    logits: Levels,
    boxes: Levels,
    anchors: Tensor,
    level_sizes: Sequence[int],
    gt_boxes: Tensor,
    gt_labels: Tensor,
    gt_offsets: Tensor,
    config: AssignConfig = AssignConfig(),
    *,
    valid: Tensor | None = None,
    ignore_boxes: Tensor | None = None,
    ignore_offsets: Tensor | None = None,
    probs: bool = False,
) -> Assignment:
    """The reference of :func:`paa_assign` in plain PyTorch: the references of its three steps."""
    matched = match_anchors_reference(
        anchors,
        gt_boxes,
        gt_offsets,
        valid=valid,
        ignore_boxes=ignore_boxes,
        ignore_offsets=ignore_offsets,
        **config.matching_options(),
    ).matched
    cost = assign_cost_reference(logits, boxes, gt_boxes, gt_labels, matched, probs=probs, **config.cost_options())
    return split_candidates_reference(cost, matched, level_sizes, gt_boxes, gt_labels, gt_offsets, config)
