"""Prints ptxas's report on every kernel as a table: ``python -m bench.report.ptxas_table [LOG]``.

Without a log the kernels are compiled in ``build/ptxas`` with the flags of CMakeLists.txt, which has ``-Xptxas=-v``.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

from bench.paths import ROOT

FOLDER = ROOT / "build" / "ptxas"


def build_log() -> str:
    """Compiles every CUDA source again; returns the output of the compiler."""
    torch = Path(importlib.util.find_spec("torch").origin).parent
    configure = ["cmake", "-S", ROOT, "-B", FOLDER, "-G", "Ninja", "-DCOLAD_CUDA=ON", f"-DTORCH_DIRECTORY={torch}"]
    subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)
    objects = [f"CMakeFiles/colad_ops.dir/{x.relative_to(ROOT)}.o" for x in sorted(ROOT.glob("csrc/ops/*/*_cuda.cu"))]
    build = ["cmake", "--build", FOLDER, "--clean-first", "--target", *objects]
    result = subprocess.run(build, capture_output=True, text=True)
    if result.returncode != 0:
        raise SystemExit(result.stdout + result.stderr)
    (FOLDER / "ptxas.log").write_text(result.stdout)
    return result.stdout


def short_name(demangled: str) -> str:
    """``loss_kernel<float, FocalKlAt>`` from a demangled signature: without namespaces, parameters and result type."""
    name = re.sub(r"\b(?:colad|c10|torch|headeronly)::|\(anonymous namespace\)::|_GLOBAL__N_\w*::", "", demangled)
    depth = 0
    for i, character in enumerate(name):
        depth += {"<": 1, ">": -1}.get(character, 0)
        if character == "(" and depth == 0:
            name = name[:i]
            break
    return re.sub(r"^void ", "", name)


def demangle(names: list[str]) -> dict[str, str]:
    """The demangled names; unchanged if there is no c++filt."""
    if not names or shutil.which("c++filt") is None:
        return dict(zip(names, names))
    result = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True)
    return dict(zip(names, map(short_name, result.stdout.splitlines())))


def kernels(log: str) -> list[tuple[str, str, int, int, int]]:
    """(mangled name, architecture, registers, bytes of shared memory, bytes spilled) in the order of the log."""
    found = []
    for entry in re.split(r"Compiling entry function ", log)[1:]:
        name, architecture = re.match(r"'(\w+)' for '(\w+)'", entry).groups()
        registers = int(re.search(r"Used (\d+) registers", entry)[1])
        shared = re.search(r"(\d+) bytes smem", entry)
        spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", entry)
        spilled = sum(map(int, spills.groups())) if spills else 0
        found.append((name, architecture, registers, int(shared[1]) if shared else 0, spilled))
    return found


def table(log: str) -> list[str]:
    """A Markdown table with a row for each kernel. If architectures differ, a cell has the number of each."""
    rows: dict[str, dict[str, tuple[int, int, int]]] = {}
    entries = kernels(log)
    names = demangle([name for name, *_ in entries])
    for name, architecture, *numbers in entries:
        rows.setdefault(name, {})[architecture] = tuple(numbers)
    lines = ["| kernel | arch | registers | shared bytes | spilled bytes |", "|---|---|--:|--:|--:|"]
    for name in sorted(rows, key=lambda name: names[name]):
        of_arch = rows[name]
        architectures = sorted(of_arch, key=lambda x: int(re.sub(r"\D", "", x)))
        columns = [[str(of_arch[a][i]) for a in architectures] for i in range(3)]
        cells = [c[0] if len(set(c)) == 1 else " / ".join(c) for c in columns]
        lines.append(f"| `{names[name]}` | {' / '.join(architectures)} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    print("\n".join(table(Path(sys.argv[1]).read_text() if len(sys.argv) > 1 else build_log())))
