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
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from bench.measure.timing import Timing
from bench.workload.every_operator import OperatorCall
from gpu_checks.cuda_graph import capture

ROUNDS = 50
SECONDS = 60  # whichever ends first
BUSY_CYCLES = 1_000_000  # longer than the host needs to queue two events and a replay


@dataclass
class Measured:
    call: OperatorCall
    mode: str
    ours: Timing
    copy: Timing | None
    launches: int | None


def device_copy(total_bytes: int, device: torch.device) -> Callable[[], Any]:
    """A copy that reads half of the bytes and writes the other half."""
    source = torch.zeros(max(total_bytes // 2, 1), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def cuda_microseconds(run: Callable[[], Any], busy: bool) -> Callable[[], float]:
    """Starts one turn. The returned function waits for its end."""
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    if busy:
        torch.cuda._sleep(BUSY_CYCLES)
    start.record()
    run()
    end.record()

    def wait() -> float:
        end.synchronize()
        return start.elapsed_time(end) * 1000

    return wait


def cpu_microseconds(run: Callable[[], Any]) -> Callable[[], float]:
    start = time.perf_counter()
    run()
    elapsed = (time.perf_counter() - start) * 1e6
    return lambda: elapsed


def count_launches(run: Callable[[], Any]) -> int:
    """Number of kernels, copies and fills on the device in one call."""
    run()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as recorded:
        run()
        torch.cuda.synchronize()
    return sum(event.device_type == DeviceType.CUDA for event in recorded.events())


def measure(calls: list[OperatorCall], device: torch.device, rounds: int = ROUNDS) -> list[Measured]:
    on_cuda = device.type == "cuda"
    turns: dict[tuple[int, str], Callable[[], Callable[[], float]]] = {}
    for i, call in enumerate(calls):
        copy = device_copy(call.bytes, device)
        if on_cuda:
            turns[i, "eager"] = lambda run=call.run: cuda_microseconds(run, busy=False)
            turns[i, "copy"] = lambda run=capture(copy, device).replay: cuda_microseconds(run, busy=True)
            if call.capturable:
                turns[i, "graph"] = lambda run=capture(call.run, device).replay: cuda_microseconds(run, busy=True)
        else:
            turns[i, "eager"] = lambda run=call.run: cpu_microseconds(run)
            turns[i, "copy"] = lambda run=copy: cpu_microseconds(run)
    samples: dict[tuple[int, str], list[float]] = {key: [] for key in turns}
    until = time.monotonic() + SECONDS
    for done in range(rounds + 2):
        for key, start in turns.items():
            if on_cuda:
                torch.cuda.synchronize()  # an eager turn starts on an idle device
            microseconds = start()()
            if done >= 2:  # the first two warm up
                samples[key].append(microseconds)
        if done >= 4 and time.monotonic() > until:
            break
    if on_cuda:
        count_launches(calls[0].run)  # the first profile is not always complete
    launches = [count_launches(call.run) if on_cuda else None for call in calls]
    return [
        Measured(calls[i], mode, Timing.of(samples[i, mode]), Timing.of(samples[i, "copy"]), launches[i])
        for i, mode in turns
        if mode != "copy"
    ]
