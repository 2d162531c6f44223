"""Runs the CUDA kernels on the CPU. g++ compiles the operators' unmodified ``*_cuda.cu`` files against a small
emulator, which registers them as ``torch.ops.colad_simt``. They are built in ``build/simt`` when a source is newer.

Every CUDA thread is a fiber. The threads of a block run in a seeded random order from barrier to barrier. The kernels
are compiled with ``-fsanitize=thread``; ``memory.cpp`` replaces its run-time library and checks every load and store:

- the address lies in a tensor of the call;
- memory that is read has been written before;
- there was a barrier since another thread accessed the same memory.

``-fsanitize=alignment`` also checks the alignment that a wide load or store requires.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import inf
from pathlib import Path

import torch
from torch import Tensor

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
CSRC = REPOSITORY / "csrc"
TORCH = Path(torch.__file__).parent

FLAGS = ["-std=c++20", "-O1", "-g1", "-fPIC", "-fvisibility=hidden", "-fno-gnu-unique", "-ffp-contract=off"]
KERNEL_FLAGS = [
    "-fsanitize=thread",
    "--param=tsan-distinguish-volatile=1",
    "-fsanitize=alignment",
    "-DTORCH_TARGET_VERSION=0x020b000000000000",
    "-DTORCH_STABLE_ONLY",
]
INCLUDES = [
    f"-I{HERE / 'include'}",
    "-include",
    str(HERE / "include" / "registration.h"),
    "-isystem",
    str(TORCH / "include"),
]


class DoesNotCompile(Exception):
    """The message has the command and the output of the compiler."""


def _compile(source: Path, target: Path, flags: list[str]) -> None:
    command = [os.environ.get("CXX", "g++"), *FLAGS, *flags, "-MMD", "-x", "c++", "-c", str(source), "-o", str(target)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise DoesNotCompile(f"{' '.join(command)}\n{result.stderr}")


def _is_current(target: Path) -> bool:
    """Whether an object file is newer than all files that its compilation read, and was compiled with these flags."""
    dependencies = target.with_suffix(".d")
    if not target.is_file() or not dependencies.is_file():
        return False
    files = dependencies.read_text().replace("\\\n", " ").split(": ", 1)[1].split()
    newest = max((Path(file).stat().st_mtime if Path(file).is_file() else inf) for file in [__file__, *files])
    return newest < target.stat().st_mtime


def build(
    csrc: Path = CSRC, folder: Path = REPOSITORY / "build" / "simt", kernels: Sequence[Path] | None = None
) -> Path:
    """Compiles the files that are not current, and links. Returns the library. ``kernels``: by default all kernels."""
    folder.mkdir(parents=True, exist_ok=True)
    if kernels is None:
        kernels = [csrc / "library.cpp", *sorted(csrc.glob("ops/*/*_cuda.cu"))]
    flags = {source: [*KERNEL_FLAGS, *INCLUDES, f"-I{csrc}"] for source in kernels}
    flags |= dict.fromkeys(sorted(HERE.glob("*.cpp")), [])
    objects = {source: folder / f"{source.stem}.o" for source in flags}
    stale = [source for source, target in objects.items() if not _is_current(target)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda source: _compile(source, objects[source], flags[source]), stale))
    library = folder / "libcolad_simt.so"
    if stale or not library.is_file():
        partial = library.with_suffix(f".{os.getpid()}")
        libraries = [f"-L{TORCH / 'lib'}", "-ltorch", "-ltorch_cpu"]
        subprocess.run(["g++", "-shared", *map(str, objects.values()), *libraries, "-o", str(partial)], check=True)
        partial.replace(library)
    return library


class Device:
    """An emulated device: one build of the kernels."""

    def __init__(self, library: Path) -> None:
        torch.ops.load_library(str(library))
        self.library = library
        self._library = ctypes.CDLL(str(library))
        self._library.simt_launched.restype = ctypes.c_char_p
        self._library.simt_finished.restype = ctypes.c_char_p
        for address, size in self._shared_memory():
            self._library.simt_hand_over(ctypes.c_void_p(address), ctypes.c_size_t(size), 1)

    def _symbols(self) -> list[tuple[int, int, str]]:
        """(address, size, name) of the data symbols of the library."""
        listing = subprocess.run(
            ["nm", "-S", "--defined-only", str(self.library)], capture_output=True, text=True, check=True
        )
        found = re.findall(r"^([0-9a-f]+) ([0-9a-f]+) [bBdDuvV] (\S+)$", listing.stdout, re.MULTILINE)
        return [(int(address, 16), int(size, 16), name) for address, size, name in found]

    def _shared_memory(self) -> list[tuple[int, int]]:
        """``__shared__`` variables are the static variables of functions (_ZZ...) in namespace colad."""
        anchor = "simt_anchor"
        symbols = self._symbols()
        offset = next(address for address, _, name in symbols if name == anchor)
        base = ctypes.addressof(ctypes.c_char.in_dll(self._library, anchor)) - offset
        self._base = base
        return [(base + address, size) for address, size, name in symbols if name.startswith("_ZZN5colad")]

    def call(self, name: str, args: tuple, seed: int) -> object:
        """Calls the operator ``colad_simt::name``. The seed determines the order of the threads."""
        self._library.simt_forget()
        self._library.simt_seed(seed)
        operator = getattr(torch.ops.colad_simt, name)
        written = [id(args[i]) for i in written_arguments(operator.default)]
        for tensor in _tensors(args):
            storage, kind = tensor.untyped_storage(), 2 if id(tensor) in written else 0
            self._library.simt_hand_over(ctypes.c_void_p(storage.data_ptr()), ctypes.c_size_t(storage.nbytes()), kind)
        try:
            return operator(*args)
        except RuntimeError as error:
            raise RuntimeError(self._with_lines(str(error))) from None

    def kernels(self) -> list[str]:
        """Names of the kernels that the last call launched."""
        return self._library.simt_launched().decode().split("\n")[:-1]

    def reads(self) -> dict[str, int]:
        """Of each kernel that the last call launched: how many reads of global memory its threads made."""
        lines = self._library.simt_finished().decode().split("\n")[:-1]
        return {kernel.partition("<")[0]: int(reads) for kernel, reads in (line.rsplit(" ", 1) for line in lines)}

    def launches(self) -> int:
        """Kernels launched so far."""
        return self._library.simt_launches()

    def _with_lines(self, message: str) -> str:
        """Replaces addresses of instructions by file and line."""

        def line(match: re.Match) -> str:
            address = hex(int(match[1], 16) - self._base - 1)  # the line of the call, not of the instruction after it
            command = ["addr2line", "-Cfie", str(self.library), address]
            text = subprocess.run(command, capture_output=True, text=True).stdout
            frames = re.sub(r" \(discriminator \d+\)", "", text).split("\n")[:-1]
            places = [f"{place} in {function}" for function, place in zip(frames[::2], frames[1::2], strict=True)]
            return next((x for x in places if not x.startswith((str(HERE / "include"), "/usr/"))), places[0])

        return re.sub(r"pc (0x[0-9a-f]+)", line, message)


def written_arguments(operator: torch._ops.OpOverload) -> list[int]:
    """Positions of the arguments that an operator changes."""
    return [i for i, argument in enumerate(operator._schema.arguments) if argument.is_write]


def _tensors(args: object) -> list[Tensor]:
    return [x for x in torch.utils._pytree.tree_flatten(args)[0] if isinstance(x, Tensor)]
