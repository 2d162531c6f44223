"""Co-learning (CoLAD): the network whose costs separate best assigns for all networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from colad_ops.assignment import Assignment
from colad_ops.config import AssignConfig
from colad_ops.devices import check_same_device
from colad_ops.ops.assign_cost import Levels, as_levels, assign_cost
from colad_ops.ops.match_anchors import match_anchors
from colad_ops.ops.split_candidates import CostStatistics, cost_statistics, split_candidates

INDICATORS = ("std_mean", "fisher")
GRANULARITIES = ("iteration", "image", "object", "object_level")


class CoAssignment(NamedTuple):
    """Result of :func:`colad_assign`. It has the fields and methods of :class:`Assignment` that a head uses."""

    assignment: Assignment
    """The assignment that every network learns. Its ``cost`` comes from the chosen networks."""
    teacher: Tensor
    """``(G,)`` int64: the network that assigned each object; ``(G, L)`` with granularity ``"object_level"``, ``-1`` for
    a level without candidates."""
    indicators: Tensor
    """``(K,)`` float64: each network's indicator, as the mean over the objects (or pairs of object and level) for which
    it is defined; NaN if it is defined for none. With granularity ``"iteration"`` the mean is over all ranks, and it is
    the value by which the networks were compared."""

    @property
    def matched(self) -> Tensor:
        return self.assignment.matched

    @property
    def cost(self) -> Tensor:
        return self.assignment.cost

    @property
    def num_pos(self) -> Tensor:
        return self.assignment.num_pos

    @property
    def num_pos_total(self) -> Tensor:
        return self.assignment.num_pos_total

    def labels(self, num_classes: int) -> Tensor:
        return self.assignment.labels(num_classes)

    def boxes(self) -> Tensor:
        return self.assignment.boxes()


def colad_assign(
    predictions: Sequence[tuple[Levels, Levels]],
    anchors: Tensor,
    level_sizes: Sequence[int],
    gt_boxes: Tensor,
    gt_labels: Tensor,
    gt_offsets: Tensor,
    config: AssignConfig = AssignConfig(),
    *,
    indicator: str = "std_mean",
    granularity: str = "iteration",
    valid: Tensor | None = None,
    ignore_boxes: Tensor | None = None,
    ignore_offsets: Tensor | None = None,
    probs: bool | Sequence[bool] = False,
) -> CoAssignment:
    """The assignment by the network with the highest indicator (LAD paper, section 3.3), without a host sync.

    Args:
        predictions: K >= 2 pairs ``(logits, boxes)``, each as in :func:`colad_ops.paa_assign`.
        indicator: ``"std_mean"``: ``sigma / mu`` of the costs of an object's candidates (all of them, before top-k;
            unbiased sigma). ``"fisher"``: ``(mu+ - mu-)^2 / (sigma+^2 + sigma-^2)`` of the object's fitted mixture.
        granularity: the unit for which one network is chosen.

            - ``"iteration"`` (the paper): the batch. Means over its objects are compared. If ``torch.distributed`` is
              initialised, the means are over all ranks (one small all-reduce; every rank has to call).
            - ``"image"``: each image. Means over its objects are compared.
            - ``"object"``: each object.
            - ``"object_level"`` (the official code; ``"std_mean"`` only): each object and level, by the object's
              candidates on this level. With several candidates the highest ``sigma / mu`` wins, ties to the last
              network. With one candidate the lowest mean wins, ties to the first network. With
              ``predictions = (student, teacher)`` this is the official rule. The levels of one object may come from
              several networks.

            An indicator is undefined if there is no sigma or if the mean is 0. With ``"object_level"`` an undefined
            indicator neither wins nor loses a comparison, so the earlier network stays. With the other granularities,
            ties go to the first network, and a network with an undefined indicator is chosen only if all are undefined
            (then the first).
        probs: whether ``logits`` are probabilities: one bool for all networks, or one for each.

    Other arguments and errors are those of :func:`colad_ops.paa_assign`.

    Returns:
        :class:`CoAssignment`.
    """
    networks = len(predictions)
    if networks < 2:
        raise RuntimeError(f"predictions should hold two or more networks, got {networks}")
    for k, pair in enumerate(predictions):
        if isinstance(pair, Tensor) or len(pair) != 2:
            got = "a tensor" if isinstance(pair, Tensor) else f"{len(pair)} items"
            raise RuntimeError(f"predictions[{k}] should be a pair (logits, boxes), got {got}")
    if indicator not in INDICATORS:
        raise RuntimeError(f"indicator should be std_mean or fisher, got {indicator}")
    if granularity not in GRANULARITIES:
        raise RuntimeError(f"granularity should be iteration, image, object or object_level, got {granularity}")
    if granularity == "object_level" and indicator != "std_mean":
        raise RuntimeError(f"granularity object_level should go with indicator std_mean, got {indicator}")
    are_probs = list(probs) if isinstance(probs, Sequence) else [probs] * networks
    if len(are_probs) != networks or not all(isinstance(p, bool) for p in are_probs):
        raise RuntimeError(f"probs should be one bool or one a network ({networks}), got {probs}")

    # Matching runs before the operator that gets the predictions.
    check_same_device(
        anchors=anchors,
        gt_labels=gt_labels,
        logits=[x for logits, _ in predictions for x in as_levels(logits)],
        boxes=[x for _, boxes in predictions for x in as_levels(boxes)],
    )
    matched = match_anchors(
        anchors,
        gt_boxes,
        gt_offsets,
        valid=valid,
        ignore_boxes=ignore_boxes,
        ignore_offsets=ignore_offsets,
        **config.matching_options(),
    ).matched
    costs = torch.stack(
        [
            assign_cost(logits, boxes, gt_boxes, gt_labels, matched, probs=p, **config.cost_options())
            for (logits, boxes), p in zip(predictions, are_probs)
        ]
    )  # (K, B, A)
    objects = gt_boxes.shape[0]

    def split(cost: Tensor) -> Assignment:
        return split_candidates(cost, matched, level_sizes, gt_boxes, gt_labels, gt_offsets, config)

    if granularity == "object_level":
        statistics = cost_statistics(costs, matched, gt_offsets, objects, level_sizes)  # (K, G, L)
        teacher, values = _teacher_of_levels(statistics)
        means = _mean_where_defined(values.flatten(1))
        cost = torch.ops.colad.select_costs(
            costs=costs, matched=matched, teacher=teacher, level_sizes=level_sizes
        )  # (B, A)
    else:
        all_levels = [matched.shape[1]]
        if indicator == "fisher":
            values = torch.stack([split(c).fisher for c in costs])  # (K, G)
        else:
            values = _std_over_mean(cost_statistics(costs, matched, gt_offsets, objects, all_levels)).squeeze(-1)
        teacher, means = _teacher_of_objects(values, gt_offsets, granularity)
        cost = torch.ops.colad.select_costs(
            costs=costs, matched=matched, teacher=teacher.unsqueeze(1), level_sizes=all_levels
        )
    return CoAssignment(split(cost), teacher, means)


@torch.library.register_fake("colad::indicator_means")
def _(values: Tensor, gt_offsets: Tensor) -> Tensor:
    check_same_device(values=values, gt_offsets=gt_offsets)
    return values.new_empty((values.shape[0], gt_offsets.shape[0] - 1))


@torch.library.register_fake("colad::select_costs")
def _(costs: Tensor, matched: Tensor, teacher: Tensor, level_sizes: Sequence[int]) -> Tensor:
    check_same_device(costs=costs, matched=matched, teacher=teacher)
    return costs.new_empty(costs.shape[1:])


def _std_over_mean(statistics: CostStatistics) -> Tensor:
    """sigma / mu; NaN where it is undefined, which means no sigma or mean 0."""
    return torch.where(statistics.mean == 0, torch.nan, statistics.std / statistics.mean)


def _mean_where_defined(values: Tensor) -> Tensor:
    """Mean over the last dimension of the values that are not NaN; NaN if all are NaN."""
    return values.nansum(-1) / (~values.isnan()).sum(-1)


def _first_of_highest(values: Tensor) -> Tensor:
    """Index along dimension 0 of the highest value, the first of equal ones. An undefined (NaN) value is -inf here."""
    values = values.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    return (values == values.amax(0)).int().argmax(0)


def _teacher_of_objects(values: Tensor, gt_offsets: Tensor, granularity: str) -> tuple[Tensor, Tensor]:
    """From indicators ``(K, G)``: the network that assigns each object ``(G,)``, and the networks' means ``(K,)``."""
    defined = ~values.isnan()
    total, count = values.nansum(1), defined.sum(1).to(values.dtype)  # (K,)
    if granularity == "iteration":
        if dist.is_available() and dist.is_initialized():
            both = torch.stack([total, count])
            dist.all_reduce(both)
            total, count = both
        means = total / count
        return _first_of_highest(means).expand(values.shape[1]), means
    means = total / count
    if granularity == "object":
        return _first_of_highest(values), means
    rows = torch.arange(values.shape[1], device=values.device)
    image = torch.searchsorted(gt_offsets.contiguous(), rows, right=True) - 1  # (G,)
    of_image = torch.ops.colad.indicator_means(
        values=values, gt_offsets=gt_offsets
    )  # (K, B), each in row order: equal networks tie
    return _first_of_highest(of_image)[image], means


def _teacher_of_levels(statistics: CostStatistics) -> tuple[Tensor, Tensor]:
    """From statistics ``(K, G, L)``: the network that assigns each object and level ``(G, L)``, -1 without candidates,
    and the indicators ``(K, G, L)``."""
    values, count = _std_over_mean(statistics), statistics.num_candidates
    # Several samples: the highest indicator wins; of equal ones, the last network (the official code prefers the
    # teacher, which comes second). Networks are compared one after the other, as in the official code. If one of two
    # indicators is undefined, the earlier network stays, unless it has fewer than two samples and the later one has
    # more (costs may be NaN). One sample: the lowest mean wins; of equal ones, the first network.
    highest, samples = values[0], count[0]
    last_of_highest = torch.zeros_like(samples)
    for k in range(1, values.shape[0]):
        wins = (values[k] >= highest) | ((samples < 2) & (count[k] > 1))
        highest, samples = torch.where(wins, values[k], highest), torch.where(wins, count[k], samples)
        last_of_highest = torch.where(wins, k, last_of_highest)
    most = count.amax(0)
    teacher = torch.where(most > 1, last_of_highest, _first_of_highest(-statistics.mean))
    return torch.where(most > 0, teacher, -1), values
