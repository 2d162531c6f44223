"""Score voting: a kept box becomes the weighted mean of the boxes of its class that overlap it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from colad_ops import debug
from colad_ops.devices import check_same_device
from colad_ops.ops.iou import box_iou_reference
from colad_ops.ops.nms import check_scores


class VotedBoxes(NamedTuple):
    """Result of :func:`score_voting`, by descending score (ties in input order)."""

    boxes: Tensor
    """``(K, 4)``, dtype of the input boxes."""
    scores: Tensor
    """``(K,)``, unchanged."""
    labels: Tensor
    """``(K,)`` int64, unchanged."""


def score_voting(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor,
    all_boxes: Tensor,
    all_scores: Tensor,
    *,
    sigma: float = 0.025,
    iou_threshold: float = 0.01,
    score_threshold: float = 0.05,
) -> VotedBoxes:
    """Refines the boxes that NMS kept with all boxes before NMS (PAA paper, section 3.3), for one image.

    Each kept box becomes a weighted mean of its voters. The voters are those of ``all_boxes`` whose score for the class
    of the kept box is above ``score_threshold`` and whose IoU with the kept box is above ``iou_threshold``. The weight
    of a voter is ``score * exp(-(1 - IoU)^2 / sigma)``. A kept box without voters stays as it is. A box with a NaN
    or infinite coordinate or score does not vote.

    Args:
        boxes, scores, labels: the boxes that NMS kept: ``(K, 4)`` xyxy pixels float, ``(K,)``, ``(K,)`` int64 in
            ``0..C-1``.
        all_boxes, all_scores: every box before NMS, and its score for each class: ``(N, 4)`` and ``(N, C)``, in the
            dtype of ``boxes``.

    Returns:
        :class:`VotedBoxes`.

    Raises:
        RuntimeError: wrong shape, dtype, device or option; on the CPU (on CUDA with :func:`colad_ops.set_debug`) also a
        label out of range. Without this check, a box with such a label has no voters.
    """
    check_scores(scores, boxes, "(K, 4)")
    check_same_device(boxes=boxes, scores=scores)
    voted = torch.ops.colad.score_voting(
        boxes=boxes.detach(),
        labels=labels,
        all_boxes=all_boxes.detach(),
        all_scores=all_scores.detach(),
        sigma=sigma,
        iou_threshold=iou_threshold,
        score_threshold=score_threshold,
    )
    if debug.checks_data(boxes):
        debug.check_range("labels", labels, 0, all_scores.shape[1] - 1)
    order = torch.argsort(scores, descending=True, stable=True)
    return VotedBoxes(voted[order], scores[order], labels[order])


@torch.library.register_fake("colad::score_voting")
def _(boxes: Tensor, labels: Tensor, all_boxes: Tensor, all_scores: Tensor, *options: Any) -> Tensor:
    check_same_device(boxes=boxes, labels=labels, all_boxes=all_boxes, all_scores=all_scores)
    return boxes.new_empty(boxes.shape)


def score_voting_reference(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor,
    all_boxes: Tensor,
    all_scores: Tensor,
    *,
    sigma: float = 0.025,
    iou_threshold: float = 0.01,
    score_threshold: float = 0.05,
) -> VotedBoxes:
    """The reference of :func:`score_voting` in plain PyTorch, with the K x N matrix."""
    compute = torch.float64 if boxes.dtype == torch.float64 else torch.float32
    kept, voters = boxes.to(compute), all_boxes.to(compute)
    score = all_scores.to(compute)[:, labels].T  # (K, N)
    iou = box_iou_reference(kept, voters)
    votes = (score > torch.tensor(score_threshold, dtype=compute)) & score.isfinite()
    votes &= (iou > torch.tensor(iou_threshold, dtype=compute)) & voters.isfinite().all(1)
    weight = torch.where(votes, score * torch.exp(-((1 - iou) ** 2) / sigma), 0)
    total = weight.sum(1, keepdim=True)
    voted = torch.where(total > 0, weight @ voters.nan_to_num(posinf=0, neginf=0) / total, kept)
    order = torch.argsort(scores, descending=True, stable=True)
    return VotedBoxes(voted.to(boxes.dtype)[order], scores[order], labels[order])
