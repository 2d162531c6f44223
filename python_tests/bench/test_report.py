"""Ratios, goals and the table of kernels."""

import pytest

from bench.measure.case import OURS, Case, Goal, Outcome, Peer
from bench.measure.machine import LowerBound, Machine
from bench.measure.sass import ptxas
from bench.measure.timing import Timing
from bench.report import kernel_table, tables

LOG = """\
[1/2] Building CUDA object a_cuda.cu.o
ptxas info    : 28 bytes gmem, 224 bytes cmem[4]
ptxas info    : Compiling entry function '_ZN5colad5firstIfEEvi' for 'sm_80'
ptxas info    : Function properties for _ZN5colad5firstIfEEvi
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 256 bytes smem
ptxas info    : Compiling entry function '_ZN5colad5firstIfEEvi' for 'sm_120'
ptxas info    : Function properties for _ZN5colad5firstIfEEvi
    8 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 38 registers, used 1 barriers, 256 bytes smem
ptxas info    : Compiling entry function '_ZN5colad6secondEv' for 'sm_80'
ptxas info    : Used 8 registers
"""


def outcome(ours, peers, **case):
    """Of a case whose callables took so many microseconds."""
    made = Case("op", "what", int, [Peer(name, "1", int) for name in peers], lambda a, b: None, **case)
    timings = {name: Timing(took, took, took) for name, took in {OURS: ours, **peers}.items()}
    return Outcome(made, 1, timings, {OURS: 1000})


def test_ratios_shares_and_goals():
    goals = [
        Goal("times", 2, "peer"), Goal("times", 5, "peer"), Goal("times", 2, "absent"), Goal("ms", 0.05),
        Goal("ms", 0.2), Goal("extra", 999), Goal("extra", 1000),
    ]  # fmt: skip
    o = outcome(100.0, {"peer": 400.0}, lower_bound=LowerBound(25e-6, "because"), goals=goals)
    assert o.ratio("peer") == 4 and o.ratio("absent") is None and o.share_of_lower_bound == 0.25
    assert [goal.reached(o) for goal in goals] == [True, False, None, False, True, False, True]
    assert [verdict.split(": ")[-1] for verdict in next(iter(tables.cells(o)))[-1].split("; ")].count("unknown") == 1
    machine = Machine("A (R) CPU @ 3.0", "", None, 1, 2e9, 1e9)
    assert machine.folder == "a-r-cpu-3-0"
    assert machine.lower_bound(4e6).seconds == pytest.approx(2e-3)
    assert machine.lower_bound(4e6, flops=1e6, double_flops=1e6).seconds == pytest.approx(3e-3)


def test_the_table_of_kernels_is_what_the_compiler_said():
    found = ptxas.resources(LOG)
    assert found == [
        ptxas.Resources("_ZN5colad5firstIfEEvi", "sm_80", 40, shared=256, stack=0, spilled=0),
        ptxas.Resources("_ZN5colad5firstIfEEvi", "sm_120", 38, shared=256, stack=8, spilled=20),
        ptxas.Resources("_ZN5colad6secondEv", "sm_80", 8, shared=0, stack=0, spilled=0),
    ]
    head, _, first, second = kernel_table.table(found)
    assert head == "| kernel | T | sm_80 | sm_120 | shared | STACK | spilled |"
    assert first == "| `first<T>` | float | 40 | 38 | 256 | 0-8 | 0-20 |"
    assert second == "| `second` |  | 8 |  | 0 | 0 | 0 |"
    assert ptxas.short_name("void colad::_GLOBAL__N__1a_iou_cu::f<c10::Half>(colad::P)") == "f<Half>"


def test_types_with_close_registers_are_one_row():
    def first(kind: str, registers: int) -> ptxas.Resources:
        return ptxas.Resources(f"_ZN5colad5firstI{kind}EEvi", "sm_90", registers, 0, 0, 0)

    of_float, of_double = kernel_table.table([first("f", 40), first("d", 40 + kernel_table.CLOSE + 1)])[2:]
    assert of_float.startswith("| `first<T>` | float | 40 |") and of_double.startswith("| `first<T>` | double | 57 |")
    (both,) = kernel_table.table([first("f", 40), first("d", 40 + kernel_table.CLOSE)])[2:]
    assert both.startswith("| `first<T>` | double, float | 40-56 |")
