"""Cycles that one warp alone on its scheduler takes for a sequence of instructions, by their control codes: a model.

Instructions are issued in order. The next one follows after the stall of the one before: with stalls the compiler waits
for results of fixed latency (most of float32, float64 and integer), so these latencies need no table. An instruction of
variable latency releases a barrier when it is done, and an instruction that needs the result waits for the barrier. For
these the model assumes ``LATENCY``. A unit that is busy for several cycles with one warp (``INTERVAL``) delays the next
instruction for the same unit. Not in the model: taken branches, instruction fetch, bank conflicts, other warps.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache

from bench.measure.sass.listing import NO_BARRIER, Instruction

# Cycles until a load of global memory is there, as measured on a GH200 (markdewing/AI_kernels, latency/README.md).
IN_L1, IN_L2, IN_MEMORY = 40, 280, 690
# Cycles from issue until the result is there. The first pattern that matches counts. Assumed, like what is published of
# earlier cards: these move the cycles of EM by a few percent, because most of its instructions have a fixed latency.
LATENCY = {
    r"LDS|LDSM": 30,
    r"ATOMS": 60,
    r"ATOM|RED\b|REDG": 400,
    r"LDC": 30,
    r"LDL": IN_L1,
    r"SHFL|REDUX": 23,
    r"MUFU|F2F|F2I|I2F|FRND|POPC|FLO|BREV": 20,
    r"D[A-Z]+": 16,  # float64 where it releases barriers: sm_80 and sm_120, not sm_90 and sm_100
    r"S2R|S2UR": 30,
    r"R2UR": 12,
    r"BAR": 30,
    r"STS|STG|ST\b|STL": 10,
    r"SYNCS|MEMBAR|ERRBAR|CCTL|ACQBULK|UCGABAR": 300,
}
OTHER = 20
# Cycles from issue until the operands of a store, a load or a shuffle have been read.
OPERANDS = 12
# Cycles that a scheduler's unit is busy with one instruction of a warp.
INTERVAL = {r"MUFU|F2F|F2I|I2F|FRND|POPC|FLO": 8, r"D(FMA|ADD|MUL|SETP|MNMX)": 2, r"SHFL|LDS|LDG|STG|STS|ATOMS": 2}


@dataclass
class Cycles:
    total: int
    waited: dict[str, int] = field(default_factory=dict)
    """Cycles waited for the results of each kind of instruction."""


@cache
def latency(opcode: str) -> int:
    return next((cycles for pattern, cycles in LATENCY.items() if re.match(pattern, opcode)), OTHER)


@cache
def unit(opcode: str) -> str | None:
    return next((pattern for pattern in INTERVAL if re.match(pattern, opcode)), None)


def at_most(instruction: Instruction) -> list[tuple[int, int]]:
    """(barrier, number of instructions that may still hold it) for which DEPBAR waits."""
    return [(int(b), int(n, 16)) for b, n in re.findall(r"^SB(\d), 0x(\w+)", instruction.operands)]


def simulate(code: list[Instruction], load_latency: int = IN_L2, times: int = 1) -> Cycles:
    """Cycles of the last of ``times`` executions of the code, one after the other: it finds what a loop leaves."""
    time, begin = 0, 0
    pending: list[list[tuple[int, str]]] = [[] for _ in range(6)]  # of each barrier: when who releases it
    unit_free: dict[str, int] = {}
    waited: dict[str, int] = {}
    for _ in range(times):
        begin, waited = time, {}
        for instruction in code:
            control = instruction.control
            for b, left in (*((b, 0) for b in control.wait), *at_most(instruction)):
                for done, what in sorted(pending[b])[: len(pending[b]) - left]:
                    if done > time:
                        waited[what] = waited.get(what, 0) + done - time
                        time = done
                pending[b] = [x for x in pending[b] if x[0] > time]
            if busy := unit(instruction.opcode):
                time = max(time, unit_free.get(busy, 0))
                unit_free[busy] = time + INTERVAL[busy]
            took = load_latency if instruction.name in ("LDG", "LD") else latency(instruction.opcode)
            for b, done, what in (
                (control.write_barrier, time + took, instruction.name),
                (control.read_barrier, time + OPERANDS, f"operands of {instruction.name}"),
            ):
                if b != NO_BARRIER:
                    pending[b].append((done, what))
            time += max(control.stall, 1)
    return Cycles(time - begin, waited)
