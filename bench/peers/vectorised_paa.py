"""Probabilistic anchor assignment in plain torch without a loop over images or objects: dense tables of objects x
anchors, and mixtures in a batch. ``Pieces`` are the functions that ``torch.compile`` can compile one by one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.peers.mixtures import em_step, fit_batch
from bench.peers.packages import compiled
from bench.workload.batch import Workload
from colad_ops.ops.iou import aligned_box_iou_reference

warnings.filterwarnings("ignore", message="index_reduce")  # torch warns that it is in beta


def iou_table(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """``(N, M)``, computed coordinate by coordinate. This takes half the time of code on pairs of coordinates."""
    left1, top1, right1, bottom1 = (x[:, None] for x in boxes1.unbind(1))
    left2, top2, right2, bottom2 = boxes2.unbind(1)
    width = (torch.minimum(right1, right2) - torch.maximum(left1, left2)).clamp_(min=0)
    height = (torch.minimum(bottom1, bottom2) - torch.maximum(top1, top2)).clamp_(min=0)
    overlap = width * height
    area1, area2 = (right1 - left1) * (bottom1 - top1), (right2 - left2) * (bottom2 - top2)
    return overlap / (area1 + area2 - overlap).clamp(min=1e-6)


def match_table(
    anchors: Tensor, objects: Tensor, image: Tensor, images: int, threshold: float, low_quality: bool
) -> Tensor:
    """``(B, A)``: rows of the objects, from the whole ``(G, A)`` matrix. ``image (G,)`` is the image of each object."""
    iou = iou_table(objects, anchors)
    row = torch.arange(len(objects), device=objects.device)[:, None]

    def of_image(start: float | int, values: Tensor, how: str) -> Tensor:
        return values.new_full((images, len(anchors)), start).index_reduce_(0, image, values, how)

    best = of_image(-1.0, iou, "amax")
    first = of_image(len(objects), torch.where(iou == best[image], row, len(objects)), "amin")
    matched = torch.where(best >= threshold, first, -1)
    if low_quality:
        top = iou.amax(dim=1, keepdim=True)
        last = of_image(-1, torch.where((iou == top) & (top > 0), row, -1), "amax")
        matched = torch.where(last >= 0, last, matched)
    return matched


def cost_of_candidates(x: Tensor, labels: Tensor, boxes: Tensor, objects: Tensor, alpha: float, gamma: float) -> Tensor:
    """``(K,)``: focal loss of ``(K, C)`` logits plus ``1 - IoU``."""
    target = F.one_hot(labels, x.shape[1]).to(x.dtype)
    p = x.sigmoid()
    focal = F.binary_cross_entropy_with_logits(x, target, reduction="none")
    focal = focal * torch.where(target > 0, alpha * (1 - p) ** gamma, (1 - alpha) * p**gamma)
    return focal.sum(1) + 1 - aligned_box_iou_reference(boxes, objects)


@dataclass(frozen=True)
class Pieces:
    match: Callable = match_table
    cost: Callable = cost_of_candidates
    step: Callable = em_step


def compiled_pieces() -> Pieces:
    return Pieces(compiled(match_table), compiled(cost_of_candidates), compiled(em_step))


def image_of_objects(w: Workload) -> Tensor:
    return torch.searchsorted(w.gt_offsets, torch.arange(len(w.gt_boxes), device=w.gt_boxes.device), right=True) - 1


def match(w: Workload, pieces: Pieces = Pieces(), low_quality: bool = True) -> Tensor:
    image = image_of_objects(w)
    return pieces.match(w.anchors, w.gt_boxes, image, w.images, w.config.iou_threshold, low_quality)


def cost(w: Workload, matched: Tensor, pieces: Pieces = Pieces()) -> Tensor:
    """``(B, A)``, infinite where the anchor has no object. The candidates are gathered from the maps in place."""
    costs = torch.full(matched.shape, torch.inf, device=matched.device)
    image, anchor = (matched >= 0).nonzero().unbind(1)
    level = torch.bucketize(anchor, torch.tensor(w.level_sizes, device=anchor.device).cumsum(0), right=True)
    order = level.argsort(stable=True)
    image, anchor, counts = image[order], anchor[order], level.bincount(minlength=len(w.level_sizes)).tolist()
    x, boxes, start = [], [], 0
    for of_logits, of_boxes, i, a in zip(w.logits(), w.boxes(), image.split(counts), anchor.split(counts)):
        x.append(of_logits[i, a - start])
        boxes.append(of_boxes[i, a - start])
        start += of_logits.shape[1]
    rows = matched[image, anchor]
    costs[image, anchor] = pieces.cost(
        torch.cat(x), w.gt_labels[rows], torch.cat(boxes), w.gt_boxes[rows], w.config.alpha, w.config.gamma
    )
    return costs


def assign(w: Workload, pieces: Pieces = Pieces()) -> Tensor:
    """``(B, A)``: the row of the object that each anchor learns, -1 for background."""
    matched = match(w, pieces)
    costs = cost(w, matched, pieces)
    image = image_of_objects(w)
    dense = torch.where(
        matched[image] == torch.arange(len(image), device=image.device)[:, None], costs[image], torch.inf
    )  # (G, A)
    values, anchors, start = [], [], 0
    for of_level in dense.split(w.level_sizes, dim=1):
        cheapest = of_level.topk(min(w.config.topk, of_level.shape[1]), dim=1, largest=False)
        values.append(cheapest.values)
        anchors.append(cheapest.indices + start)
        start += of_level.shape[1]
    values, order = torch.cat(values, dim=1).sort(dim=1, stable=True)  # (G, levels x topk)
    anchors, mask = torch.cat(anchors, dim=1).gather(1, order), values.isfinite()
    positive = split(torch.where(mask, values, 0).double(), mask, pieces.step)
    result = torch.full_like(matched, -1)
    chosen = positive.nonzero()
    result[image[chosen[:, 0]], anchors[chosen[:, 0], chosen[:, 1]]] = chosen[:, 0]
    return result


def split(x: Tensor, mask: Tensor, step: Callable) -> Tensor:
    """``(G, N)`` bool: the candidates up to the component-0 candidate of highest likelihood; all without such a one."""
    second, odds = fit_batch(x, mask.double(), step)
    component0 = mask & (odds >= 0)
    likelihood = torch.where(component0, second + F.softplus(odds, threshold=700.0), -torch.inf)
    up_to_cut = torch.arange(x.shape[1], device=x.device) <= likelihood.argmax(1, keepdim=True)
    all_of_them = ~component0.any(1, keepdim=True) | (mask.sum(1, keepdim=True) < 2)
    return mask & (up_to_cut | all_of_them)
