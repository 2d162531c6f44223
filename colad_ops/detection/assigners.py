"""From predictions and targets to labels: the assignment operators as the methods call them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from .. import AssignConfig, Assignment, CoAssignment, colad_assign, paa_assign
from .predictions import Predictions
from .targets import Targets

Indicator = Literal["std_mean", "fisher"]
Granularity = Literal["iteration", "image", "object", "object_level"]


@torch.no_grad()
def assign_labels(predictions: Predictions, targets: Targets, valid: Tensor, config: AssignConfig) -> Assignment:
    """Probabilistic anchor assignment on the predictions of one network (PAA, LAD).

    Args:
        predictions: logits and boxes that give each anchor its cost; taken without gradient.
        targets: the objects.
        valid: (B, A) bool, anchors that may take part.
        config: options of the assignment.
    """
    predictions = predictions.detach()
    return paa_assign(
        predictions.logits,
        predictions.boxes,
        predictions.anchors.boxes,
        predictions.anchors.level_sizes,
        targets.boxes,
        targets.labels,
        targets.offsets,
        config,
        valid=valid,
        ignore_boxes=targets.ignore_boxes,
        ignore_offsets=targets.ignore_offsets,
    )


@torch.no_grad()
def co_assign_labels(
    predictions: Sequence[Predictions],
    targets: Targets,
    valid: Tensor,
    config: AssignConfig,
    *,
    indicator: Indicator = "std_mean",
    granularity: Granularity = "iteration",
) -> CoAssignment:
    """The assignment of the best of several networks (CoLAD).

    Args:
        predictions: of two or more networks on the same images and anchors; taken without gradient.
        targets, valid, config: as for ``assign_labels``.
        indicator, granularity: see ``colad_ops.colad_assign``.
    """
    anchors = predictions[0].anchors
    return colad_assign(
        [(one.logits, one.boxes) for one in (each.detach() for each in predictions)],
        anchors.boxes,
        anchors.level_sizes,
        targets.boxes,
        targets.labels,
        targets.offsets,
        config,
        indicator=indicator,
        granularity=granularity,
        valid=valid,
        ignore_boxes=targets.ignore_boxes,
        ignore_offsets=targets.ignore_offsets,
    )
