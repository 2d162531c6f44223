"""Two-component mixtures by EM, one an object: ``python bench/bench_gmm_em.py``."""

from __future__ import annotations

import sys

import em_peers
import torch
from case import Case, Peer
from goals import GOALS
from machine import EXP_DOUBLE, LOG_DOUBLE, Machine
from peers import COMPILED, NUMBA, SKLEARN, VECTORISED, compiled, import_peer, package_peer, torch_peer
from torch import Tensor
from workload import SMALL, cheapest_candidates, repeated, workload

import colad_ops

MANY, FEW = 1000, 20  # mixtures; few where nothing is measured
VALUE, RESULTS = 4, 3 * 8  # bytes of a value; of its responsibility, label and likelihood


def equal_labels(ours: colad_ops.GaussianMixture2, peers: Tensor) -> None:
    different = int((ours.labels != torch.as_tensor(peers)).sum())
    assert different == 0, f"{different} of {len(ours.labels)} labels differ"


def fitted_values(values: Tensor, offsets: Tensor) -> int:
    """Values times the E-steps each goes through, the last one included."""
    return int((offsets.diff() * (colad_ops.gmm_em(values, offsets).n_iter + 1)).sum())


def em_peers_of(values: Tensor, offsets: Tensor) -> list[Peer]:
    x, mask = em_peers.padded(values, offsets)
    array, bounds = values.double().numpy(), offsets.numpy()
    step = compiled(em_peers.em_step)
    numba = package_peer(
        NUMBA, "numba", lambda m: lambda fit=em_peers.numba_labels(m): fit(array, bounds), comparable=torch.from_numpy
    )
    sklearn, reason = import_peer("sklearn")
    return [
        Peer(SKLEARN, sklearn.__version__, lambda: em_peers.sklearn_labels(values, offsets))
        if sklearn
        else Peer(SKLEARN, "", None, reason),
        torch_peer(VECTORISED, lambda: em_peers.batch_labels(x, mask)),
        torch_peer(COMPILED, lambda: em_peers.batch_labels(x, mask, step)),
        numba,
    ]


def cases(sizes: dict[str, int], machine: Machine) -> list[Case]:
    w = workload(**sizes)
    values, offsets = cheapest_candidates(w)
    found = []
    many = FEW if sizes == SMALL else MANY
    for segments, goals in ((len(offsets) - 1, "mixtures of a batch"), (many, "1,000 mixtures")):
        v, o = repeated(values, offsets, segments)
        flops = fitted_values(v, o) * (EXP_DOUBLE + LOG_DOUBLE)
        floor = machine.floor(len(v) * (VALUE + RESULTS), double_flops=flops)
        ours = lambda v=v, o=o: colad_ops.gmm_em(v, o)  # noqa: E731
        found.append(
            Case("gmm_em", f"{segments:,} objects", ours, em_peers_of(v, o), equal_labels, floor, GOALS[goals])
        )
    return found


if __name__ == "__main__":
    from run import main

    raise SystemExit(main(["gmm_em", *sys.argv[1:]]))
