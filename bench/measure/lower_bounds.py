"""Lower bounds of an assignment: what it must at least read and compute, counted on the workload's data."""

from __future__ import annotations

from torch import Tensor

import colad_ops
from bench.measure.machine import EXP, EXP_DOUBLE, LOG, LOG_DOUBLE, LowerBound, Machine
from bench.workload.batch import Workload
from bench.workload.candidates import bytes_of_candidates, cheapest_candidates, matched_and_cost

ROW, COST = 8, 4  # bytes of an anchor's match and cost
CACHE_LINE = 64  # bytes that a CPU's memory hands out at once


def fitted_values(values: Tensor, offsets: Tensor) -> int:
    """Values times the E-steps each goes through, the last one included."""
    return int((offsets.diff() * (colad_ops.gmm_em(values, offsets).n_iter + 1)).sum())


def mixture_flops(values: Tensor, offsets: Tensor) -> int:
    """In float64: an exponential and a logarithm an E-step and value."""
    return fitted_values(values, offsets) * (EXP_DOUBLE + LOG_DOUBLE)


def lower_bound_of_cost(w: Workload, matched: Tensor, machine: Machine, double_flops: float = 0.0) -> LowerBound:
    """The maps are read where there are candidates, matches and costs are moved once. Every logit of a candidate needs
    a sigmoid and a softplus, which share their exponential. ``double_flops`` are added."""
    moved = bytes_of_candidates(w, matched, CACHE_LINE) + matched.numel() * (ROW + COST)
    return machine.lower_bound(moved, int((matched >= 0).sum()) * w.classes * (EXP + LOG), double_flops)


def lower_bound_of_assignment(w: Workload, machine: Machine) -> LowerBound:
    """Of the costs and the mixtures; matching costs nothing where it is in cache."""
    matched, _ = matched_and_cost(w)
    return lower_bound_of_cost(w, matched, machine, mixture_flops(*cheapest_candidates(w)))
