"""The machine code of a cubin: kernels, their instructions, control codes and source lines, as nvdisasm prints them.

From sm_70 on an instruction has 128 bits. Bits 105 to 125 are its control code, which the compiler writes: for how many
cycles the warp waits before its next instruction, which of six barriers the instruction releases when its result or its
operands are done, and which barriers it waits for.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

NO_BARRIER = 7


@dataclass(frozen=True)
class Control:
    stall: int
    """Cycles from this instruction to the next one of the warp, at least."""
    write_barrier: int
    """Barrier that is released when the result is there, or ``NO_BARRIER``."""
    read_barrier: int
    """Barrier that is released when the operands have been read, or ``NO_BARRIER``."""
    wait: tuple[int, ...]
    """Barriers that have to be free before this instruction is issued."""


@dataclass(frozen=True)
class Instruction:
    address: int
    predicate: str
    opcode: str
    operands: str
    control: Control
    lines: tuple[tuple[str, int], ...]
    """(file, line) of the source, the innermost inlined function first."""

    @property
    def name(self) -> str:
        return self.opcode.split(".")[0]

    def __str__(self) -> str:
        return " ".join(x for x in (self.predicate, self.opcode, self.operands) if x)


@dataclass
class Kernel:
    name: str
    """The mangled name."""
    instructions: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    """Address of each label."""


def find_nvdisasm() -> str | None:
    """The disassembler in $NVDISASM, on the path, in the CUDA toolkit or in the package nvidia-cuda-nvdisasm."""
    packages = importlib.util.find_spec("nvidia")
    folders = [Path(x) for x in packages.submodule_search_locations] if packages else []
    candidates = [os.environ.get("NVDISASM"), shutil.which("nvdisasm"), "/usr/local/cuda/bin/nvdisasm"]
    candidates += [x for folder in folders for x in sorted(folder.glob("*/bin/nvdisasm"), reverse=True)]
    return next((str(x) for x in candidates if x and os.access(x, os.X_OK)), None)


def decode_control(encoding: int) -> Control:
    code = encoding >> 105
    wait = code >> 11 & 0x3F
    return Control(code & 0xF, code >> 5 & 7, code >> 8 & 7, tuple(b for b in range(6) if wait >> b & 1))


SECTION = re.compile(r"^\.text\.(\S+):")
LABEL = re.compile(r"^([.$\w]+):")
LINE = re.compile(r'"([^"]+)", line (\d+)')
INSTRUCTION = re.compile(r"^\s+/\*([0-9a-f]{4,})\*/\s+(?:(@!?U?P\w+)\s+)?([A-Z][\w.]*)\s*(.*?)\s*;\s+/\* 0x(\w+) \*/")
HIGH_WORD = re.compile(r"^\s+/\* 0x(\w+) \*/")


def disassemble(cubin: Path, pattern: str = "") -> list[Kernel]:
    """The kernels whose mangled names match. The listing is kept beside the cubin."""
    listing = cubin.with_suffix(".sass")
    if not listing.is_file() or listing.stat().st_mtime_ns < cubin.stat().st_mtime_ns:
        tool = find_nvdisasm()
        if tool is None:
            raise SystemExit("nvdisasm not found: pip install nvidia-cuda-nvdisasm, or set NVDISASM")
        result = subprocess.run([tool, "-c", "-hex", "-gi", cubin], capture_output=True, text=True)
        if result.returncode != 0:
            raise SystemExit(f"{tool} {cubin}: {result.stdout}{result.stderr}")
        listing.write_text(result.stdout)
    return parse(listing.read_text(), pattern)


def parse(listing: str, pattern: str = "") -> list[Kernel]:
    kernels: list[Kernel] = []
    wanted = False
    lines: list[tuple[str, int]] = []
    in_comment = False
    low: tuple[str, ...] = ()
    for text in listing.splitlines():
        if match := SECTION.match(text):
            wanted = bool(re.search(pattern, match[1]))
            kernels += [Kernel(match[1])] if wanted else []
            lines = []
        elif not wanted:
            continue
        elif text.startswith("\t//##"):
            # A group of comments goes with the instructions after it: the inlined line, then the lines that call it.
            lines = lines if in_comment else []
            file, line = LINE.search(text).groups()
            lines.append((file, int(line)))
            in_comment = True
        elif match := INSTRUCTION.match(text):
            low, in_comment = match.groups(default=""), False
        elif (match := HIGH_WORD.match(text)) and low:
            address, predicate, opcode, operands, word = low
            control = decode_control(int(match[1], 16) << 64 | int(word, 16))
            made = Instruction(int(address, 16), predicate, opcode, operands, control, tuple(lines))
            kernels[-1].instructions.append(made)
            low = ()
        elif match := LABEL.match(text):
            last = kernels[-1].instructions
            kernels[-1].labels[match[1]] = last[-1].address + 16 if last else 0
    return kernels
