"""Cost of every candidate of a batch, from NCHW maps: ``python bench/bench_assign_cost.py``."""

from __future__ import annotations

import sys

import batched_paa
import eager_paa
import torch
from case import Case
from goals import GOALS
from machine import EXP, LOG, Machine
from peers import COMPILED, EAGER, VECTORISED, torch_peer
from torch import Tensor
from workload import matched_and_cost, workload

import colad_ops

LINE = 64  # bytes that memory hands out at once: in an NCHW map a candidate's logits lie a plane apart
ROW, COST = 8, 4  # bytes


def close(ours: Tensor, peers: Tensor) -> None:
    torch.testing.assert_close(ours, peers, rtol=1e-4, atol=1e-4)


def lines_read(w, matched: Tensor) -> int:
    """Cache lines of one channel that hold a candidate: neighbours share one."""
    of_line = LINE // w.class_maps[0].element_size()
    count = 0
    for of_level in (matched >= 0).split(w.level_sizes, dim=1):
        image, anchor = of_level.nonzero().T
        count += len(torch.stack([image, anchor // of_line]).unique(dim=1).T)
    return count


def cases(sizes: dict[str, int], machine: Machine) -> list[Case]:
    w = workload(**sizes)
    matched, _ = matched_and_cost(w)
    candidates = int((matched >= 0).sum())
    moved = lines_read(w, matched) * LINE * (w.classes + 4) + matched.numel() * (ROW + COST)
    pieces = batched_paa.compiled_pieces()
    peers = [
        torch_peer(EAGER, lambda: eager_paa.cost(w, matched)),
        torch_peer(VECTORISED, lambda: batched_paa.cost(w, matched)),
        torch_peer(COMPILED, lambda: batched_paa.cost(w, matched, pieces)),
    ]
    return [
        Case(
            "assign_cost", f"{candidates:,} candidates",
            lambda: colad_ops.assign_cost(w.logits(), w.boxes(), w.gt_boxes, w.gt_labels, matched), peers, close,
            machine.floor(moved, candidates * w.classes * (EXP + LOG)), GOALS["cost"],
        )
    ]  # fmt: skip


if __name__ == "__main__":
    from run import main

    raise SystemExit(main(["assign_cost", *sys.argv[1:]]))
