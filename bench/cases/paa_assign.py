"""The whole assignment of a batch and of one crowded image."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

import colad_ops
from bench.measure.case import Case, Peer
from bench.measure.lower_bounds import lower_bound_of_assignment
from bench.measure.machine import Machine
from bench.peers import eager_paa, vectorised_paa
from bench.peers.names import COMPILED, EAGER, SKLEARN, VECTORISED
from bench.peers.packages import package_peer, torch_peer
from bench.report.goals import GOALS
from bench.workload.batch import SMALL, Workload, workload

CROWDS, FEW = (100, 500), (10, 20)  # objects in one image; few where nothing is measured


def equal(ours: colad_ops.Assignment, peers: Tensor) -> None:
    different = int((ours.matched != peers).sum())
    assert different == 0, f"{different} of {peers.numel()} anchors learn another object"


def assign_peers(w: Workload) -> list[Peer]:
    pieces = vectorised_paa.compiled_pieces()
    eager = package_peer(EAGER, "sklearn", lambda m: lambda: eager_paa.assign(w))
    return [
        replace(eager, version=f"{torch.__version__} with {SKLEARN} {eager.version}"),
        torch_peer(VECTORISED, lambda: vectorised_paa.assign(w)),
        torch_peer(COMPILED, lambda: vectorised_paa.assign(w, pieces)),
    ]


def cases(sizes: dict[str, int], machine: Machine) -> list[Case]:
    found = []
    crowded = [
        ({**sizes, "images": 1, "objects": n}, f"one image, {n} objects") for n in (FEW if sizes == SMALL else CROWDS)
    ]
    for own, what in [(sizes, f"{sizes['images']} images, {sizes['objects']} objects"), *crowded]:
        w = workload(**own).to(machine.device)
        goals = (
            GOALS["whole assignment"] if own == sizes else GOALS.get(f"whole assignment, {own['objects']} objects", ())
        )
        found.append(
            Case(
                "paa_assign", what, lambda w=w: colad_ops.paa_assign(*w.assign_arguments()), assign_peers(w), equal,
                lower_bound_of_assignment(w, machine), goals, two_threads=own == sizes,
            )
        )  # fmt: skip
    return found
