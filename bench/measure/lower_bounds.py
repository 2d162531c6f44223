"""Lower bounds of an assignment: the least that it must read and compute, counted on the data of the workload."""

from __future__ import annotations

from torch import Tensor

import colad_ops
from bench.measure.machine import EXP, EXP_DOUBLE, LOG, LOG_DOUBLE, LowerBound, Machine
from bench.workload.batch import Workload
from bench.workload.candidates import bytes_of_candidates, cheapest_candidates, matched_and_cost

ROW, COST = 8, 4  # bytes of an anchor's match and cost
CACHE_LINE = 64  # bytes that a CPU's memory hands out at once


def fitted_values(values: Tensor, offsets: Tensor) -> int:
    """Sum over all values of the number of E-steps that a value goes through, the last one included."""
    return int((offsets.diff() * (colad_ops.gmm_em(values, offsets).n_iter + 1)).sum())


def mixture_flops(values: Tensor, offsets: Tensor) -> int:
    """float64 flops of the mixtures: one exponential and one logarithm for each E-step and value."""
    return fitted_values(values, offsets) * (EXP_DOUBLE + LOG_DOUBLE)


def lower_bound_of_cost(w: Workload, matched: Tensor, machine: Machine, double_flops: float = 0.0) -> LowerBound:
    """Lower bound of the cost. The maps are read at the candidates; matches and costs are moved once. Every logit of a
    candidate needs a sigmoid and a softplus, which share one exponential. ``double_flops`` are added."""
    moved = bytes_of_candidates(w, matched, CACHE_LINE) + matched.numel() * (ROW + COST)
    return machine.lower_bound(moved, int((matched >= 0).sum()) * w.classes * (EXP + LOG), double_flops)


def lower_bound_of_assignment(w: Workload, machine: Machine) -> LowerBound:
    """Lower bound of costs and mixtures together. Matching is not counted, because its data can stay in cache."""
    matched, _ = matched_and_cost(w)
    return lower_bound_of_cost(w, matched, machine, mixture_flops(*cheapest_candidates(w)))
