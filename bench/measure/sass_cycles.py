"""Cycles that one warp alone on its scheduler takes for a sequence of instructions, by their control codes. A model.

Instructions are issued in order. The next one follows after the stall count of the one before; that is how the compiler
schedules instructions of fixed latency, so their latencies need no table. An instruction of variable latency releases a
barrier when it is done, and who needs the result waits for the barrier. For these the model assumes ``LATENCY``. A unit
that takes several cycles for a warp (``INTERVAL``) delays the next instruction for the same unit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from bench.measure.sass import NO_BARRIER, Instruction

# Cycles from issue until the result is there, on an H100: published micro-benchmarks of Volta to Hopper, rounded. Loads
# of global memory are taken to hit L2 unless the caller says otherwise. The first pattern that matches counts.
LATENCY = {
    r"LDG|LD\b|LDL": 270,
    r"LDGSTS": 300,
    r"ATOMG|ATOM\b|RED\b|REDG": 400,
    r"LDS|LDSM": 30,
    r"ATOMS": 60,
    r"STS|STG|ST\b|STL": 10,
    r"LDC": 30,
    r"SHFL": 24,
    r"REDUX": 24,
    r"MUFU": 24,
    r"F2F|F2I|I2F|FRND|F2FP": 24,
    r"D[A-Z]+": 16,
    r"POPC|FLO|BREV": 16,
    r"S2R|S2UR|CS2R": 30,
    r"R2UR": 12,
    r"BAR": 30,
    r"SYNCS|UBLK|UTMA|MEMBAR|FENCE|ERRBAR|CCTL": 300,
}
OTHER = 20
# Cycles from issue until the operands of a store, a load or a shuffle have been read.
OPERANDS = 12
# Cycles that a unit of a scheduler is busy with one instruction of a warp: 32 threads over its lanes.
INTERVAL = {r"MUFU|F2F\.F64|F2I|I2F|POPC|FLO": 8, r"D(FMA|ADD|MUL|SETP|MNMX)": 2, r"SHFL|LDS|LDG|STG|STS": 2}


@dataclass
class Cycles:
    total: int
    waited: dict[str, int] = field(default_factory=dict)
    """Cycles waited for the results of each kind of instruction."""


def first_match(table: dict[str, int], opcode: str, otherwise: int) -> int:
    return next((value for pattern, value in table.items() if re.match(pattern, opcode)), otherwise)


def latency(instruction: Instruction, load_latency: int) -> int:
    if instruction.name in ("LDG", "LD"):
        return load_latency
    return first_match(LATENCY, instruction.opcode, OTHER)


def simulate(code: list[Instruction], load_latency: int = 270, times: int = 1) -> Cycles:
    """Cycles of the last of ``times`` executions of the code one after the other: the first one starts with free
    barriers, the last one finds what a loop leaves."""
    time = 0
    free_at = [0] * 6  # when each barrier is free
    holders = [""] * 6
    unit_free: dict[str, int] = {}
    for turn in range(times):
        begin, waited = time, {}
        for instruction in code:
            control = instruction.control
            barriers = control.wait
            if instruction.name == "DEPBAR" and (match := re.search(r"SB(\d)", instruction.operands)):
                barriers = (*barriers, int(match[1]))
            for b in barriers:
                if free_at[b] > time:
                    waited[holders[b]] = waited.get(holders[b], 0) + free_at[b] - time
                    time = free_at[b]
            unit = next((p for p in INTERVAL if re.match(p, instruction.opcode)), None)
            if unit is not None:
                time = max(time, unit_free.get(unit, 0))
                unit_free[unit] = time + INTERVAL[unit]
            if control.write_barrier != NO_BARRIER:
                b, done = control.write_barrier, time + latency(instruction, load_latency)
                if done > free_at[b]:
                    free_at[b], holders[b] = done, instruction.name
            if control.read_barrier != NO_BARRIER:
                b, done = control.read_barrier, time + OPERANDS
                if done > free_at[b]:
                    free_at[b], holders[b] = done, f"{instruction.name} operands"
            time += max(control.stall, 1)
    return Cycles(time - begin, waited)
