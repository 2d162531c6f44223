"""Times items against a device copy of the same bytes, all interleaved in one run, and counts their launches.

``graph``: replays of a CUDA graph queued behind a kernel that keeps the device busy, so that the time between the two
events is the device's alone. ``eager``: the call as a user makes it on an idle device, the host's time included.
Between two turns of an item all the others run, which is more than any cache holds: inputs are read from memory.
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
from bench.workload.every_operator import Item

ROUNDS = 50
SECONDS = 60  # whichever ends first
BUSY_CYCLES = 1_000_000  # longer than it takes the host to queue two events and a replay


@dataclass
class Measured:
    item: Item
    mode: str
    ours: Timing
    copy: Timing | None
    launches: int | None


class PlainCalls:
    """Stands for a graph where there is no GPU, so that what uses graphs can be tried there."""

    def __init__(self, run: Callable[[], Any]) -> None:
        self.replay = run


def capture(run: Callable[[], Any], device: torch.device) -> torch.cuda.CUDAGraph | PlainCalls:
    if device.type != "cuda":
        run()
        return PlainCalls(run)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph


def device_copy(total_bytes: int, device: torch.device) -> Callable[[], Any]:
    """Reads half of the bytes and writes half."""
    source = torch.zeros(max(total_bytes // 2, 1), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def cuda_microseconds(run: Callable[[], Any], busy: bool) -> Callable[[], float]:
    """Starts one turn; what it returns waits for its end."""
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
    """Kernels, copies and fills on the device in one call."""
    run()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as recorded:
        run()
        torch.cuda.synchronize()
    return sum(event.device_type == DeviceType.CUDA for event in recorded.events())


def measure(items: list[Item], device: torch.device, rounds: int = ROUNDS) -> list[Measured]:
    on_cuda = device.type == "cuda"
    turns: dict[tuple[int, str], Callable[[], Callable[[], float]]] = {}
    for i, item in enumerate(items):
        copy = device_copy(item.bytes, device)
        if on_cuda:
            turns[i, "eager"] = lambda run=item.run: cuda_microseconds(run, busy=False)
            turns[i, "copy"] = lambda run=capture(copy, device).replay: cuda_microseconds(run, busy=True)
            if item.capturable:
                turns[i, "graph"] = lambda run=capture(item.run, device).replay: cuda_microseconds(run, busy=True)
        else:
            turns[i, "eager"] = lambda run=item.run: cpu_microseconds(run)
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
        count_launches(items[0].run)  # the first profile is not always complete
    launches = [count_launches(item.run) if on_cuda else None for item in items]
    return [
        Measured(items[i], mode, Timing.of(samples[i, mode]), Timing.of(samples[i, "copy"]), launches[i])
        for i, mode in turns
        if mode != "copy"
    ]
