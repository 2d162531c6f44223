"""Prints the loops of kernels in machine code: ``python -m bench.report.sass_loops gmm_em --kernel kernelIfE``.

For each loop: the source line of its header, and of the shortest and the longest way round it the instructions, the
cycles of one warp alone (bench/measure/sass/cycles.py) and the loads in flight. ``--holds TEXT`` takes the smallest
loop with such a source line; ``--meets 'TEXT;OPCODE;TIMES'`` and ``--never TEXT`` choose the way round it
(bench/measure/sass/hot_loops.py); ``--listing`` prints the longest way.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from bench.measure.sass.cubins import compile_cubins
from bench.measure.sass.cycles import IN_L2
from bench.measure.sass.flow import Flow
from bench.measure.sass.hot_loops import HotLoop, Meet, figures, source_lines, ways_round
from bench.measure.sass.listing import disassemble
from bench.measure.sass.ptxas import demangle
from bench.measure.sass.ways import Ways
from bench.paths import ROOT


def describe(ways: Ways, load_latency: int, listing: bool) -> None:
    header = ways.blocks[ways.loop.header].instructions[0]
    where = " < ".join(f"{Path(file).name}:{line}" for file, line in header.lines)
    longest = ways.longest()
    cells = []
    for name, way in (("shortest", ways.shortest()), ("longest", longest)):
        f = figures(way, load_latency)
        waits = ", ".join(f"{kind} {cycles}" for kind, cycles in sorted(f.waited.items(), key=lambda x: -x[1]))
        cells.append(f"{name}: {f.instructions} instructions, {f.cycles} cycles, {f.loads} loads in flight ({waits})")
    print(f"  loop {header.address:#x}, {len(ways.loop.body)} blocks, {where}\n    " + "\n    ".join(cells))
    for i in longest if listing else []:
        c = i.control
        file, line = i.lines[0] if i.lines else ("", 0)
        text = source_lines(file)[line - 1].strip() if 0 < line <= len(source_lines(file)) else Path(file).name
        waits = "".join(map(str, c.wait))
        print(
            f"    {i.address:5x} stall {c.stall:2} w{c.write_barrier} r{c.read_barrier} wait {waits:6} {i!s:70} {text}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ops", nargs="+", help="folders of csrc/ops")
    parser.add_argument("--kernel", default="", help="pattern of the mangled name")
    parser.add_argument("--arch", type=int, default=90)
    parser.add_argument("--loads", type=int, default=IN_L2, help="cycles of a load: 40, 280, 690 from L1, L2, memory")
    parser.add_argument("--holds", action="append", default=[])
    parser.add_argument("--meets", action="append", default=[])
    parser.add_argument("--never", action="append", default=[])
    parser.add_argument("--listing", action="store_true")
    arguments = parser.parse_args()
    files = [ROOT / "csrc" / "ops" / op / f"{op}_cuda.cu" for op in arguments.ops]
    meets = [Meet(text, opcode, int(times)) for text, opcode, times in (x.split(";") for x in arguments.meets)]
    for cubin in compile_cubins(files, arguments.arch).values():
        for kernel in disassemble(cubin.path):
            if not re.search(arguments.kernel, kernel.name):
                continue
            said = re.search(rf"Function properties for {re.escape(kernel.name)}\n(.*)\n.*?: (.*)", cubin.log)
            print(demangle([kernel.name])[kernel.name], kernel.name)
            print(f"  {len(kernel.instructions)} instructions; {said[1].strip()}; {said[2]}" if said else "")
            flow = Flow(kernel)
            if arguments.holds:
                hot = HotLoop(tuple(arguments.holds), tuple(meets), tuple(arguments.never))
                describe(ways_round(flow, hot), arguments.loads, arguments.listing)
            else:
                for loop in flow.loops:
                    if len(flow.instructions(loop)) > 1:
                        describe(Ways(flow, loop), arguments.loads, arguments.listing)


if __name__ == "__main__":
    main()
