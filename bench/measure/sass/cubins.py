"""Compiles the CUDA sources to cubins, one architecture at a time, with the flags of CMakeLists.txt.

Line information is added: it changes no instruction. A cubin in ``build/cubins/<arch>`` is compiled again only when a
file that it was made of, or the command, has changed.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.paths import ROOT

FOLDER = ROOT / "build" / "cubins"
OF_OBJECT = re.compile(r"^(-o|-c|-x|-MF|-MT|--generate-code=.*|-gencode.*|-arch=.*|-MD|.*\.cu|.*\.o|.*\.d|cu)$")


@dataclass(frozen=True)
class Cubin:
    path: Path
    log: str
    """What ptxas said of each kernel."""


def tool(name: str) -> str | None:
    """A program of the path or of the running Python's environment."""
    return shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))


def have_compiler() -> bool:
    return all(tool(name) for name in ("nvcc", "cmake", "ninja"))


def architectures() -> list[int]:
    """Those that CMakeLists.txt compiles for."""
    compile_commands()
    cache = (FOLDER / "cmake" / "CMakeCache.txt").read_text()
    return [int(x) for x in re.findall(r"\d+", re.search(r"^COLAD_CUDA_ARCHS:\w+=(.*)", cache, re.MULTILINE)[1])]


def sources() -> list[Path]:
    return sorted(ROOT.glob("csrc/ops/*/*_cuda.cu"))


def compile_cubins(files: list[Path], arch: int = 90, jobs: int = 2) -> dict[Path, Cubin]:
    """The cubin of each source for ``sm_<arch>``."""
    commands = compile_commands()
    with ThreadPoolExecutor(jobs) as pool:
        cubins = pool.map(lambda source: compile_cubin(source, commands[source], arch), files)
        return dict(zip(files, cubins))


def compile_cubin(source: Path, flags: list[str], arch: int) -> Cubin:
    folder = FOLDER / f"sm_{arch}"
    folder.mkdir(parents=True, exist_ok=True)
    cubin, made_of, log, words = (folder / f"{source.stem}.{end}" for end in ("cubin", "d", "log", "command"))
    command = [*flags, "-lineinfo", "-cubin", f"-arch=sm_{arch}", "-MD", "-MF", str(made_of), "-o", str(cubin)]
    command.append(str(source))
    if not is_fresh(cubin, made_of, words, command):
        words.unlink(missing_ok=True)
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0:
            raise SystemExit(result.stdout + result.stderr)
        log.write_text(result.stdout + result.stderr)
        words.write_text(shlex.join(command))
    return Cubin(cubin, log.read_text())


def is_fresh(cubin: Path, made_of: Path, words: Path, command: list[str]) -> bool:
    if not (cubin.is_file() and made_of.is_file() and words.is_file()) or words.read_text() != shlex.join(command):
        return False
    made = cubin.stat().st_mtime_ns
    files = [Path(name) for name in made_of.read_text().partition(":")[2].replace("\\\n", " ").split()]
    return all(path.is_file() and path.stat().st_mtime_ns < made for path in files)


def compile_commands() -> dict[Path, list[str]]:
    """The compiler and the flags of each CUDA source, without those that say what to make for which architecture."""
    torch = Path(importlib.util.find_spec("torch").origin).parent
    folder = FOLDER / "cmake"
    database = folder / "compile_commands.json"
    description = ROOT / "CMakeLists.txt"
    if not database.is_file() or database.stat().st_mtime_ns < description.stat().st_mtime_ns:
        options = ["-DCOLAD_CUDA=ON", f"-DTORCH_DIRECTORY={torch}", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"]
        command = [tool("cmake"), "-S", ROOT, "-B", folder, "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}"]
        result = subprocess.run([*command, *options], capture_output=True, text=True)
        if result.returncode != 0:
            raise SystemExit(result.stdout + result.stderr)
        database.touch()
    return {
        Path(entry["file"]): [word for word in shlex.split(entry["command"]) if not OF_OBJECT.match(word)]
        for entry in json.loads(database.read_text())
        if entry["file"].endswith(".cu")
    }
