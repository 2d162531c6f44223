"""Intermediate results on the batch: matches, costs, and the candidates of every object."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bench.workload.batch import Workload
from colad_ops import assign_cost, match_anchors


def matched_and_cost(w: Workload) -> tuple[Tensor, Tensor]:
    matched = match_anchors(w.anchors, w.gt_boxes, w.gt_offsets, **w.config.matching_options()).matched
    cost = assign_cost(w.logits(), w.boxes(), w.gt_boxes, w.gt_labels, matched, **w.config.cost_options())
    return matched, cost


def cheapest_candidates(w: Workload) -> tuple[Tensor, Tensor]:
    """The inputs of EM, ``(values, offsets)``: costs of each object's ``topk`` cheapest candidates on every level."""
    matched, cost = matched_and_cost(w)
    values, counts = [], []
    image = torch.searchsorted(w.gt_offsets, torch.arange(len(w.gt_boxes), device=w.gt_boxes.device), right=True) - 1
    for row in range(len(w.gt_boxes)):
        of_levels = []
        levels = zip(matched[image[row]].split(w.level_sizes), cost[image[row]].split(w.level_sizes))
        for of_level, costs in levels:
            costs = costs[(of_level == row) & costs.isfinite()]
            of_levels.append(costs.topk(min(w.config.topk, len(costs)), largest=False).values)
        values.append(torch.cat(of_levels))
        counts.append(len(values[-1]))
    return torch.cat(values), torch.tensor([0, *counts], device=w.gt_boxes.device).cumsum(0)


def repeated(values: Tensor, offsets: Tensor, segments: int) -> tuple[Tensor, Tensor]:
    """Repeats the segments until there are ``segments`` of them."""
    times = math.ceil(segments / (len(offsets) - 1))
    counts = offsets.diff().repeat(times)[:segments]
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return values.repeat(times)[: int(offsets[-1])], offsets


def bytes_of_candidates(w: Workload, matched: Tensor, line: int) -> int:
    """Bytes read from the class and box maps at the candidates, in cache lines of ``line`` bytes. In an NCHW map the
    logits of a candidate are one plane apart. So candidates that are neighbours share a line, and any other candidate
    takes a whole line."""
    of_line = line // w.class_maps[0].element_size()
    lines = 0
    for of_level in (matched >= 0).split(w.level_sizes, dim=1):
        image, anchor = of_level.nonzero().unbind(1)
        lines += len(torch.stack([image, anchor // of_line]).unique(dim=1).T)
    return lines * line * (w.classes + 4)
