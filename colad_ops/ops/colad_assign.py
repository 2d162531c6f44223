"""Co-learning (CoLAD): the network whose costs separate best assigns for all networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from colad_ops import debug
from colad_ops.assignment import Assignment
from colad_ops.config import AssignConfig
from colad_ops.devices import check_same_device
from colad_ops.ops.assign_cost import Levels, as_levels, assign_cost_reference
from colad_ops.ops.match_anchors import check_offsets_of_boxes, match_anchors_reference
from colad_ops.ops.split_candidates import cost_statistics_reference, split_candidates_reference, split_fakes

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

    def masked(self, valid: Tensor) -> Assignment:
        return self.assignment.masked(valid)

    def labels(self, num_classes: int) -> Tensor:
        return self.assignment.labels(num_classes)

    def boxes(self) -> Tensor:
        return self.assignment.boxes()

    def iou(self, boxes: Tensor, *, mode: str = "iou") -> Tensor:
        return self.assignment.iou(boxes, mode=mode)


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
    are_probs = _check(predictions, indicator, granularity, probs)
    logits, boxes = ([[x.detach() for x in as_levels(p[i])] for p in predictions] for i in (0, 1))
    matched, costs, choice, totals, counters, keys = torch.ops.colad.colad_indicators(
        logits=sum(logits, []),
        boxes=sum(boxes, []),
        anchors=anchors.detach(),
        gt_boxes=gt_boxes.detach(),
        gt_labels=gt_labels,
        gt_offsets=gt_offsets,
        level_sizes=level_sizes,
        logit_levels=[len(x) for x in logits],
        box_levels=[len(x) for x in boxes],
        probs=are_probs,
        valid=valid,
        ignore_boxes=None if ignore_boxes is None else ignore_boxes.detach(),
        ignore_offsets=ignore_offsets,
        indicator=indicator,
        granularity=granularity,
        **config.matching_options(),
        **config.cost_options(),
        **config.split_options(),
    )
    if debug.checks_data(anchors):
        check_offsets_of_boxes(gt_boxes, gt_offsets, ignore_boxes, ignore_offsets)
        debug.check_range("gt_labels", gt_labels, 0, logits[0][0].shape[-1] - 1)
    if granularity == "iteration" and dist.is_available() and dist.is_initialized():
        dist.all_reduce(totals)
    *results, teacher, indicators = torch.ops.colad.colad_split(
        costs=costs,
        matched=matched,
        gt_offsets=gt_offsets,
        choice=choice,
        totals=totals,
        counters=counters,
        keys=keys,
        level_sizes=level_sizes,
        granularity=granularity,
        **config.split_options(),
    )
    if granularity != "object_level":
        teacher = teacher.squeeze(1)
    return CoAssignment(Assignment._make((*results, gt_boxes, gt_labels)), teacher, indicators)


def _check(
    predictions: Sequence[tuple[Levels, Levels]], indicator: str, granularity: str, probs: bool | Sequence[bool]
) -> list[bool]:
    """Checks what the operator does not see, and returns for each network whether it gives probabilities."""
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
    return are_probs


@torch.library.register_fake("colad::colad_indicators")
def _(
    logits: list[Tensor],
    boxes: list[Tensor],
    anchors: Tensor,
    gt_boxes: Tensor,
    gt_labels: Tensor,
    gt_offsets: Tensor,
    level_sizes: Sequence[int],
    logit_levels: Sequence[int],
    box_levels: Sequence[int],
    probs: Sequence[int],
    valid: Tensor | None = None,
    ignore_boxes: Tensor | None = None,
    ignore_offsets: Tensor | None = None,
    indicator: str = "std_mean",
    granularity: str = "iteration",
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
    networks, images, count, objects = len(probs), gt_offsets.shape[0] - 1, anchors.shape[0], gt_boxes.shape[0]
    columns = len(level_sizes) if granularity == "object_level" else 1
    buckets = anchors.device.type != "cpu"
    return (
        anchors.new_empty((images, count), dtype=torch.int64),
        anchors.new_empty((networks, images, count), dtype=torch.float32),
        anchors.new_empty((objects, columns), dtype=torch.int64),
        anchors.new_empty((2, networks), dtype=torch.float64),
        anchors.new_empty((4 + 5 * objects if buckets else 0,), dtype=torch.int32),
        anchors.new_empty((networks, images * count if buckets else 0), dtype=torch.int64),
    )


@torch.library.register_fake("colad::colad_split")
def _(
    costs: Tensor,
    matched: Tensor,
    gt_offsets: Tensor,
    choice: Tensor,
    totals: Tensor,
    counters: Tensor,
    keys: Tensor,
    level_sizes: Sequence[int],
    *options: Any,
) -> tuple[Tensor, ...]:
    check_same_device(
        costs=costs,
        matched=matched,
        gt_offsets=gt_offsets,
        choice=choice,
        totals=totals,
        counters=counters,
        keys=keys,
    )
    return (
        matched.new_empty(matched.shape),
        costs.new_empty(matched.shape),
        *split_fakes(costs, choice.shape[0]),
        choice.new_empty(choice.shape),
        totals.new_empty(totals.shape[1:]),
    )


def colad_assign_reference(
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
    """The reference of :func:`colad_assign` in plain PyTorch, of one rank: the references of its steps."""
    are_probs = _check(predictions, indicator, granularity, probs)
    matched = match_anchors_reference(
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
            assign_cost_reference(logits, boxes, gt_boxes, gt_labels, matched, probs=p, **config.cost_options())
            for (logits, boxes), p in zip(predictions, are_probs)
        ]
    )  # (K, B, A)

    def split(cost: Tensor) -> Assignment:
        return split_candidates_reference(cost, matched, level_sizes, gt_boxes, gt_labels, gt_offsets, config)

    of_levels = granularity == "object_level"
    sizes = list(level_sizes) if of_levels else [matched.shape[1]]
    count, mean, std = cost_statistics_reference(costs, matched, gt_offsets, gt_boxes.shape[0], sizes)  # (K, G, L)
    if indicator == "fisher":
        values = torch.stack([split(c).fisher for c in costs]).unsqueeze(2)
    else:
        values = torch.where(mean == 0, torch.nan, std / mean)
    indicators = _mean_where_defined(values.flatten(1))
    if of_levels:
        teacher = _teacher_of_levels(count, mean, values)  # (G, L)
    elif granularity == "object":
        teacher = _first_of_highest(values)
    elif granularity == "iteration":
        teacher = _first_of_highest(indicators).expand(values.shape[1], 1)
    else:
        bounds = gt_offsets.tolist()
        of_image = [_mean_where_defined(values[:, b:e, 0]) for b, e in zip(bounds[:-1], bounds[1:])]
        teacher = torch.cat([_first_of_highest(m).expand(e - b, 1) for m, b, e in zip(of_image, bounds, bounds[1:])])
    level = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))  # (A,)
    chosen = teacher.clamp(min=0)[matched.clamp(min=0), level] if len(teacher) else matched.clamp(min=0)
    cost = torch.where(matched >= 0, costs.gather(0, chosen.unsqueeze(0)).squeeze(0), torch.inf)
    return CoAssignment(split(cost), teacher if of_levels else teacher.squeeze(1), indicators)


def _mean_where_defined(values: Tensor) -> Tensor:
    """Mean over the last dimension of the values that are not NaN; NaN if all are NaN."""
    return values.nansum(-1) / (~values.isnan()).sum(-1)


def _first_of_highest(values: Tensor) -> Tensor:
    """Index along dimension 0 of the highest value, the first of equal ones. An undefined (NaN) value is -inf here."""
    values = values.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    return (values == values.amax(0)).int().argmax(0)


def _teacher_of_levels(count: Tensor, mean: Tensor, values: Tensor) -> Tensor:
    """From statistics ``(K, G, L)``: the network that assigns each object and level ``(G, L)``, -1 without
    candidates."""
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
    teacher = torch.where(most > 1, last_of_highest, _first_of_highest(-mean))
    return torch.where(most > 0, teacher, -1)
