"""Which lines of the kernels does no case reach? ``python -m python_tests.simt.reached_lines`` runs all cases, with
grids of 3 blocks and with grids as on a card, and prints the lines. A line counts as reached if it is in one instance
of a template. Some lines are there for data that no case has, such as wrong offsets.

gcc calls a function at the start of each basic block; ``instrumentation.cpp`` notes where from."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from python_tests import simt
from python_tests.simt.comparison import OPERATORS, assert_kernels_equal_the_cpu

SITE = re.compile(r"call\s+[0-9a-f]+ <__sanitizer_cov_trace_pc>\n\s*([0-9a-f]+):")
FUNCTION = re.compile(r"^[0-9a-f]+ <([^>]+)>:$", re.MULTILINE)


def _sites(library: Path) -> list[list[int]]:
    """Of each function: where its basic blocks begin."""
    listing = ["objdump", "-d", "--no-show-raw-insn", "--section=.text", str(library)]
    text = subprocess.run(listing, capture_output=True, text=True, check=True).stdout
    return [[int(site, 16) for site in SITE.findall(body)] for body in FUNCTION.split(text)[2::2]]


def _lines(library: Path, sites: list[int]) -> dict[int, list[tuple[Path, int]]]:
    """Files and lines of each site in the kernels' sources: where it is, then where that function was inlined."""
    addresses = "\n".join(hex(site - 1) for site in sites)  # in the call, not after it
    command = ["addr2line", "-a", "-i", "-e", str(library)]
    text = subprocess.run(command, input=addresses, capture_output=True, text=True, check=True).stdout
    found = {}
    for site, places in zip(sites, re.split(r"^0x[0-9a-f]+\n", text, flags=re.MULTILINE)[1:], strict=True):
        lines = [(Path(file).resolve(), int(line)) for file, line in re.findall(r"^(.+?):(\d+)", places, re.MULTILINE)]
        found[site] = [(file, line) for file, line in lines if simt.CSRC in file.parents]
    return found


def unreached_lines(device: simt.Device) -> list[str]:
    """``file:line: text`` of the lines in functions that ran in a kernel, none of whose blocks ran."""
    in_kernels = [sites for sites in _sites(device.library) if any(map(device.has_reached, sites))]
    places = _lines(device.library, [site for sites in in_kernels for site in sites])
    reached = {line for site, lines in places.items() if device.has_reached(site) for line in lines}
    missing = {lines[0] for lines in places.values() if lines} - reached
    texts = [(file, line, file.read_text().splitlines()[line - 1].strip()) for file, line in sorted(missing)]
    return [f"{file.relative_to(simt.CSRC)}:{line}: {text}" for file, line, text in texts if re.search(r"\w", text)]


def main() -> None:
    folder = simt.REPOSITORY / "build" / "simt_reached"
    device = simt.Device(simt.build(folder=folder, flags_of_kernels=["-fsanitize-coverage=trace-pc"]))
    for operator in OPERATORS:
        assert_kernels_equal_the_cpu(operator, device, seeds=range(2))
    print("\n".join(unreached_lines(device)))


if __name__ == "__main__":
    main()
