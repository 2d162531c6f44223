"""Builds libraries with other values of the constants that the sources call "not tuned".

``python -m gpu_checks.variants [--arch 90]``

It needs an nvcc and no GPU. The libraries go into one archive, which ``bash gpu_checks/run.sh sweep`` reads. Each has
code for one architecture. A value that does not compile is named in the list of the archive.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from bench.paths import ROOT
from bench.report.csv_files import commit

FOLDER, ARCHIVE = ROOT / "build" / "variants", ROOT / "build" / "variants.tar.xz"
LIST = "variants.json"  # in the archive
LIBRARY = "libcolad_ops.so"
BASE = "base.so"  # the library of the sources as they are
CONSTANT = re.compile(r"^constexpr \w+ (k\w+) = (\d+);")
NOT_TUNED = "not tuned"
PRESET = 7  # a window of 16 MB: what a library has in common with the one before it is stored once
WARP, LARGEST = 32, 1024  # threads of a block


@dataclass(frozen=True)
class Constant:
    path: str
    """From the root of the source tree."""
    line: int
    name: str
    value: int

    def values(self) -> list[int]:
        """A quarter, half, twice and four times the value. What may be the size of a block stays one."""
        values = [self.value // 4, self.value // 2, 2 * self.value, 4 * self.value]
        return [v for v in values if (WARP if self.value >= WARP else 1) <= v <= LARGEST]

    def patched(self, text: str, value: int) -> str:
        lines = text.splitlines(keepends=True)
        lines[self.line] = lines[self.line].replace(f" = {self.value};", f" = {value};", 1)
        return "".join(lines)


def constants_of(path: str, text: str, blocks: bool = False) -> Iterator[Constant]:
    """The constants whose comment, on their line or above it, says that they are not tuned; with ``blocks`` also all
    sizes of blocks."""
    comment = ""
    for number, line in enumerate(text.splitlines()):
        found = CONSTANT.match(line)
        if found and (NOT_TUNED in comment + line or (blocks and found[1].endswith("Block"))):
            yield Constant(path, number, found[1], int(found[2]))
        comment = comment + line if line.startswith("//") else ""


def all_constants(blocks: bool = False) -> list[Constant]:
    paths = sorted(p for p in (ROOT / "csrc").rglob("*") if p.suffix in (".cu", ".cuh", ".h"))
    return [c for p in paths for c in constants_of(str(p.relative_to(ROOT)), p.read_text(), blocks)]


class Builder:
    """Builds a copy of the sources; only what a changed constant concerns is compiled again."""

    def __init__(self, folder: Path, cmake_options: list[str]) -> None:
        self.source, self.build = folder / "source", folder / "build"
        shutil.rmtree(self.source, ignore_errors=True)
        shutil.copytree(ROOT / "csrc", self.source / "csrc")
        shutil.copy2(ROOT / "CMakeLists.txt", self.source)
        tools = Path(sys.executable).parent
        self.cmake = shutil.which("cmake", path=str(tools)) or "cmake"
        torch = Path(find_spec("torch").origin).parent
        self.call([
            self.cmake, "-S", self.source, "-B", self.build, "-G", "Ninja", f"-DTORCH_DIRECTORY={torch}",
            f"-DCMAKE_MAKE_PROGRAM={shutil.which('ninja', path=str(tools)) or 'ninja'}", "-DCOLAD_VERSION=variant",
            *cmake_options,
        ])  # fmt: skip

    def call(self, command: list) -> str:
        """The empty string, or why the command failed."""
        ended = subprocess.run([*map(str, command)], capture_output=True, text=True)
        errors = re.findall(r"^.*\berror\b.*$", ended.stdout + ended.stderr, re.MULTILINE)
        return "" if ended.returncode == 0 else (errors or ["failed"])[0]

    def library(self) -> tuple[Path, str]:
        return self.build / LIBRARY, self.call([self.cmake, "--build", self.build])

    def variant(self, constant: Constant, value: int) -> tuple[Path, str]:
        path = self.source / constant.path
        before = path.read_text()
        path.write_text(constant.patched(before, value))
        try:
            return self.library()
        finally:
            path.write_text(before)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m gpu_checks.variants", description=__doc__)
    parser.add_argument("--arch", default="90", help="architecture of the card; default: %(default)s")
    parser.add_argument("--cuda", default="ON", choices=["ON", "OFF"], help="OFF: without CUDA, to try the command")
    parser.add_argument("--blocks", action="store_true", help="also every other constant whose name ends with Block")
    parser.add_argument("--only", default="", help="only constants whose path or name contains this")
    parser.add_argument("--output", type=Path, default=ARCHIVE, help="default: build/variants.tar.xz")
    options = parser.parse_args(arguments)
    constants = [c for c in all_constants(options.blocks) if options.only in f"{c.path}:{c.name}"]
    builder = Builder(FOLDER, [f"-DCOLAD_CUDA={options.cuda}", f"-DCOLAD_CUDA_ARCHS={options.arch}"])
    options.output.parent.mkdir(parents=True, exist_ok=True)
    unfinished = options.output.with_suffix(".part")
    with tarfile.open(unfinished, "w:xz", preset=PRESET) as file:
        library, error = builder.library()
        if error:
            print(f"the sources as they are do not compile: {error}", file=sys.stderr)
            return 1
        file.add(library, BASE)
        entries = []
        for constant in constants:
            for value in constant.values():
                library, error = builder.variant(constant, value)
                name = f"{Path(constant.path).name}.{constant.name}.{value}.so"
                entries.append({**asdict(constant), "tried": value, "file": name, "error": error})
                print(f"{constant.path}: {constant.name} = {value}: {error or name}", flush=True)
                if not error:
                    file.add(library, name)
        text = json.dumps({"commit": commit(), "arch": options.arch, "variants": entries}, indent=1).encode()
        about = tarfile.TarInfo(LIST)
        about.size = len(text)
        file.addfile(about, io.BytesIO(text))
    unfinished.rename(options.output)
    print(f"{len(constants)} constants, {len(entries)} variants in {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
