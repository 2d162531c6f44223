"""The whole assignment of a batch and of one crowded image: ``python bench/bench_assign.py``."""

from __future__ import annotations

import sys

import batched_paa
import eager_paa
from bench_assign_cost import COST, LINE, ROW, lines_read
from bench_gmm_em import fitted_values
from case import Case
from goals import GOALS
from machine import EXP, EXP_DOUBLE, LOG, LOG_DOUBLE, Floor, Machine
from peers import COMPILED, EAGER, SKLEARN, VECTORISED, Peer, import_peer, torch_peer
from torch import Tensor
from workload import SMALL, Workload, cheapest_candidates, matched_and_cost, workload

import colad_ops

CROWDS, FEW = (100, 500), (10, 20)  # objects in one image; few where nothing is measured


def equal(ours: colad_ops.Assignment, peers: Tensor) -> None:
    different = int((ours.matched != peers).sum())
    assert different == 0, f"{different} of {peers.numel()} anchors learn another object"


def floor_of(w: Workload, machine: Machine) -> Floor:
    """Maps read where there are candidates, results written once, costs and mixtures computed."""
    matched, _ = matched_and_cost(w)
    moved = lines_read(w, matched) * LINE * (w.classes + 4) + matched.numel() * (ROW + COST)
    costs = int((matched >= 0).sum()) * w.classes * (EXP + LOG)
    return machine.floor(moved, costs, fitted_values(*cheapest_candidates(w)) * (EXP_DOUBLE + LOG_DOUBLE))


def assign_peers(w: Workload) -> list[Peer]:
    sklearn, reason = import_peer("sklearn")
    pieces = batched_paa.compiled_pieces()
    return [
        torch_peer(EAGER, lambda: eager_paa.assign(w)) if sklearn else Peer(EAGER, "", None, f"{SKLEARN} {reason}"),
        torch_peer(VECTORISED, lambda: batched_paa.assign(w)),
        torch_peer(COMPILED, lambda: batched_paa.assign(w, pieces)),
    ]


def cases(sizes: dict[str, int], machine: Machine) -> list[Case]:
    found = []
    crowded = [
        ({**sizes, "images": 1, "objects": n}, f"one image, {n} objects") for n in (FEW if sizes == SMALL else CROWDS)
    ]
    for own, what in [(sizes, f"{sizes['images']} images, {sizes['objects']} objects"), *crowded]:
        w = workload(**own)
        goals = (
            GOALS["whole assignment"] if own == sizes else GOALS.get(f"whole assignment, {own['objects']} objects", ())
        )
        found.append(
            Case(
                "paa_assign", what, lambda w=w: colad_ops.paa_assign(*w.assign_arguments()), assign_peers(w), equal,
                floor_of(w, machine), goals, two_threads=own == sizes,
            )
        )  # fmt: skip
    return found


if __name__ == "__main__":
    from run import main

    raise SystemExit(main(["assign", *sys.argv[1:]]))
