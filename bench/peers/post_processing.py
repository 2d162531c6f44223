"""Suppression and score voting in torch."""

from __future__ import annotations

import torch
from torch import Tensor


def eager_nms(boxes: Tensor, scores: Tensor, labels: Tensor, iou_threshold: float) -> Tensor:
    """Keeps the best box, drops the boxes of its class that it suppresses, and goes on with the rest."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    left, kept = scores.argsort(descending=True), []
    while len(left) > 0:
        best, left = left[0], left[1:]
        kept.append(best)
        corner = torch.minimum(boxes[best, 2:], boxes[left, 2:]) - torch.maximum(boxes[best, :2], boxes[left, :2])
        overlap = corner.clamp_(min=0).prod(dim=1)
        iou = overlap / (areas[best] + areas[left] - overlap)
        left = left[~((iou.double() > iou_threshold) & (labels[left] == labels[best]))]
    return torch.stack(kept)


def eager_voting(
    boxes: Tensor, labels: Tensor, voters: Tensor, scores: Tensor, sigma: float, iou_threshold: float, least: float
) -> Tensor:
    """Box by box, with the voters of its class, as in mmdetection's ``PAAHead.score_voting``."""
    voted = []
    for box, label in zip(boxes, labels.tolist()):
        of_class = scores[:, label] > least
        voted.append(vectorised_voting(box[None], labels[:1] * 0, voters[of_class], scores[of_class, label, None],
                                       sigma, iou_threshold, least))  # fmt: skip
    return torch.cat(voted)


def vectorised_voting(
    boxes: Tensor, labels: Tensor, voters: Tensor, scores: Tensor, sigma: float, iou_threshold: float, least: float
) -> Tensor:
    """All pairs of a kept box and a voter in one (K, N) matrix."""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    areas = (voters[:, 2] - voters[:, 0]) * (voters[:, 3] - voters[:, 1])
    width = torch.minimum(boxes[:, None, 2], voters[:, 2]) - torch.maximum(boxes[:, None, 0], voters[:, 0])
    height = torch.minimum(boxes[:, None, 3], voters[:, 3]) - torch.maximum(boxes[:, None, 1], voters[:, 1])
    overlap = width.clamp_(min=0) * height.clamp_(min=0)
    iou = overlap / (area[:, None] + areas - overlap)
    score = scores.T[labels]
    weight = torch.where((score > least) & (iou > iou_threshold), score * torch.exp(-((1 - iou) ** 2) / sigma), 0)
    return weight @ voters / weight.sum(1, keepdim=True)
