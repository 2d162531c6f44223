"""What the checks ask of a device. ``Card`` is a CUDA device. ``DryRun`` answers the same questions on the CPU, so that
a dry run goes through the code of every check. Only ``Card`` calls ``torch.cuda``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any, NamedTuple

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

BUSY_CYCLES = 1_000_000  # longer than the host needs to queue two events and a replay
PENDING_CYCLES = 200_000_000  # about 0.1 s: longer than the host needs to queue a training step
LOAD_CYCLES = 2_000_000_000  # about 1 s: longer than nvidia-smi needs to read a clock
OTHER_WORK = 2048  # rows of a matrix; its square takes some tenths of a millisecond
REPLAYS = 20
PROFILES = 3  # at most: the first profile of a process is not always complete

Run = Callable[[], Any]


class Kernel(NamedTuple):
    """A kernel, copy or fill on the device, in microseconds since the profile began."""

    name: str
    start: float
    end: float


class Card:
    device = torch.device("cuda")

    @property
    def name(self) -> str:
        return torch.cuda.get_device_name()

    def synchronize(self) -> None:
        torch.cuda.synchronize()

    def free_bytes(self) -> int:
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info()[0]

    def peak_bytes(self, run: Run) -> int:
        """Peak of the memory that a call takes, its results included."""
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        result = run()
        torch.cuda.synchronize()
        del result
        return torch.cuda.max_memory_allocated() - before

    def put_under_load(self) -> None:
        """For about a second, so that the clock can be read."""
        torch.cuda._sleep(LOAD_CYCLES)

    @contextmanager
    def waiting_is_an_error(self) -> Iterator[None]:
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")

    @contextmanager
    def beside_other_work(self) -> Iterator[None]:
        """Inside, another stream multiplies matrices."""
        factor = torch.ones(OTHER_WORK, OTHER_WORK, device=self.device)
        other = torch.cuda.Stream()
        other.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(other):
            product = factor @ factor
        yield
        torch.cuda.current_stream().wait_stream(other)
        del factor, product

    @contextmanager
    def busy_side_stream(self) -> Iterator[Callable[[], bool]]:
        """Inside, another stream is the current one, and it has work to do before anything else. The given function
        says whether this work is still going on."""
        torch.cuda.synchronize()
        stream, done = torch.cuda.Stream(), torch.cuda.Event()
        with torch.cuda.stream(stream):
            torch.cuda._sleep(PENDING_CYCLES)
            done.record()
            yield lambda: not done.query()
        stream.synchronize()

    def graph(self, run: Run) -> Run:
        """Captures a call in a CUDA graph; the replay of it."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                run()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            run()
        return graph.replay

    def start(self, run: Run, busy: bool) -> Callable[[], float]:
        """Starts a call. The returned function waits for its end and says how many microseconds it took. ``busy``: the
        call is queued behind a kernel that keeps the device busy, so only device time counts."""
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

    def kernels(self, run: Run, times: int = 1) -> list[list[Kernel]]:
        """What each of ``times`` equal calls launches, by CUPTI."""
        run()
        torch.cuda.synchronize()
        for _ in range(PROFILES):
            with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as recorded:
                for _ in range(times):
                    run()
                torch.cuda.synchronize()
            found = kernels_of(recorded, DeviceType.CUDA)
            if found and len(found) % times == 0:
                return split(found, times)
        raise RuntimeError(f"the profiler saw {len(found)} kernels in {times} equal calls")


class DryRun:
    device = torch.device("cpu")
    name = "dry run"

    def synchronize(self) -> None: ...

    def free_bytes(self) -> int:
        return 1 << 20

    def peak_bytes(self, run: Run) -> int:
        run()
        return 0

    def put_under_load(self) -> None: ...

    @contextmanager
    def waiting_is_an_error(self) -> Iterator[None]:
        yield

    @contextmanager
    def beside_other_work(self) -> Iterator[None]:
        yield

    @contextmanager
    def busy_side_stream(self) -> Iterator[Callable[[], bool]]:
        yield lambda: True

    def graph(self, run: Run) -> Run:
        run()
        return run

    def start(self, run: Run, busy: bool) -> Callable[[], float]:
        start = time.perf_counter()
        run()
        elapsed = (time.perf_counter() - start) * 1e6
        return lambda: elapsed

    def kernels(self, run: Run, times: int = 1) -> list[list[Kernel]]:
        """The operators that each call calls."""
        run()
        with profile(activities=[ProfilerActivity.CPU]) as recorded:
            for _ in range(times):
                run()
        return split(kernels_of(recorded, DeviceType.CPU), times)


AnyDevice = Card | DryRun


def kernels_of(recorded: profile, device_type: DeviceType) -> list[Kernel]:
    events = [e for e in recorded.events() if e.device_type == device_type]
    events = [e for e in events if device_type != DeviceType.CPU or e.cpu_parent is None]
    return sorted((Kernel(e.name, e.time_range.start, e.time_range.end) for e in events), key=lambda k: k.start)


def split(kernels: list[Kernel], times: int) -> list[list[Kernel]]:
    size = len(kernels) // times
    return [kernels[i * size : (i + 1) * size] for i in range(times)]


def replay_microseconds(device: AnyDevice, run: Run, replays: int = REPLAYS) -> float:
    """Median device time of a call, from replays of its graph."""
    replay = device.graph(run)
    device.synchronize()
    return median(device.start(replay, busy=True)() for _ in range(replays + 2))
