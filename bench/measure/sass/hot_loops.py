"""A hot loop of a kernel, found by its source lines, and its figures: instructions, cycles, loads in flight."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.measure.sass.cycles import simulate
from bench.measure.sass.flow import Flow, Loop
from bench.measure.sass.listing import NO_BARRIER, Instruction, Kernel
from bench.measure.sass.ways import Ways, whole_kernel
from bench.paths import ROOT


@dataclass(frozen=True)
class Meet:
    """Instructions that a way round the loop runs ``times`` times."""

    text: str
    """Part of the source line, at any level of inlining."""
    opcode: str
    """Pattern of the opcode: one that the line has once."""
    times: int


@dataclass(frozen=True)
class HotLoop:
    """A loop, and the usual way round it."""

    holds: tuple[str, ...]
    """Parts of source lines. The loop is the smallest one that has instructions of all of them."""
    meets: tuple[Meet, ...] = ()
    never: tuple[str, ...] = ()
    """Parts of source lines that do not run with the options of the workload."""
    longest: bool = True
    """Which of the ways that are left: with every ``if`` of the source taken, or with none."""


@dataclass(frozen=True)
class Figures:
    """Of one way round a loop."""

    instructions: int
    cycles: int
    """Of one warp alone (cycles.py)."""
    loads: int
    """The most loads of global memory that are in flight when the loop waits for one of them."""
    waited: dict[str, int]
    """Cycles waited for the results of each kind of instruction."""


@cache
def source_lines(file: str) -> list[str]:
    path = Path(file)
    return path.read_text().splitlines() if path.is_file() and ROOT in path.parents else []


def texts(instruction: Instruction) -> list[str]:
    """The source lines of an instruction in this repository, the innermost first."""
    return [source_lines(file)[line - 1] for file, line in instruction.lines if 0 < line <= len(source_lines(file))]


def comes_from(instruction: Instruction, text: str) -> bool:
    return any(text in line for line in texts(instruction))


def find_loop(flow: Flow, holds: tuple[str, ...]) -> Loop:
    for loop in reversed(flow.loops):
        code = flow.instructions(loop)
        if all(any(comes_from(i, text) for i in code) for text in holds):
            return loop
    raise LookupError(f"{flow.kernel.name} has no loop with the source lines {holds}")


def avoid(texts: tuple[str, ...]) -> Callable[[Instruction], bool]:
    return lambda instruction: any(comes_from(instruction, text) for text in texts)


def ways_round(flow: Flow, hot: HotLoop) -> Ways:
    def marker_of(instruction: Instruction) -> int | None:
        for n, meet in enumerate(hot.meets):
            # With a predicate it may do nothing.
            if not instruction.predicate and re.match(meet.opcode, instruction.opcode):
                if any(meet.text in line for line in texts(instruction)[:1]):
                    return n
        return None

    wanted = tuple(meet.times for meet in hot.meets)
    return Ways(flow, find_loop(flow, hot.holds), marker_of, wanted, avoid(hot.never))


def usual_way(flow: Flow, hot: HotLoop) -> list[Instruction]:
    ways = ways_round(flow, hot)
    return ways.longest() if hot.longest else ways.shortest()


def straight_way(flow: Flow, hot_loops: Iterable[HotLoop], never: tuple[str, ...] = ()) -> list[Instruction]:
    """The shortest way through the kernel that runs each of the hot loops once."""
    headers = [find_loop(flow, hot.holds).header for hot in hot_loops]
    marker = {address: n for n, address in enumerate(headers)}
    wanted = (1,) * len(headers)
    return Ways(flow, whole_kernel(flow), lambda i: marker.get(i.address), wanted, avoid(never)).shortest()


def figures(way: list[Instruction], load_latency: int, times: int = 3) -> Figures:
    """``times``: the cycles are those of the last of so many executions one after the other."""
    cycles = simulate(way, load_latency, times)
    return Figures(len(way), cycles.total, loads_in_flight(way), cycles.waited)


def loads_in_flight(way: list[Instruction]) -> int:
    most, pending = 0, []
    for instruction in way * 2:
        if any(barrier in instruction.control.wait for barrier in pending):
            most = max(most, len(pending))
            pending = [barrier for barrier in pending if barrier not in instruction.control.wait]
        if instruction.name in ("LDG", "LD") and instruction.control.write_barrier != NO_BARRIER:
            pending.append(instruction.control.write_barrier)
    return most


def find_kernel(kernels: list[Kernel], pattern: str) -> Kernel:
    """The kernel whose mangled name matches."""
    found = [kernel for kernel in kernels if re.search(pattern, kernel.name)]
    if len(found) != 1:
        raise LookupError(f"one kernel should match {pattern}, got {[kernel.name for kernel in found]}")
    return found[0]
