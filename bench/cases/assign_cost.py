"""The cost of every candidate of a batch, from NCHW maps."""

from __future__ import annotations

import torch
from torch import Tensor

import colad_ops
from bench.measure.case import Case
from bench.measure.lower_bounds import lower_bound_of_cost
from bench.measure.machine import Machine
from bench.peers import eager_paa, vectorised_paa
from bench.peers.names import COMPILED, EAGER, VECTORISED
from bench.peers.packages import torch_peer
from bench.report.goals import GOALS
from bench.workload.batch import workload
from bench.workload.candidates import matched_and_cost


def close(ours: Tensor, peers: Tensor) -> None:
    torch.testing.assert_close(ours, peers, rtol=1e-4, atol=1e-4)


def cases(sizes: dict[str, int], machine: Machine) -> list[Case]:
    w = workload(**sizes).to(machine.device)
    matched, _ = matched_and_cost(w)
    candidates = int((matched >= 0).sum())
    pieces = vectorised_paa.compiled_pieces()
    peers = [
        torch_peer(EAGER, lambda: eager_paa.cost(w, matched)),
        torch_peer(VECTORISED, lambda: vectorised_paa.cost(w, matched)),
        torch_peer(COMPILED, lambda: vectorised_paa.cost(w, matched, pieces)),
    ]
    return [
        Case(
            "assign_cost", f"{candidates:,} candidates",
            lambda: colad_ops.assign_cost(w.logits(), w.boxes(), w.gt_boxes, w.gt_labels, matched), peers, close,
            lower_bound_of_cost(w, matched, machine), GOALS["cost"],
        )
    ]  # fmt: skip
