"""What ptxas says of a kernel: registers, shared memory, stack and spills."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True)
class Resources:
    kernel: str
    """The mangled name."""
    architecture: str
    registers: int
    shared: int
    """Bytes of shared memory that are known when compiling."""
    stack: int
    """Bytes of local memory of a thread."""
    spilled: int
    """Bytes of registers that are stored to local memory and loaded from it."""


def resources(log: str) -> list[Resources]:
    """Of each kernel, in the order of the log."""
    found = []
    for entry in re.split(r"Compiling entry function ", log)[1:]:
        name, architecture = re.match(r"'(\w+)' for '(\w+)'", entry).groups()

        def number(pattern: str, entry: str = entry) -> int:
            return sum(map(int, re.findall(pattern, entry)))

        registers = int(re.search(r"Used (\d+) registers", entry)[1])
        shared = number(r"(\d+) bytes smem")
        stack = max(number(r"(\d+) bytes stack frame"), number(r"(\d+) bytes cumulative stack size"))
        spilled = number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads")
        found.append(Resources(name, architecture, registers, shared, stack, spilled))
    return found


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
