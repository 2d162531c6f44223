"""The operators against what people use on a GPU: torchvision, eager and vectorised torch, torch.compile of it. These
are the benches of ``bench/cases`` with their workload on the device."""

from __future__ import annotations

import importlib
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from bench.measure.case import Case, Outcome, run_case
from bench.measure.machine import Machine, measure_machine
from bench.measure.timing import sample_on
from bench.peers.names import COMPILED, EAGER, MMDET, PLAIN_BCE, TORCHVISION, VECTORISED
from bench.report.csv_files import csv_rows
from bench.report.csv_files import write_csv as write_rows
from gpu_checks.context import Context

ON = ("iou", "match_anchors", "gmm_em", "assign_cost", "focal_loss", "focal_kl", "paa_assign")
PEERS = {EAGER, VECTORISED, COMPILED, TORCHVISION, MMDET, PLAIN_BCE}
"""The others run on the CPU only."""
ROUNDS, SECONDS = 10, 0.5  # for each peer of a case


def write_peers(context: Context, bench: str) -> str:
    device = context.device.device
    # Compiling takes a minute on a CPU, and a dry run shows nothing about its result.
    with torch._dynamo.config.patch(disable=True) if context.dry else nullcontext():
        machine = Machine("dry run", "", device, 1, 1e10, 1e10) if context.dry else measure_machine(device, threads=1)
        cases = importlib.import_module(f"bench.cases.{bench}").cases(context.sizes, machine)
        outcomes, disagreements = [], []
        for case in cases:
            check = partial(note_disagreement, case, disagreements)
            own = replace(case, peers=[p for p in case.peers if p.name in PEERS], goals=(), check=check)
            rounds, seconds = (1, 0.0) if context.dry else (ROUNDS, SECONDS)
            outcomes.append(run_case(own, machine, sample_on(device, 1), rounds, seconds))
            print(describe(outcomes[-1]), flush=True)
    rows = [row for outcome in outcomes for row in csv_rows(outcome, machine)]
    write_rows(context.folder / f"peers_{bench}.csv", rows)
    missing = {f"{name} left out: {why}" for outcome in outcomes for name, why in outcome.missing.items()}
    return "; ".join([*map(describe, outcomes), *disagreements, *sorted(missing)])


def note_disagreement(case: Case, notes: list[str], ours: Any, peers: Any) -> None:
    """A peer may round otherwise on a GPU, e.g. where its compiler fuses multiply-adds. Whether ours is right, the
    comparison with the CPU says."""
    try:
        case.check(ours, peers)
    except AssertionError as error:
        notes.append(f"{case.op} {case.what}: a peer disagrees: {str(error).splitlines()[0]}")


def describe(outcome: Outcome) -> str:
    times = ", ".join(f"{name} {timing.median:.1f} us" for name, timing in outcome.timings.items())
    return f"{outcome.case.op} {outcome.case.what}: {times}"
