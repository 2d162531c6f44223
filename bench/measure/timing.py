"""Times callables in turn: A B C A B C ..., so that other load on the machine affects all of them alike.

On the CPU with one thread a sample is the CPU time of the process, because other processes change it least. With more
threads a sample is wall time. On a GPU it is the time between two CUDA events.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

SAMPLE_SECONDS = 2e-3  # a sample lasts at least about this long: short calls are repeated within it
SHORT = 1e5  # microseconds; a shorter call is timed a second time before the rounds
LEAST_SAMPLES = 3

Sample = Callable[[Callable[[], Any], int], float]
"""``sample(run, inner)`` makes ``inner`` calls in a row and returns the microseconds of one call."""


@dataclass(frozen=True)
class Timing:
    median: float
    p20: float
    p80: float
    """Microseconds."""

    @classmethod
    def of(cls, samples: list[float]) -> Timing:
        quantiles = torch.tensor(samples, dtype=torch.float64).quantile(torch.tensor([0.5, 0.2, 0.8]).double())
        return cls(*quantiles.tolist())


def host_sample(clock: Callable[[], int]) -> Sample:
    """A sample function from a clock in nanoseconds."""

    def sample(run: Callable[[], Any], inner: int) -> float:
        start = clock()
        for _ in range(inner):
            run()
        return (clock() - start) / 1000 / inner

    return sample


def cuda_sample(run: Callable[[], Any], inner: int) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    start.record()
    for _ in range(inner):
        run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) * 1000 / inner


def sample_on(device: torch.device, threads: int) -> Sample:
    if device.type == "cuda":
        return cuda_sample
    return host_sample(time.process_time_ns if threads == 1 else time.perf_counter_ns)


def compare(
    runs: Mapping[str, Callable[[], Any]], sample: Sample, rounds: int, seconds: float, once: bool = False
) -> dict[str, Timing]:
    """Timings of every callable, by its name.

    Args:
        runs: the callables, called in this order, round after round. Before the rounds each is called once, and a short
            one twice. The time of the last of these calls decides how often a callable is repeated in a sample.
        sample: see ``sample_on``.
        rounds: largest number of rounds.
        seconds: time for each callable. A callable that has used its time and has ``LEAST_SAMPLES`` samples takes no
            part in further rounds.
        once: a sample is always a single call. It finds the caches as the previous callable left them.
    """
    inner = {}
    for name, run in runs.items():
        took = sample(run, 1)
        if took < SHORT:
            took = sample(run, 1)
        inner[name] = 1 if once else max(1, math.ceil(SAMPLE_SECONDS * 1e6 / max(took, 1e-3)))
    samples: dict[str, list[float]] = {name: [] for name in runs}
    with no_collection():
        for _ in range(rounds):
            for name, run in runs.items():
                spent = sum(samples[name]) * inner[name] / 1e6
                if spent < seconds or len(samples[name]) < min(LEAST_SAMPLES, rounds):
                    samples[name].append(sample(run, inner[name]))
    return {name: Timing.of(values) for name, values in samples.items()}


Name = TypeVar("Name", bound=Hashable)


def best_of(runs: Mapping[Name, Callable[[], Any]], rounds: int) -> dict[Name, float]:
    """The smallest of ``rounds`` samples of every short callable, in microseconds. They take turns."""
    sample = host_sample(time.thread_time_ns)
    inner = {}
    for name, run in runs.items():
        sample(run, 10)
        inner[name] = max(1, math.ceil(SAMPLE_SECONDS * 1e6 / max(sample(run, 10), 1e-3)))
    best = dict.fromkeys(runs, math.inf)
    with no_collection():
        for _ in range(rounds):
            for name, run in runs.items():
                best[name] = min(best[name], sample(run, inner[name]))
    return best


@contextmanager
def no_collection() -> Iterator[None]:
    """A garbage collection would count as time of the callable that is running."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
