"""Would the tests in the emulator detect a missing barrier? In a copy of the sources, each barrier, fence, mask and
atomic operation of the kernels is broken, one at a time. The kernels then run all cases, and a table shows the check
that detects each fault. This takes minutes, so it is not a test: ``python -m python_tests.simt.mutations --only FILE``.

A barrier, a fence or the wait of a dependent launch is removed, a mask loses the last lane that it names, an atomic
operation becomes a load and a store.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from python_tests import simt
from python_tests.simt.comparison import OPERATORS, assert_kernels_equal_the_cpu, name_of

SOURCES = ("ops/*/*.cu*", "common/*.cuh")
TIMEOUT = 300  # seconds for all cases of one mutation
# A statement of its own, such as __syncthreads() or __syncwarp(mask).
BARRIER = re.compile(
    r"\b(?:__sync(?:threads|warp)|__threadfence(?:_block)?|cudaGridDependencySynchronize|wait_for_previous_kernel)"
    r"\s*\([^;()]*\)(?=\s*;)"
)
# The first argument of __shfl_sync and its like.
COLLECTIVE = re.compile(r"\b__\w+_sync\s*\(\s*")
MASK_NAME = re.compile(r"\bkFullMask\b")
LACKS_A_LANE = "0x7fffffffu"
NOT_ATOMIC = "([](auto* a, auto v) {{ auto old = *a; *a = {}; return old; }})"
ATOMICS = {
    name: NOT_ATOMIC.format(changed)
    for name, changed in {
        "atomicAdd": "old + v",
        "atomicSub": "old - v",
        "atomicMax": "old < v ? v : old",
        "atomicMin": "v < old ? v : old",
        "atomicAnd": "old & v",
        "atomicOr": "old | v",
        "atomicXor": "old ^ v",
        "atomicExch": "v",
        "atomicInc": "old >= v ? 0 : old + 1",
        "atomicDec": "old == 0 || old > v ? v : old - 1",
    }.items()
}
ATOMICS["atomicCAS"] = "([](auto* a, auto e, auto v) { auto old = *a; *a = old == e ? v : old; return old; })"


@dataclass(frozen=True)
class Mutation:
    file: Path
    begin: int
    end: int
    text: str
    """The text that replaces begin..end."""

    def line(self) -> int:
        return self.file.read_text().count("\n", 0, self.begin) + 1

    def describe(self) -> str:
        taken = self.file.read_text()[self.begin : self.end]
        if not self.text:
            return f"without `{taken}`"
        return f"`{taken}` not atomic" if taken in ATOMICS else f"`{taken}` as `{self.text}`"

    def apply(self) -> None:
        text = self.file.read_text()
        self.file.write_text(text[: self.begin] + self.text + text[self.end :])


def without_comments(source: str) -> str:
    """The same text with blanks instead of comments, so that all positions stay the same."""
    return re.sub(r"//[^\n]*|/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m[0]), source, flags=re.DOTALL)


def first_argument(code: str, begin: int) -> int:
    """End position of the argument that begins here."""
    depth = 0
    for end in range(begin, len(code)):
        if depth == 0 and code[end] in ",)":
            return end
        depth += (code[end] in "([{") - (code[end] in ")]}")
    raise ValueError("a call without an end")


def mutations_of(file: Path) -> Iterator[Mutation]:
    code = without_comments(file.read_text())
    for match in BARRIER.finditer(code):
        yield Mutation(file, match.start(), match.end(), "")
    masks = {(match.end(), first_argument(code, match.end())) for match in COLLECTIVE.finditer(code)}
    definition = re.compile(r"\bconstexpr\b[^;=]*$")  # of the mask itself
    for match in MASK_NAME.finditer(code):
        inside = any(begin <= match.start() < end for begin, end in masks)
        if not inside and not definition.search(code[: match.start()].rsplit("\n", 1)[-1]):
            masks.add(match.span())
    for begin, end in sorted(masks):
        text = LACKS_A_LANE if code[begin:end] == "kFullMask" else f"({code[begin:end]}) & {LACKS_A_LANE}"
        yield Mutation(file, begin, end, text)
    for match in re.finditer(r"\batomic[A-Z]\w*(?=\s*\()", code):
        yield Mutation(file, match.start(), match.end(), ATOMICS[match[0]])


def try_library(library: Path, seeds: int) -> dict[str, str]:
    """The first message of each operator that fails. It runs in its own process, because a mutation may crash it."""
    device = simt.Device(library)
    for operator in OPERATORS:
        name = name_of(operator)
        print(json.dumps({name: "crashed"}), flush=True)
        try:
            assert_kernels_equal_the_cpu(operator, device, range(seeds))
            message = ""
        except Exception as error:
            message = " ".join(str(error).split())
        print(json.dumps({name: message}), flush=True)


def caught_by(library: Path, seeds: int) -> dict[str, str]:
    module = "python_tests.simt.mutations"
    command = [sys.executable, "-m", module, "--try-library", str(library), "--seeds", str(seeds)]
    with tempfile.TemporaryFile("w+") as output:
        try:
            subprocess.run(command, cwd=simt.REPOSITORY, stdout=output, timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            print("timed out", file=sys.stderr)
        output.seek(0)
        found: dict[str, str] = {}
        for line in output:
            found |= json.loads(line)
    if not found:
        raise RuntimeError(f"no operator could be tried: {' '.join(command)}")
    return {name: message for name, message in found.items() if message}


def shorten(message: str, folder: Path) -> str:
    message = message.replace(f"{folder}/", "").replace("|", "\\|")
    return message if len(message) < 240 else message[:240] + " ..."


def try_mutation(mutation: Mutation, base: Path, seeds: int) -> dict[str, str]:
    """``base`` is the folder with the copy of the sources and their build."""
    folder = base / "mutated"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base / "build", folder)  # keeps file times, so that only files that include this one are compiled
    right, time = mutation.file.read_text(), mutation.file.stat().st_mtime_ns
    mutation.apply()
    try:
        return caught_by(simt.build(base / "csrc", folder), seeds)
    except simt.DoesNotCompile as error:
        return {"the compiler": str(error)}
    finally:
        mutation.file.write_text(right)
        os.utime(mutation.file, ns=(time, time))


def run(base: Path, seeds: int, only: str) -> list[str]:
    csrc = base / "csrc"
    shutil.copytree(simt.CSRC, csrc)
    if failing := caught_by(simt.build(csrc, base / "build"), seeds):
        raise RuntimeError(f"these fail without any mutation: {failing}")
    files = [file for pattern in SOURCES for file in sorted(csrc.glob(pattern))]
    rows = []
    for mutation in (mutation for file in files for mutation in mutations_of(file)):
        place = f"{mutation.file.relative_to(csrc)}:{mutation.line()}"
        if not re.search(only, place):
            continue
        what = mutation.describe()
        caught = try_mutation(mutation, base, seeds)
        by = ", ".join(caught) or "**SURVIVED**"
        message = shorten(next(iter(caught.values()), ""), base / "csrc")
        rows.append(f"| {place} | {what} | {by} | {message} |")
        print(f"{place}: {what}: {by}: {message}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4, help="orders of the threads (default: 4)")
    parser.add_argument("--only", default="", help="a regular expression for file:line")
    parser.add_argument("--try-library", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.try_library:
        try_library(args.try_library, args.seeds)
        return
    with tempfile.TemporaryDirectory() as folder:
        rows = run(Path(folder), args.seeds, args.only)
    print("\n| where | mutation | caught by | what it says first |\n|---|---|---|---|")
    print("\n".join(rows))
    survived = sum("SURVIVED" in row for row in rows)
    print(f"\n{len(rows)} mutations, {survived} survived, {args.seeds} orders of the threads each.")


if __name__ == "__main__":
    main()
