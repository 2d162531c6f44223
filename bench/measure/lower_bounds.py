"""What an assignment must at least read and compute, counted on the workload's data."""

from __future__ import annotations

import torch
from torch import Tensor

import colad_ops
from bench.measure.machine import EXP, EXP_DOUBLE, LOG, LOG_DOUBLE, Floor, Machine
from bench.workload.batch import Workload, cheapest_candidates, matched_and_cost

ROW, COST = 8, 4  # bytes of an anchor's match and cost
CACHE_LINE = 64  # bytes that a CPU's memory hands out at once


def bytes_of_candidates(w: Workload, matched: Tensor, line: int) -> int:
    """Bytes read of the class and box maps at the candidates, in lines of ``line`` bytes: in an NCHW map a candidate's
    logits lie a plane apart, so that neighbours share a line and the others pay a whole one."""
    of_line = line // w.class_maps[0].element_size()
    lines = 0
    for of_level in (matched >= 0).split(w.level_sizes, dim=1):
        image, anchor = of_level.nonzero().unbind(1)
        lines += len(torch.stack([image, anchor // of_line]).unique(dim=1).T)
    return lines * line * (w.classes + 4)


def fitted_values(values: Tensor, offsets: Tensor) -> int:
    """Values times the E-steps each goes through, the last one included."""
    return int((offsets.diff() * (colad_ops.gmm_em(values, offsets).n_iter + 1)).sum())


def mixture_flops(values: Tensor, offsets: Tensor) -> int:
    """In float64: an exponential and a logarithm an E-step and value."""
    return fitted_values(values, offsets) * (EXP_DOUBLE + LOG_DOUBLE)


def cost_floor(w: Workload, matched: Tensor, machine: Machine, double_flops: float = 0.0) -> Floor:
    """Maps read where there are candidates, matches and costs moved once, a sigmoid and a softplus, which share their
    exponential, of every candidate's logits; and ``double_flops``."""
    moved = bytes_of_candidates(w, matched, CACHE_LINE) + matched.numel() * (ROW + COST)
    return machine.floor(moved, int((matched >= 0).sum()) * w.classes * (EXP + LOG), double_flops)


def assign_floor(w: Workload, machine: Machine) -> Floor:
    """Of the costs and the mixtures; matching costs nothing where it is in cache."""
    matched, _ = matched_and_cost(w)
    return cost_floor(w, matched, machine, mixture_flops(*cheapest_candidates(w)))
