"""The cost of assigning an anchor to its object: equation (2) of the LAD paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from colad_ops import debug
from colad_ops.devices import check_same_device
from colad_ops.ops.iou import aligned_box_iou_reference

Levels = Tensor | Sequence[Tensor]
"""Predictions: one tensor ``(B, A, n)``, or a list of per-level views ``(B, A_l, n)`` of any strides."""


def as_levels(predictions: Levels) -> list[Tensor]:
    return [predictions] if isinstance(predictions, Tensor) else list(predictions)


def assign_cost(
    logits: Levels,
    boxes: Levels,
    gt_boxes: Tensor,
    gt_labels: Tensor,
    matched: Tensor,
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
    box_cost: str = "iou",
    box_weight: float = 1.0,
    probs: bool = False,
) -> Tensor:
    """``FL(p, C) + box_weight * (1 - IoU(b, B))`` of every matched anchor with its object (LAD paper, equation 2).

    Args:
        logits: ``(B, A, C)`` class logits, or a list of per-level views ``(B, A_l, C)`` of any strides (an NCHW map as
            ``map.flatten(2).transpose(1, 2)``). Views are read in place. float32, float64, float16 or bfloat16.
        boxes: ``(B, A, 4)`` decoded predictions, xyxy pixels, or per-level views; any of the four dtypes.
        gt_boxes: ``(G, 4)`` xyxy pixels, any of the four dtypes.
        gt_labels: ``(G,)`` int64 in ``0..C-1``. On the CPU any other label raises; on CUDA the anchors of that object
            cost ``+inf``.
        matched: ``(B, A)`` int64: the anchor's row in ``gt_boxes``; negative where the anchor has no object.
        alpha, gamma: parameters of the sigmoid focal loss. The loss is summed over the classes of the one-hot target.
            ``alpha < 0``: no weighting.
        box_cost: ``"iou"`` (the paper) or ``"giou"`` (mmdetection and the official code, with ``box_weight=1.3``), or
            any other mode of :func:`colad_ops.box_iou`.
        probs: ``logits`` holds probabilities in 0..1; logarithms are cut at -100.

    Returns:
        ``(B, A)`` float32, computed in float32 for every input dtype; ``+inf`` where ``matched`` is negative. It has no
        gradient, because assignment is a decision. A NaN or infinite prediction may give a NaN or infinite cost, at its
        own anchor only.

    Raises:
        RuntimeError: wrong shape, dtype, device or option; on the CPU also a label or match out of range (the message
        has its value and position).
    """
    logits, boxes = as_levels(logits), as_levels(boxes)
    cost = torch.ops.colad.assign_cost(
        logits=[x.detach() for x in logits],
        boxes=[x.detach() for x in boxes],
        gt_boxes=gt_boxes.detach(),
        gt_labels=gt_labels,
        matched=matched,
        alpha=alpha,
        gamma=gamma,
        box_cost=box_cost,
        box_weight=box_weight,
        probs=probs,
    )
    if debug.checks_data(matched):
        debug.check_range("gt_labels", gt_labels, 0, logits[0].shape[-1] - 1)
        debug.check_range("matched", matched, -2, gt_boxes.shape[0] - 1)
    return cost


@torch.library.register_fake("colad::assign_cost")
def _(
    logits: list[Tensor], boxes: list[Tensor], gt_boxes: Tensor, gt_labels: Tensor, matched: Tensor, *options: Any
) -> Tensor:
    check_same_device(matched=matched, logits=logits, boxes=boxes, gt_boxes=gt_boxes, gt_labels=gt_labels)
    return matched.new_empty(matched.shape, dtype=torch.float32)


def assign_cost_reference(
    logits: Levels,
    boxes: Levels,
    gt_boxes: Tensor,
    gt_labels: Tensor,
    matched: Tensor,
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
    box_cost: str = "iou",
    box_weight: float = 1.0,
    probs: bool = False,
) -> Tensor:
    """The reference of :func:`assign_cost` in plain PyTorch. It gathers candidates and stores one-hot targets."""
    logits, boxes = torch.cat(as_levels(logits), dim=1), torch.cat(as_levels(boxes), dim=1)
    cost = torch.full(matched.shape, float("inf"), dtype=torch.float32, device=matched.device)
    where = matched >= 0
    x, row = logits[where].float(), matched[where]  # (K, C), (K,)
    target = F.one_hot(gt_labels[row], logits.shape[-1]).float()
    p = x if probs else x.sigmoid()
    cross_entropy = (
        F.binary_cross_entropy(p, target, reduction="none")
        if probs
        else F.binary_cross_entropy_with_logits(x, target, reduction="none")
    )
    focal = torch.where(target > 0, 1 - p, p) ** gamma * cross_entropy
    if alpha >= 0:
        focal = focal * torch.where(target > 0, alpha, 1 - alpha)
    overlap = aligned_box_iou_reference(boxes[where].float(), gt_boxes[row].float(), box_cost)
    cost[where] = focal.sum(-1) + box_weight * (1 - overlap)
    return cost
