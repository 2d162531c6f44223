"""Calls with next to nothing to compute: what the host does around the kernels. For ``python -m bench.run calls``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

import colad_ops
from bench.workload.batch import SMALL, make_workload

CLASSES = 80


@dataclass(frozen=True)
class SmallCall:
    op: str
    what: str
    run: Callable[[], Any]
    add: Callable[[], Tensor]
    """``torch.add`` on tensors of the call: what torch takes for the smallest operator there is."""
    goal: float | None = None
    """At most this many times the time of ``add``."""


def small_calls() -> list[SmallCall]:
    one, other = torch.rand(1, 4), torch.rand(1, 4)
    anchors, gt_boxes, _, gt_offsets = empty = _empty_objects()
    student, teacher = torch.randn(2, 4), torch.randn(2, 4)
    w = make_workload(**SMALL)
    return [
        _assignment("no image, no anchor, no object", empty, 1, goal=18),
        _assignment("the same in five levels", empty, 5, goal=18),
        _assignment("the same with 8 options changed", empty, 5, config=colad_ops.AssignConfig.mmdet()),
        SmallCall(
            "paa_assign", f"{w.images} images, {len(w.anchors)} anchors, {len(w.gt_boxes)} objects",
            partial(colad_ops.paa_assign, *w.assign_arguments()), partial(torch.add, w.gt_boxes, w.gt_boxes),
        ),
        SmallCall(
            "match_anchors", "no image, no anchor, no object",
            partial(colad_ops.match_anchors, anchors, gt_boxes, gt_offsets), partial(torch.add, gt_boxes, gt_boxes),
        ),
        SmallCall("box_iou", "1 x 1", partial(colad_ops.box_iou, one, other), partial(torch.add, one, other), goal=6),
        SmallCall(
            "focal_kl_loss", "2 x 4 logits, forward", partial(colad_ops.focal_kl_loss, student, teacher),
            partial(torch.add, student, teacher),
        ),
    ]  # fmt: skip


def _empty_objects() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Anchors, and the objects of no image: boxes, labels, offsets."""
    return torch.zeros(0, 4), torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)


def _assignment(
    what: str,
    empty: tuple[Tensor, ...],
    levels: int,
    config: colad_ops.AssignConfig = colad_ops.AssignConfig(),
    goal: float | None = None,
) -> SmallCall:
    anchors, *objects = empty
    logits, boxes = ([torch.zeros(0, 0, n) for _ in range(levels)] for n in (CLASSES, 4))
    run = partial(colad_ops.paa_assign, logits, boxes, anchors, [0] * levels, *objects, config)
    return SmallCall("paa_assign", what, run, partial(torch.add, objects[0], objects[0]), goal)
