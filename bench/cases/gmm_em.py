"""Two-component mixtures by EM, one an object: ``python bench/bench_gmm_em.py``."""

from __future__ import annotations

import sys
from functools import partial

import em_peers
import torch
from case import Case, Peer
from floors import mixture_flops
from goals import GOALS
from machine import Machine
from peers import COMPILED, NUMBA, SKLEARN, VECTORISED, compiled, package_peer, torch_peer
from torch import Tensor
from workload import SMALL, cheapest_candidates, repeated, workload

import colad_ops

MANY, FEW = 1000, 20  # mixtures; few where nothing is measured
VALUE, RESULTS = 4, 3 * 8  # bytes of a value; of its responsibility, label and likelihood


def equal_labels(ours: colad_ops.GaussianMixture2, peers: Tensor) -> None:
    different = int((ours.labels != torch.as_tensor(peers)).sum())
    assert different == 0, f"{different} of {len(ours.labels)} labels differ"


def em_peers_of(values: Tensor, offsets: Tensor) -> list[Peer]:
    x, mask = em_peers.padded(values, offsets)
    array, bounds = values.double().numpy(), offsets.numpy()
    step = compiled(em_peers.em_step)
    return [
        package_peer(SKLEARN, "sklearn", lambda m: lambda: em_peers.sklearn_labels(values, offsets)),
        torch_peer(VECTORISED, lambda: em_peers.batch_labels(x, mask)),
        torch_peer(COMPILED, lambda: em_peers.batch_labels(x, mask, step)),
        package_peer(
            NUMBA, "numba", lambda m: partial(em_peers.numba_labels(m), array, bounds), comparable=torch.from_numpy
        ),
    ]


def cases(sizes: dict[str, int], machine: Machine) -> list[Case]:
    w = workload(**sizes)
    values, offsets = cheapest_candidates(w)
    found = []
    many = FEW if sizes == SMALL else MANY
    for segments, goals in ((len(offsets) - 1, "mixtures of a batch"), (many, "1,000 mixtures")):
        v, o = repeated(values, offsets, segments)
        floor = machine.floor(len(v) * (VALUE + RESULTS), double_flops=mixture_flops(v, o))
        ours = lambda v=v, o=o: colad_ops.gmm_em(v, o)  # noqa: E731
        found.append(
            Case("gmm_em", f"{segments:,} objects", ours, em_peers_of(v, o), equal_labels, floor, GOALS[goals])
        )
    return found


if __name__ == "__main__":
    from run import main

    raise SystemExit(main(["gmm_em", *sys.argv[1:]]))
