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

# The last two are not part of "undefined". Every division whose denominator can be 0 is guarded, so a division by 0 is
# an error in a formula. A floating-point number outside the range of the integer is always an error.
SANITIZERS = "address,undefined,float-cast-overflow,float-divide-by-zero"

ASAN_OPTIONS = {
    "detect_leaks": 0,  # the interpreter and torch do not free all memory before the process ends
    "abort_on_error": 1,  # a signal instead of an exit, so that pytest reports the test
    "detect_stack_use_after_return": 1,
    "max_malloc_fill_size": 1 << 30,  # uninitialised memory is not zero, so reading it makes a test fail
}
UBSAN_OPTIONS = {"abort_on_error": 1, "print_stacktrace": 1}


def build(source: Path, folder: Path) -> Path:
    """Builds the sanitized library of the source tree ``source`` in ``folder``. Recompiles only for newer sources."""
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
        # Python is not linked with the sanitizers, so their libraries have to be loaded first. libstdc++ is loaded with
        # them, because AddressSanitizer looks up the function that throws exceptions when it starts.
        "LD_PRELOAD": " ".join(_runtime(name) for name in ("libasan.so", "libubsan.so", "libstdc++.so")),
        "ASAN_OPTIONS": _joined(ASAN_OPTIONS),
        "UBSAN_OPTIONS": _joined(UBSAN_OPTIONS),
        "OMP_NUM_THREADS": "2",  # the tests themselves go from this to 1
    }
    # The sanitizer writes its report to the file descriptor of stderr, so pytest must not redirect it.
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
