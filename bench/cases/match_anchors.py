"""Matching of anchors to objects by largest IoU, for a batch."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

import colad_ops
from bench.measure.case import Case, Goal, Peer
from bench.measure.machine import Machine
from bench.peers import eager_paa, vectorised_paa
from bench.peers.names import COMPILED, EAGER, TORCHVISION, VECTORISED
from bench.peers.packages import package_peer, torch_peer
from bench.report.goals import GOALS
from bench.workload.batch import Workload, workload

BOX, ROW, IOU = 16, 8, 4  # bytes
SCRATCH_AN_ANCHOR, SCRATCH_AN_OBJECT = 16, 64  # bytes that an operator without the matrix may take


def equal(ours: colad_ops.Match, peers: Tensor) -> None:
    different = int((ours.matched != peers).sum())
    assert different == 0, f"{different} of {peers.numel()} anchors have another object"


def with_torchvision(w: Workload, ops) -> list[tuple[Tensor, Tensor]]:
    """Largest IoU and its object, image by image."""
    bounds = w.gt_offsets.tolist()
    return [ops.box_iou(w.gt_boxes[a:b], w.anchors).max(dim=0) for a, b in zip(bounds, bounds[1:])]


def rows_of_best(w: Workload, best: list[tuple[Tensor, Tensor]]) -> Tensor:
    rows = [torch.where(iou >= w.config.iou_threshold, row + a, -1) for (iou, row), a in zip(best, w.gt_offsets)]
    return torch.stack(rows)


def cases(sizes: dict[str, int], machine: Machine) -> list[Case]:
    w = workload(**sizes).to(machine.device)
    a, g = len(w.anchors), len(w.gt_boxes)
    lower_bound = machine.lower_bound((a + g) * BOX + w.images * a * (ROW + IOU))
    matrix_free = Goal("extra", SCRATCH_AN_ANCHOR * a + SCRATCH_AN_OBJECT * g)
    pieces = vectorised_paa.compiled_pieces()

    def case(what: str, low_quality: str, peers: list[Peer], goals: tuple[Goal, ...] = ()) -> Case:
        everything = low_quality == "all"
        peers = [
            torch_peer(EAGER, lambda: eager_paa.match(w, everything)),
            torch_peer(VECTORISED, lambda: vectorised_paa.match(w, low_quality=everything)),
            torch_peer(COMPILED, lambda: vectorised_paa.match(w, pieces, everything)),
            *peers,
        ]
        ours = partial(colad_ops.match_anchors, w.anchors, w.gt_boxes, w.gt_offsets, low_quality=low_quality)
        return Case("match_anchors", what, ours, peers, equal, lower_bound, (*goals, matrix_free))

    torchvision = package_peer(
        TORCHVISION, "torchvision", lambda m: lambda: with_torchvision(w, m.ops), comparable=partial(rows_of_best, w)
    )
    return [
        case(f"largest IoU, {g} objects", "none", [torchvision], GOALS["largest iou of each anchor"]),
        case(f"and each object's best anchors, {g} objects", "all", []),
    ]
