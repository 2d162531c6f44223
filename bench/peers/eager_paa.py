"""Probabilistic anchor assignment in the usual style of eager torch: loops over images, objects and pyramid levels, and
scikit-learn for every object.

It implements the algorithm with the options of ``AssignConfig()``, so that its labels can be compared with ours.
scikit-learn fits float64 values here; the published implementations give it float32.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.peers.mixtures import sklearn_fit
from bench.workload.batch import Workload

Fit = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From the ascending costs of an object's candidates: whether each is in component 0, and its log-likelihood."""


def overlaps(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """The usual code: corners, sides, areas, and a small number that prevents a division by 0."""
    top_left = torch.max(boxes1[:, None, :2], boxes2[None, :, :2])
    bottom_right = torch.min(boxes1[:, None, 2:], boxes2[None, :, 2:])
    sides = (bottom_right - top_left).clamp(min=0)
    overlap = sides[..., 0] * sides[..., 1]
    area1 = (boxes1[:, 2] - boxes1[:, 0]) * (boxes1[:, 3] - boxes1[:, 1])
    area2 = (boxes2[:, 2] - boxes2[:, 0]) * (boxes2[:, 3] - boxes2[:, 1])
    union = (area1[:, None] + area2[None, :] - overlap).clamp(min=1e-6)
    return overlap / union


def match_image(anchors: Tensor, objects: Tensor, threshold: float, low_quality: bool) -> Tensor:
    """``(A,)``: the object of each anchor, -1 without an object."""
    matched = torch.full((len(anchors),), -1, dtype=torch.int64, device=anchors.device)
    if len(objects) == 0:
        return matched
    iou = overlaps(objects, anchors)  # (G, A)
    best, row = iou.max(dim=0)
    positive = best >= threshold
    matched[positive] = row[positive]
    if low_quality:
        largest = iou.max(dim=1).values
        for g in range(len(objects)):
            if largest[g] > 0:
                matched[iou[g] == largest[g]] = g
    return matched


def match(w: Workload, low_quality: bool = True) -> Tensor:
    """``(B, A)`` rows of the batch's objects."""
    bounds = w.gt_offsets.tolist()
    rows = []
    for first, last in zip(bounds, bounds[1:]):
        own = match_image(w.anchors, w.gt_boxes[first:last], w.config.iou_threshold, low_quality)
        rows.append(torch.where(own >= 0, own + first, -1))
    return torch.stack(rows)


def cost_image(w: Workload, image: int, candidates: Tensor, rows: Tensor) -> Tensor:
    """``(K,)``: cost of the candidate anchors of an image with their objects. The maps are copied to rows first."""
    logits = torch.cat([m[image].permute(1, 2, 0).reshape(-1, w.classes) for m in w.class_maps])[candidates]
    boxes = torch.cat([m[image].permute(1, 2, 0).reshape(-1, 4) for m in w.box_maps])[candidates]
    target = F.one_hot(w.gt_labels[rows], w.classes).to(logits.dtype)
    p = logits.sigmoid()
    wrong = (1 - p) * target + p * (1 - target)
    weight = (w.config.alpha * target + (1 - w.config.alpha) * (1 - target)) * wrong.pow(w.config.gamma)
    focal = F.binary_cross_entropy_with_logits(logits, target, reduction="none") * weight
    objects = w.gt_boxes[rows]
    sides = (torch.min(boxes[:, 2:], objects[:, 2:]) - torch.max(boxes[:, :2], objects[:, :2])).clamp(min=0)
    overlap = sides.prod(1)
    area, area_of_object = ((x[:, 2:] - x[:, :2]).clamp(min=0).prod(1) for x in (boxes, objects))
    iou = overlap / (area + area_of_object - overlap).clamp(min=1e-6)
    return focal.sum(1) + w.config.box_weight * (1 - iou)


def cost(w: Workload, matched: Tensor) -> Tensor:
    """``(B, A)``, infinite where the anchor has no object."""
    costs = torch.full(matched.shape, torch.inf, device=matched.device)
    for image in range(w.images):
        candidates = (matched[image] >= 0).nonzero()[:, 0]
        if len(candidates):
            costs[image, candidates] = cost_image(w, image, candidates, matched[image, candidates])
    return costs


def positives_of_object(candidates: Tensor, costs: Tensor, level_sizes: list[int], topk: int, fit: Fit) -> Tensor:
    """The anchors that learn the object: a mixture splits its cheapest candidates of each level."""
    chosen, chosen_costs, start = [], [], 0
    for size in level_sizes:
        here = ((candidates >= start) & (candidates < start + size)).nonzero()[:, 0]
        values, order = costs[here].topk(min(topk, len(here)), largest=False)
        chosen.append(candidates[here[order]])
        chosen_costs.append(values)
        start += size
    values, order = torch.cat(chosen_costs).sort()
    anchors = torch.cat(chosen)[order]
    if len(anchors) < 2:
        return anchors
    component0, log_likelihood = fit(values)
    if not component0.any():
        return anchors
    cut = int(torch.where(component0, log_likelihood, -torch.inf).argmax())
    return anchors[: cut + 1]


def assign(w: Workload, fit: Fit = sklearn_fit) -> Tensor:
    """``(B, A)``: the row of the object that each anchor learns, -1 for background."""
    matched = match(w)
    costs = cost(w, matched)
    result = torch.full_like(matched, -1)
    bounds = w.gt_offsets.tolist()
    for image, (first, last) in enumerate(zip(bounds, bounds[1:])):
        for row in range(first, last):
            candidates = (matched[image] == row).nonzero()[:, 0]
            if len(candidates) == 0:
                continue
            of_object = costs[image, candidates]
            result[image, positives_of_object(candidates, of_object, w.level_sizes, w.config.topk, fit)] = row
    return result
