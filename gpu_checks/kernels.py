"""Microseconds of every kernel, from the profile of a graph replay."""

from __future__ import annotations

import re
from collections import defaultdict
from statistics import median
from typing import Any

from bench.workload.every_operator import OperatorCall, operator_calls
from gpu_checks.context import Context
from gpu_checks.csv_file import write_csv
from gpu_checks.device import AnyDevice, Kernel

REPLAYS = 10


def write_kernels(context: Context) -> str:
    calls = [c for c in operator_calls(context.workload, context.device.device) if c.capturable]
    rows = [row for call in calls for row in kernel_rows(call, context.device, 2 if context.dry else REPLAYS)]
    return write_csv(context.folder / "kernels.csv", rows)


def kernel_rows(call: OperatorCall, device: AnyDevice, replays: int) -> list[dict[str, Any]]:
    """A row for each kernel, in the order of the launches, and one for the whole replay: the time between the start of
    its first and the end of its last kernel. What the kernels do not fill of it is ``gaps``."""
    recorded = device.kernels(device.graph(call.run), replays)
    names = list(dict.fromkeys(kernel.name for kernel in recorded[0]))
    times = [times_by_name(p) for p in recorded]
    rows = [
        {"kernel": short_name(name), "calls": len(times[0][name]), "us": median(sum(t.get(name, [])) for t in times)}
        for name in names
    ]
    spans = [max(k.end for k in p) - min(k.start for k in p) for p in recorded]
    rows += [
        {"kernel": "gaps", "calls": "", "us": median(s - sum(map(sum, t.values())) for s, t in zip(spans, times))},
        {"kernel": "whole replay", "calls": len(recorded[0]), "us": median(spans)},
    ]
    return [{"op": call.op, "what": call.what, **row} for row in rows]


def times_by_name(kernels: list[Kernel]) -> dict[str, list[float]]:
    times = defaultdict(list)
    for kernel in kernels:
        times[kernel.name].append(kernel.end - kernel.start)
    return times


def short_name(name: str) -> str:
    """``first_pass_kernel<float>`` of ``void colad::(anonymous namespace)::first_pass_kernel<float>(...)``."""
    name = re.sub(r"\(anonymous namespace\)::|<unnamed>::|\bcolad::|^void ", "", name)
    depth = 0
    for place, letter in enumerate(name):
        depth += {"<": 1, ">": -1}.get(letter, 0)
        if letter == "(" and depth == 0 and place > 0:
            return name[:place]
    return name
