"""From the costs of candidates to positives: per-level top-k, mixture, split. Also the statistics of costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from colad_ops import debug
from colad_ops.assignment import Assignment
from colad_ops.config import AssignConfig
from colad_ops.devices import check_same_device
from colad_ops.ops.gmm_em import gmm_em_reference


def split_candidates(
    cost: Tensor,
    matched: Tensor,
    level_sizes: Sequence[int],
    gt_boxes: Tensor,
    gt_labels: Tensor,
    gt_offsets: Tensor,
    config: AssignConfig = AssignConfig(),
) -> Assignment:
    """The second half of :func:`colad_ops.paa_assign`, for your own costs: per-level top-k, mixture, positives.

    Args:
        cost: ``(B, A)`` float32, a constant. A candidate is a matched anchor with a finite cost.
        matched: ``(B, A)`` int64 as from :func:`colad_ops.match_anchors`. On the CPU, a row of another image raises; on
            CUDA such an anchor is background.

    Results and errors are those of :func:`colad_ops.paa_assign`.
    """
    # The operator does not get gt_boxes and gt_labels, so their devices are checked here.
    if not cost.device == gt_boxes.device == gt_labels.device:
        check_same_device(cost=cost, gt_boxes=gt_boxes, gt_labels=gt_labels)
    cost = cost.detach()
    positives, num_pos, mean, std, weights, means, variances = torch.ops.colad.split_candidates(
        cost=cost,
        matched=matched,
        gt_offsets=gt_offsets,
        num_objects=gt_boxes.shape[0],
        level_sizes=level_sizes,
        **config.split_options(),
    )
    if debug.checks_data(cost):
        debug.check_offsets("gt_offsets", gt_offsets, gt_boxes.shape[0])
    if gt_labels.shape != gt_boxes.shape[:1]:
        raise RuntimeError(
            f"gt_labels should have shape ({gt_boxes.shape[0]},), one a row of gt_boxes, got {tuple(gt_labels.shape)}"
        )
    return Assignment(positives, cost, num_pos, mean, std, weights, means, variances, gt_boxes, gt_labels)


class CostStatistics(NamedTuple):
    """Result of :func:`cost_statistics`; each field is ``(G, L)``, or ``(K, G, L)`` for K networks."""

    num_candidates: Tensor
    """int64."""
    mean: Tensor
    """float64; NaN without a candidate."""
    std: Tensor
    """float64, unbiased; NaN with fewer than two candidates."""


def cost_statistics(
    cost: Tensor, matched: Tensor, gt_offsets: Tensor, num_objects: int, level_sizes: Sequence[int]
) -> CostStatistics:
    """Count, mean and unbiased standard deviation of the costs of each object's candidates on each level, before top-k.

    The arguments are those of :func:`split_candidates`. ``cost`` may also be ``(K, B, A)`` for K networks; results are
    then ``(K, G, L)``. ``level_sizes=[A]`` takes all levels together.
    """
    one = cost.dim() == 2
    costs = cost.detach().unsqueeze(0) if one else cost.detach()
    statistics = torch.ops.colad.cost_statistics(
        costs=costs, matched=matched, gt_offsets=gt_offsets, num_objects=num_objects, level_sizes=level_sizes
    )
    if debug.checks_data(cost):
        debug.check_offsets("gt_offsets", gt_offsets, num_objects)
    return CostStatistics(*(x.squeeze(0) if one else x for x in statistics))


@torch.library.register_fake("colad::split_candidates")
def _(
    cost: Tensor, matched: Tensor, gt_offsets: Tensor, num_objects: int, level_sizes: Sequence[int], *options: Any
) -> tuple[Tensor, ...]:
    check_same_device(cost=cost, matched=matched, gt_offsets=gt_offsets)
    return matched.new_empty(matched.shape), *split_fakes(cost, num_objects)


def split_fakes(like: Tensor, num_objects: int) -> tuple[Tensor, ...]:
    """Fakes of the results that a split has for each object: num_pos, mean, std, weights, means, variances."""
    return (
        like.new_empty((num_objects,), dtype=torch.int64),
        *(like.new_empty((num_objects,), dtype=torch.float64) for _ in range(2)),
        *(like.new_empty((num_objects, 2), dtype=torch.float64) for _ in range(3)),
    )


@torch.library.register_fake("colad::cost_statistics")
def _(
    costs: Tensor, matched: Tensor, gt_offsets: Tensor, num_objects: int, level_sizes: Sequence[int]
) -> tuple[Tensor, ...]:
    check_same_device(costs=costs, matched=matched, gt_offsets=gt_offsets)
    shape = (costs.shape[0], num_objects, len(level_sizes))
    return (
        costs.new_empty(shape, dtype=torch.int64),
        costs.new_empty(shape, dtype=torch.float64),
        costs.new_empty(shape, dtype=torch.float64),
    )


def split_candidates_reference(
    cost: Tensor,
    matched: Tensor,
    level_sizes: Sequence[int],
    gt_boxes: Tensor,
    gt_labels: Tensor,
    gt_offsets: Tensor,
    config: AssignConfig = AssignConfig(),
) -> Assignment:
    """The reference of :func:`split_candidates` in plain PyTorch: object by object."""
    objects = gt_boxes.shape[0]
    positives = torch.where(matched == -2, -2, -1)
    num_pos = torch.zeros(objects, dtype=torch.int64, device=cost.device)
    undefined = torch.full((objects, 2), torch.nan, dtype=torch.float64, device=cost.device)
    mean, std = (undefined[:, 0].clone() for _ in range(2))
    weights, means, variances = (undefined.clone() for _ in range(3))
    offsets = gt_offsets.tolist()
    for b in range(len(offsets) - 1):
        for row in range(offsets[b], offsets[b + 1]):
            candidates = ((matched[b] == row) & cost[b].isfinite()).nonzero()[:, 0]
            costs = cost[b, candidates].double()
            if len(costs) > 0:
                mean[row] = costs.mean()
            if len(costs) > 1:
                std[row] = costs.std()
            chosen = cheapest_of_levels(candidates, cost[b, candidates], level_sizes, config.topk)
            segment = torch.tensor([0, len(chosen)])
            fit = gmm_em_reference(cost[b, chosen], segment, **config.mixture_options())
            weights[row], means[row], variances[row] = fit.weights[0], fit.means[0], fit.variances[0]
            positive, ignored = _split(fit.labels == 0, fit.log_likelihood, config)
            positives[b, chosen[positive]] = row
            positives[b, chosen[ignored]] = -2
            num_pos[row] = positive.sum()
    return Assignment(positives, cost, num_pos, mean, std, weights, means, variances, gt_boxes, gt_labels)


def cost_statistics_reference(
    cost: Tensor, matched: Tensor, gt_offsets: Tensor, num_objects: int, level_sizes: Sequence[int]
) -> CostStatistics:
    """The reference of :func:`cost_statistics` in plain PyTorch: object by object."""
    if cost.dim() == 3:
        networks = [cost_statistics_reference(c, matched, gt_offsets, num_objects, level_sizes) for c in cost]
        return CostStatistics(*(torch.stack(x) for x in zip(*networks)))
    shape = (num_objects, len(level_sizes))
    count = torch.zeros(shape, dtype=torch.int64, device=cost.device)
    mean, std = (torch.full(shape, torch.nan, dtype=torch.float64, device=cost.device) for _ in range(2))
    offsets = gt_offsets.tolist()
    for b in range(len(offsets) - 1):
        levels = list(zip(cost[b].split(list(level_sizes)), matched[b].split(list(level_sizes))))
        for row in range(offsets[b], offsets[b + 1]):
            for level, (costs, rows) in enumerate(levels):
                values = costs[(rows == row) & costs.isfinite()].double()
                count[row, level] = len(values)
                if len(values) > 0:
                    mean[row, level] = values.mean()
                if len(values) > 1:
                    std[row, level] = values.std()
    return CostStatistics(count, mean, std)


def cheapest_of_levels(candidates: Tensor, costs: Tensor, level_sizes: Sequence[int], topk: int) -> Tensor:
    """The ``topk`` cheapest of an object's candidates on each level, cheapest first. ``candidates`` are anchor indices,
    ascending."""
    level = torch.bucketize(candidates, torch.tensor(level_sizes, device=candidates.device).cumsum(0), right=True)
    kept = torch.zeros_like(candidates, dtype=torch.bool)
    by_cost = torch.sort(costs, stable=True).indices
    for index in range(len(level_sizes)):
        kept[by_cost[level[by_cost] == index][:topk]] = True
    return candidates[by_cost[kept[by_cost]]]


def _split(component0: Tensor, log_likelihood: Tensor, config: AssignConfig) -> tuple[Tensor, Tensor]:
    """Which of an object's samples, sorted by cost, are positive, and which are ignored: bool ``(n,)`` each."""
    none = torch.zeros_like(component0)
    if len(component0) < 2:
        return ~none if config.single_candidate == "keep" else none, none
    if not component0.any():
        return ~none if config.no_component0 == "all" else none, none
    position = torch.arange(len(component0), device=component0.device)
    if config.split == "posterior":
        return component0 | (config.prefix & (position == 0)), none
    likelihood = torch.where(component0, log_likelihood, -torch.inf).nan_to_num(nan=-torch.inf)  # NaN: no density
    cut = (component0 & (likelihood == likelihood.max())).nonzero()[0, 0]
    up_to_cut = position <= cut
    positive = up_to_cut if config.prefix else up_to_cut & component0
    return positive, component0 & ~up_to_cut if config.split == "band" else none
