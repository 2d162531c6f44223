"""The modelled time of a kernel on an H100: nothing here is measured.

A kernel takes the longest of four times:

- bytes: what it moves from and to memory and L2, at the rates of the card;
- issue: the instructions of all its warps, one a cycle for each scheduler;
- longest warp: the cycles of the warp with the most work, alone on its scheduler;
- all warps: the cycles of all warps, each as if it were alone, shared by the warps that the card holds at once.

A warp's cycles are those of its trips of the hot loops, and of the shortest way through the rest of the kernel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench.measure.sass.cycles import IN_L2
from bench.measure.sass.flow import Flow
from bench.measure.sass.hot_loops import HotLoop, figures, find_loop, straight_way, usual_way
from bench.measure.sass.ptxas import Resources
from bench.measure.sass.ways import Ways

MULTIPROCESSORS, SCHEDULERS, CYCLES_US = 132, 4, 1755  # H100 SXM, cycles of a microsecond
MEMORY, L2 = 3.0e6, 5.5e6  # bytes a microsecond
GAP, DEPENDENT_GAP = 1.3, 0.7  # us from a kernel's end to the next one's start; with programmatic dependent launch
REGISTERS, SHARED, THREADS, BLOCKS = 65536, 227 * 1024, 2048, 32  # of a multiprocessor


@dataclass(frozen=True)
class Trips:
    """How often the warps run a hot loop."""

    hot: HotLoop
    longest: float
    """Of the warp with the most."""
    total: float
    """Of all warps."""
    load_latency: int = IN_L2


@dataclass(frozen=True)
class KernelWork:
    """What a kernel does on the workload."""

    op: str
    kernel: str
    """Pattern of the mangled name."""
    threads: int
    """Of a block."""
    warps: float
    """Those with work."""
    trips: tuple[Trips, ...] = ()
    memory_bytes: float = 0.0
    l2_bytes: float = 0.0
    never: tuple[str, ...] = ()
    """Parts of source lines that do not run on the workload."""
    dependent: bool = False
    """Whether it is launched with programmatic dependent launch."""


@dataclass(frozen=True)
class OperatorWork:
    kernels: list[KernelWork]
    """In the order of their launches."""
    other_launches: int = 0
    """Fills, and kernels that take less time than the gap before them."""


@dataclass(frozen=True)
class KernelTime:
    """In microseconds."""

    bytes: float
    issue: float
    longest_warp: float
    all_warps: float

    @property
    def us(self) -> float:
        return max(self.bytes, self.issue, self.longest_warp, self.all_warps)


def resident_warps(resources: Resources, threads: int) -> int:
    """Warps that the card holds at once."""
    registers = math.ceil(resources.registers / 8) * 8 * threads
    shared = SHARED // (resources.shared + 1024)
    blocks = max(1, min(BLOCKS, THREADS // threads, REGISTERS // registers, shared))
    return MULTIPROCESSORS * blocks * threads // 32


def kernel_time(work: KernelWork, flow: Flow, resources: Resources) -> KernelTime:
    hot_loops = [t.hot for t in work.trips]
    once = figures(straight_way(flow, hot_loops, work.never), IN_L2, times=1)
    passes = [figures(Ways(flow, find_loop(flow, hot.holds)).shortest(), IN_L2) for hot in hot_loops]
    # What is left of the way through the kernel without the passes through its hot loops.
    rest_instructions = once.instructions - sum(f.instructions for f in passes)
    rest_cycles = once.cycles - sum(f.cycles for f in passes)
    loops = [(t, figures(usual_way(flow, t.hot), t.load_latency)) for t in work.trips]
    instructions = work.warps * rest_instructions + sum(t.total * f.instructions for t, f in loops)
    cycles = work.warps * rest_cycles + sum(t.total * f.cycles for t, f in loops)
    longest = rest_cycles + sum(t.longest * f.cycles for t, f in loops)
    return KernelTime(
        work.memory_bytes / MEMORY + work.l2_bytes / L2,
        instructions / (MULTIPROCESSORS * SCHEDULERS * CYCLES_US),
        longest / CYCLES_US,
        cycles / resident_warps(resources, work.threads) / CYCLES_US,
    )
