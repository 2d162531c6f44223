"""Machine code: what a listing says, the ways through a kernel, and the cycles by the control codes.

``dot_sm90.sass`` is what nvdisasm prints of a loop that adds up ``a[i] * exp(b[i])``.
"""

from pathlib import Path

import pytest

from bench.measure.kernel_model import resident_warps
from bench.measure.sass import hot_loops
from bench.measure.sass.cycles import IN_L2, IN_MEMORY, simulate
from bench.measure.sass.flow import Flow
from bench.measure.sass.hot_loops import HotLoop, Meet, loads_in_flight
from bench.measure.sass.listing import Control, Instruction, Kernel, parse
from bench.measure.sass.ptxas import Resources
from bench.measure.sass.ways import Ways, whole_kernel

DOT = (Path(__file__).parent / "dot_sm90.sass").read_text()


def kernel(text: str) -> Kernel:
    """A kernel from lines ``[label:] [@predicate] opcode operands``, each with a stall of 1."""
    made = Kernel("k")
    for line in text.strip().splitlines():
        label, _, code = line.rpartition(":")
        address = 16 * len(made.instructions)
        if label:
            made.labels[label.strip()] = address
        words = code.split()
        predicate = words.pop(0) if words[0].startswith("@") else ""
        control = Control(1, 7, 7, ())
        made.instructions.append(Instruction(address, predicate, words[0], " ".join(words[1:]), control, ()))
    return made


def opcodes(way: list[Instruction]) -> str:
    return " ".join(i.opcode for i in way)


def test_a_listing_has_instructions_control_codes_and_source_lines():
    (dot,) = parse(DOT)
    assert (dot.name, len(dot.instructions), dot.labels[".L_x_2"]) == ("_Z3dotPKfS0_iPf", 40, 0x120)
    by_address = {i.address: i for i in dot.instructions}
    first_load, second_load, product = by_address[0x140], by_address[0x170], by_address[0x1E0]
    assert str(first_load) == "LDG.E R0, desc[UR4][R4.64]" and first_load.lines == (("/tiny.cu", 5),)
    assert first_load.control == Control(2, write_barrier=2, read_barrier=0, wait=())
    assert second_load.control == Control(1, write_barrier=3, read_barrier=7, wait=())
    assert product.control == Control(5, write_barrier=7, read_barrier=7, wait=(2,))
    assert by_address[0x200].predicate == "@!P0"
    assert parse(DOT, pattern="another") == []


def test_a_loop_is_found_with_its_instructions_and_loads_in_flight():
    flow = Flow(parse(DOT)[0])
    (loop,) = flow.loops
    way = Ways(flow, loop).longest()
    assert (loop.header, len(way), way[-1].opcode) == (0x120, 19, "BRA")
    assert loads_in_flight(way) == 2
    whole = Ways(flow, whole_kernel(flow))
    assert len(whole.shortest()) == 9 + 3 and len(whole.longest()) == 40


def test_cycles_are_stalls_and_the_longest_latency_waited_for():
    flow = Flow(parse(DOT)[0])
    way = Ways(flow, flow.loops[0]).longest()
    near, far = simulate(way, IN_L2, times=3), simulate(way, IN_MEMORY, times=3)
    assert far.total - near.total == IN_MEMORY - IN_L2
    assert near.total == sum(i.control.stall for i in way) + sum(near.waited.values())
    assert set(near.waited) == {"LDG", "operands of LDG", "MUFU"}


def test_instructions_of_one_unit_wait_for_each_other():
    code = kernel("MUFU.EX2 R0\nMUFU.EX2 R1\nFADD R2").instructions
    assert simulate(code).total == 8 + 1 + 1


def test_a_branch_makes_a_longest_and_a_shortest_way():
    flow = Flow(kernel("A: FADD\n@P0 BRA `(C)\nFMUL\nC: @P1 BRA `(A)\nEXIT"))
    ways = Ways(flow, flow.loops[0])
    assert (opcodes(ways.longest()), opcodes(ways.shortest())) == ("FADD BRA FMUL BRA", "FADD BRA BRA")


def test_a_slow_path_is_avoided_unless_there_is_no_other_way():
    flow = Flow(kernel("A: FADD\n@P0 BRA `(C)\nCALL.REL.NOINC `(F)\nFMUL\nC: @P1 BRA `(A)\nEXIT\nF: DADD\nRET"))
    assert opcodes(Ways(flow, flow.loops[0]).longest()) == "FADD BRA BRA"
    flow = Flow(kernel("A: FADD\nCALL.REL.NOINC `(F)\nFMUL\n@P1 BRA `(A)\nEXIT\nF: DADD\nRET"))
    assert opcodes(Ways(flow, flow.loops[0]).longest()) == "FADD CALL.REL.NOINC DADD RET FMUL BRA"


def test_code_for_a_diverged_warp_is_avoided():
    text = "A: FADD\nBRA.DIV ~URZ, `(C)\nB: FMUL\n@P1 BRA `(A)\nEXIT\nC: WARPSYNC R1\nSHFL\nBRA `(B)"
    flow = Flow(kernel(text))
    assert opcodes(Ways(flow, flow.loops[0]).longest()) == "FADD BRA.DIV FMUL BRA"


def test_markers_count_the_trips_of_an_inner_loop():
    flow = Flow(kernel("A: FADD\nB: FMUL\n@P0 BRA `(B)\n@P1 BRA `(A)\nEXIT"))
    loop = flow.loops[0]
    marker = {"FMUL": 0}.get
    for trips in (1, 3):
        way = Ways(flow, loop, lambda i: marker(i.opcode), (trips,)).longest()
        assert opcodes(way) == "FADD" + " FMUL BRA" * trips + " BRA"
    assert opcodes(Ways(flow, loop).longest()) == "FADD FMUL BRA BRA"
    with pytest.raises(LookupError, match="no way round"):
        Ways(flow, loop, lambda i: marker(i.opcode), (0,)).longest()


def test_a_loop_is_named_by_a_source_line(monkeypatch):
    source = [
        "dot(a, b, n, out) {",
        "sum = 0;",
        "#pragma unroll 1",
        "for (i)",
        "sum += a[i] * exp(b[i]);",
        "}",
        "*out = sum;",
    ]
    monkeypatch.setattr(hot_loops, "source_lines", lambda file: source if file == "/tiny.cu" else [])
    flow = Flow(parse(DOT)[0])
    product = HotLoop(("sum += a[i]",), (Meet("sum += a[i]", "MUFU", 1),))
    assert hot_loops.find_loop(flow, product.holds).header == 0x120
    assert len(hot_loops.usual_way(flow, product)) == 19
    assert len(hot_loops.straight_way(flow, [product])) == 40
    with pytest.raises(LookupError, match="no loop with the source lines"):
        hot_loops.find_loop(flow, ("sum += a[i]", "*out = sum"))
    with pytest.raises(LookupError, match="no way round"):
        hot_loops.usual_way(flow, HotLoop(("sum += a[i]",), (Meet("sum += a[i]", "MUFU", 2),)))


def test_registers_threads_and_shared_memory_limit_the_resident_warps():
    def resources(registers: int, shared: int) -> Resources:
        return Resources("k", "sm_90", registers, shared, 0, 0)

    assert resident_warps(resources(32, 0), 128) == 132 * 64
    assert resident_warps(resources(33, 0), 128) == 132 * 4 * (65536 // (40 * 128))
    assert resident_warps(resources(32, 100_000), 128) == 132 * 4 * 2
