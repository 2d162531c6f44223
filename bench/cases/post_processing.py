"""Suppression of candidates around objects and anywhere, and score voting."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

import colad_ops
from bench.measure.case import Case
from bench.measure.machine import Machine
from bench.peers.names import EAGER, TORCHVISION, VECTORISED
from bench.peers.packages import package_peer, torch_peer
from bench.peers.post_processing import eager_nms, eager_voting, vectorised_voting
from bench.report.goals import GOALS
from bench.workload.batch import SMALL
from bench.workload.detections import Candidates, anywhere, around_objects

COUNTS, FEW = (200, 1_000, 5_000, 20_000), (60,)
CLASSES = 80
IOU_THRESHOLD = 0.6
MOST_OF_EAGER = 1_000  # boxes; with more, a call takes seconds
KEPT, VOTERS = 100, 3_000
VOTING = {"sigma": 0.025, "iou_threshold": 0.01, "score_threshold": 0.05}
BOX, VALUE, LABEL = 16, 4, 8  # bytes


def same_rows(ours: Tensor, peers: Tensor) -> None:
    """Peers that move the classes apart round the coordinates, so a few decisions may differ."""
    different = set(ours.tolist()) ^ set(peers.tolist())
    assert len(different) <= 2 + len(ours) // 500, f"{len(different)} of {len(ours)} rows differ"


def close(ours: colad_ops.VotedBoxes, peers: Tensor) -> None:
    torch.testing.assert_close(ours.boxes, peers, rtol=1e-4, atol=1e-2)


def suppression(machine: Machine, where: str, c: Candidates, classes: int) -> Case:
    boxes, scores, labels = (x.to(machine.device) for x in (c.boxes, c.scores, c.labels))
    name = "nms" if classes == 1 else "batched_nms"
    arguments = (boxes, scores) if classes == 1 else (boxes, scores, labels)
    peers = [
        package_peer(TORCHVISION, "torchvision", lambda m: partial(getattr(m.ops, name), *arguments, IOU_THRESHOLD))
    ]
    if len(boxes) <= MOST_OF_EAGER:
        peers.append(torch_peer(EAGER, partial(eager_nms, boxes, scores, labels, IOU_THRESHOLD)))
    return Case(
        "batched_nms", f"{len(boxes):,} boxes {where}, {classes} class{'es' * (classes > 1)}",
        partial(colad_ops.batched_nms, boxes, scores, labels, IOU_THRESHOLD), peers, same_rows,
        machine.lower_bound(len(boxes) * (BOX + VALUE + LABEL)), GOALS["suppression"],
    )  # fmt: skip


def voting(machine: Machine, what: str, kept: int, voters: int, share: float) -> Case:
    """``share`` of the scores are above the threshold."""
    c = around_objects(voters, CLASSES)
    g = torch.Generator().manual_seed(1)
    least = VOTING["score_threshold"]
    chance = torch.rand(voters, CLASSES, generator=g)
    scores = torch.where(chance < share, least + (1 - least) * chance / share, least * chance)
    rows = torch.arange(kept)
    scores[rows, c.labels[:kept]] = c.scores[:kept] = 1 - rows / (
        2 * kept
    )  # by descending score; each votes for itself
    boxes, labels, everyone, scores = (x.to(machine.device) for x in (c.boxes[:kept], c.labels[:kept], c.boxes, scores))
    options = (VOTING["sigma"], VOTING["iou_threshold"], least)
    return Case(
        "score_voting", f"{kept} of {voters:,} boxes, {CLASSES} classes, {what}",
        partial(colad_ops.score_voting, boxes, c.scores[:kept].to(boxes), labels, everyone, scores, **VOTING),
        [
            torch_peer(EAGER, partial(eager_voting, boxes, labels, everyone, scores, *options)),
            torch_peer(VECTORISED, partial(vectorised_voting, boxes, labels, everyone, scores, *options)),
        ],
        close, machine.lower_bound(voters * (BOX + CLASSES * VALUE)), GOALS["votes"],
    )  # fmt: skip


def cases(sizes: dict[str, int], machine: Machine) -> list[Case]:
    small = sizes == SMALL
    found = [
        suppression(machine, where, make(count, classes), classes)
        for count in (FEW if small else COUNTS)
        for where, make in (("around objects", around_objects), ("anywhere", anywhere))
        for classes in (1, CLASSES)
    ]
    kept, voters = (10, 60) if small else (KEPT, VOTERS)
    found.append(voting(machine, "3 % of the scores vote", kept, voters, 0.03))
    found.append(voting(machine, "all scores vote", kept, voters, 1.0))
    return found
