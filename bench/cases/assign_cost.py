"""Cost of every candidate of a batch, from NCHW maps: ``python bench/bench_assign_cost.py``."""

from __future__ import annotations

import sys

import batched_paa
import eager_paa
import torch
from case import Case
from floors import cost_floor
from goals import GOALS
from machine import Machine
from peers import COMPILED, EAGER, VECTORISED, torch_peer
from torch import Tensor
from workload import matched_and_cost, workload

import colad_ops


def close(ours: Tensor, peers: Tensor) -> None:
    torch.testing.assert_close(ours, peers, rtol=1e-4, atol=1e-4)


def cases(sizes: dict[str, int], machine: Machine) -> list[Case]:
    w = workload(**sizes)
    matched, _ = matched_and_cost(w)
    candidates = int((matched >= 0).sum())
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
            cost_floor(w, matched, machine), GOALS["cost"],
        )
    ]  # fmt: skip


if __name__ == "__main__":
    from run import main

    raise SystemExit(main(["assign_cost", *sys.argv[1:]]))
