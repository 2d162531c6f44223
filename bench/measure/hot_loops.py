"""A hot loop of a kernel, found by its source lines, and its figures: instructions, cycles, loads in flight."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.measure.sass import NO_BARRIER, Instruction, Kernel
from bench.measure.sass_cycles import simulate
from bench.measure.sass_flow import Flow, Loop
from bench.measure.sass_ways import Ways
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
    holds: tuple[str, ...]
    """Parts of source lines. The loop is the smallest one that has instructions of all of them."""
    meets: tuple[Meet, ...] = ()
    never: tuple[str, ...] = ()
    """Parts of source lines that do not run with the options of the workload."""


@dataclass(frozen=True)
class Figures:
    """Of one way round a loop."""

    instructions: int
    cycles: int
    loads: int
    waited: dict[str, int]


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


def ways_round(flow: Flow, hot: HotLoop) -> Ways:
    loop = find_loop(flow, hot.holds)

    def marker_of(instruction: Instruction) -> int | None:
        for n, meet in enumerate(hot.meets):
            if re.match(meet.opcode, instruction.opcode) and any(meet.text in x for x in texts(instruction)[:1]):
                return n
        return None

    def is_never(address: int) -> bool:
        code = flow.blocks[address].instructions
        return any(2 * sum(comes_from(i, text) for i in code) > len(code) for text in hot.never)

    never = frozenset(address for address in loop.body if is_never(address))
    return Ways(flow, loop, marker_of, tuple(meet.times for meet in hot.meets), never)


def figures(way: list[Instruction], load_latency: int) -> Figures:
    cycles = simulate(way, load_latency, times=3)
    return Figures(len(way), cycles.total, loads_in_flight(way), cycles.waited)


def loads_in_flight(way: list[Instruction]) -> int:
    """The most loads of global memory that are on their way when the loop first waits for one of them."""
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
