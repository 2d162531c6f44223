"""Two-component mixtures by EM, one for each object."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

import colad_ops
from bench.measure.case import Case, Peer
from bench.measure.lower_bounds import mixture_flops
from bench.measure.machine import Machine
from bench.peers import mixtures
from bench.peers.names import COMPILED, NUMBA, SKLEARN, VECTORISED
from bench.peers.packages import compiled, package_peer, torch_peer
from bench.report.goals import GOALS
from bench.workload.batch import SMALL, workload
from bench.workload.candidates import cheapest_candidates, repeated

MANY, FEW = 1000, 20  # mixtures; few where nothing is measured
VALUE, RESULTS = 4, 3 * 8  # bytes of a value; of its responsibility, label and likelihood


def equal_labels(ours: colad_ops.GaussianMixture2, peers: Tensor) -> None:
    different = int((ours.labels != torch.as_tensor(peers, device=ours.labels.device)).sum())
    assert different == 0, f"{different} of {len(ours.labels)} labels differ"


def em_peers_of(values: Tensor, offsets: Tensor) -> list[Peer]:
    x, mask = mixtures.padded(values, offsets)
    array, bounds = values.double().cpu().numpy(), offsets.cpu().numpy()
    step = compiled(mixtures.em_step)
    return [
        package_peer(SKLEARN, "sklearn", lambda m: lambda: mixtures.sklearn_labels(values, offsets)),
        torch_peer(VECTORISED, lambda: mixtures.batch_labels(x, mask)),
        torch_peer(COMPILED, lambda: mixtures.batch_labels(x, mask, step)),
        package_peer(
            NUMBA, "numba", lambda m: partial(mixtures.numba_labels(m), array, bounds), comparable=torch.from_numpy
        ),
    ]


def cases(sizes: dict[str, int], machine: Machine) -> list[Case]:
    w = workload(**sizes).to(machine.device)
    values, offsets = cheapest_candidates(w)
    found = []
    many = FEW if sizes == SMALL else MANY
    for segments, goals in ((len(offsets) - 1, "mixtures of a batch"), (many, "1,000 mixtures")):
        v, o = repeated(values, offsets, segments)
        lower_bound = machine.lower_bound(len(v) * (VALUE + RESULTS), double_flops=mixture_flops(v, o))
        ours = lambda v=v, o=o: colad_ops.gmm_em(v, o)  # noqa: E731
        found.append(
            Case("gmm_em", f"{segments:,} objects", ours, em_peers_of(v, o), equal_labels, lower_bound, GOALS[goals])
        )
    return found
