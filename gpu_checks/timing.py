"""Times calls against a device copy of the same bytes, in turns in one run, and counts the launches of each call.

``graph``: replays of a CUDA graph. They are queued behind a kernel that keeps the device busy, so the time between the
two events contains only device time. ``eager``: the call as a user makes it on an idle device; host time is included.
Between two turns of a call all other calls run. They move more bytes than any cache holds, so inputs are read from
memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from bench.measure.timing import Timing
from bench.workload.every_operator import OperatorCall, operator_calls
from gpu_checks.context import Context
from gpu_checks.csv_file import write_csv
from gpu_checks.device import AnyDevice

ROUNDS, DRY_ROUNDS = 50, 1
SECONDS = 60  # whichever ends first


@dataclass
class Measured:
    call: OperatorCall
    mode: str
    ours: Timing
    copy: Timing
    launches: int


def write_benches(context: Context) -> str:
    rounds = DRY_ROUNDS if context.dry else ROUNDS
    measured = measure(operator_calls(context.workload, context.device.device), context.device, rounds)
    rows = [
        {
            "op": m.call.op, "what": m.call.what, "mode": m.mode, "ours_us": m.ours.median, "p20_us": m.ours.p20,
            "p80_us": m.ours.p80, "copy_us": m.copy.median, "launches": m.launches, "bytes": m.call.bytes,
            "share_of_copy": m.copy.median / m.ours.median,
        }
        for m in measured
    ]  # fmt: skip
    return write_csv(context.folder / "gpu_check.csv", rows)


def device_copy(total_bytes: int, device: torch.device) -> Callable[[], Any]:
    """A copy that reads half of the bytes and writes the other half."""
    source = torch.zeros(max(total_bytes // 2, 1), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def measure(calls: list[OperatorCall], device: AnyDevice, rounds: int) -> list[Measured]:
    turns: dict[tuple[int, str], Callable[[], Callable[[], float]]] = {}
    for i, call in enumerate(calls):
        copy = device.graph(device_copy(call.bytes, device.device))
        turns[i, "eager"] = lambda run=call.run: device.start(run, busy=False)
        turns[i, "copy"] = lambda run=copy: device.start(run, busy=True)
        if call.capturable:
            turns[i, "graph"] = lambda run=device.graph(call.run): device.start(run, busy=True)
    samples: dict[tuple[int, str], list[float]] = {key: [] for key in turns}
    until = time.monotonic() + SECONDS
    warm_ups = min(2, rounds)
    for done in range(rounds + warm_ups):
        for key, start in turns.items():
            device.synchronize()  # an eager turn starts on an idle device
            microseconds = start()()
            if done >= warm_ups:
                samples[key].append(microseconds)
        if done >= 4 and time.monotonic() > until:
            break
    launches = [len(device.kernels(call.run)[0]) for call in calls]
    return [
        Measured(calls[i], mode, Timing.of(samples[i, mode]), Timing.of(samples[i, "copy"]), launches[i])
        for i, mode in turns
        if mode != "copy"
    ]
