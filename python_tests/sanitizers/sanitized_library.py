"""Builds the library's CPU code with AddressSanitizer and UndefinedBehaviorSanitizer (gcc) and runs tests with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "asan"

# The last two are not part of "undefined". Every division is guarded where its denominator can be 0, so one by 0 is an
# error of the formula; a floating-point number that no integer can hold is an error anyway.
SANITIZERS = "address,undefined,float-cast-overflow,float-divide-by-zero"

ASAN_OPTIONS = {
    "detect_leaks": 0,  # the interpreter and torch keep memory until the process ends
    "abort_on_error": 1,  # a signal instead of an exit: pytest then says in which test
    "detect_stack_use_after_return": 1,
    "max_malloc_fill_size": 1 << 30,  # memory that nobody wrote holds no zeros: reading it makes a test fail
}
UBSAN_OPTIONS = {"abort_on_error": 1, "print_stacktrace": 1}


def build(source: Path, folder: Path) -> Path:
    """The sanitized library of the source tree ``source``, built in ``folder`` (again only where a source is newer)."""
    beside_python = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    cmake, ninja = (shutil.which(tool, path=beside_python) or tool for tool in ("cmake", "ninja"))
    subprocess.run(
        [
            cmake, "-S", source, "-B", folder, "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}",
            "-DCOLAD_CUDA=OFF", f"-DCOLAD_SANITIZE={SANITIZERS}",
            f"-DTORCH_DIRECTORY={Path(torch.__file__).parent}",
        ],
        check=True, stdout=subprocess.DEVNULL, env=os.environ | {"CXX": "g++"},
    )  # fmt: skip
    subprocess.run([cmake, "--build", folder], check=True)
    return folder / "libcolad_ops.so"


def run_tests(library: Path, files: Iterable[Path], *options: str, **subprocess_options) -> subprocess.CompletedProcess:
    """Runs pytest on ``files`` with ``library`` in place of the installed one."""
    environment = os.environ | {
        "COLAD_LIBRARY": str(library),
        # Python was not linked with a sanitizer, so theirs has to be loaded before everything else; with libstdc++,
        # because AddressSanitizer looks up how exceptions are thrown when it starts.
        "LD_PRELOAD": " ".join(_runtime(name) for name in ("libasan.so", "libubsan.so", "libstdc++.so")),
        "ASAN_OPTIONS": _joined(ASAN_OPTIONS),
        "UBSAN_OPTIONS": _joined(UBSAN_OPTIONS),
        "OMP_NUM_THREADS": "2",  # the tests themselves go from this to 1
    }
    # Reports are written to the file descriptor of stderr while the process dies: pytest must not have redirected it.
    command = [sys.executable, "-m", "pytest", "-q", "--capture=sys", *options, *map(str, files)]
    return subprocess.run(command, cwd=ROOT, env=environment, **subprocess_options)


def _runtime(name: str) -> str:
    path = subprocess.run(
        ["g++", f"-print-file-name={name}"], check=True, capture_output=True, text=True
    ).stdout.strip()
    if not Path(path).is_absolute():
        raise RuntimeError(f"g++ has no {name}: install the sanitizer libraries of its version (libasan, libubsan)")
    return path


def _joined(options: dict[str, int]) -> str:
    return ":".join(f"{name}={value}" for name, value in options.items())
