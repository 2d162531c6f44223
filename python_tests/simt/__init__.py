"""Runs the CUDA kernels on the CPU. g++ compiles the operators' unmodified ``*_cuda.cu`` files against a small
emulator, which registers them as ``torch.ops.colad_simt``. They are built in ``build/simt`` when a source is newer.

Every CUDA thread is a fiber. Up to four blocks are in flight, and their threads run in a seeded random order from
barrier to barrier. The kernels are compiled with ``-fsanitize=thread``; ``instrumentation.cpp`` replaces its run-time
library, so that ``memory.cpp`` checks every load and store:

- the address lies in a tensor of the call;
- memory that is read has been written before;
- there was a barrier since another thread of the block accessed the same memory, or a fence, an atomic operation and a
  fence since a thread of another block did.

``-fsanitize=alignment`` also checks the alignment that a wide load or store requires.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
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

MAX_GRID = 1 << int(re.search(r"\bkMaxGrid = 1 << (\d+);", (CSRC / "common" / "launch.cuh").read_text())[1])
"""The most blocks of a launch on a card."""


def max_grid(seed: int) -> int:
    """In turn 3 blocks, as many as on a card, and 1: where a block processes several items, what it leaves behind for
    the next one shows."""
    return (3, MAX_GRID, 1)[seed % 3]


class DoesNotCompile(Exception):
    """The message has the command and the output of the compiler."""


def _compile(source: Path, target: Path, flags: Sequence[str]) -> None:
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


def _link(library: Path, flags: Mapping[Path, Sequence[str]], *libraries: str) -> Path:
    """Compiles the files that are not current, with their flags, and links them all."""
    library.parent.mkdir(parents=True, exist_ok=True)
    objects = {source: library.parent / f"{source.stem}.o" for source in flags}
    stale = [source for source, target in objects.items() if not _is_current(target)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda source: _compile(source, objects[source], flags[source]), stale))
    if stale or not library.is_file():
        partial = library.with_suffix(f".{os.getpid()}")
        torch_libraries = [f"-L{TORCH / 'lib'}", "-ltorch", "-ltorch_cpu", "-lc10"]
        command = ["g++", "-shared", "-Wl,-Bsymbolic", *map(str, objects.values()), *libraries, *torch_libraries]
        subprocess.run([*command, "-o", str(partial)], check=True)
        partial.replace(library)
    return library


def build(
    csrc: Path = CSRC,
    folder: Path = REPOSITORY / "build" / "simt",
    kernels: Sequence[Path] | None = None,
    flags_of_kernels: Sequence[str] = (),
) -> Path:
    """Compiles the files that are not current, and links. Returns the library. ``kernels``: by default all kernels."""
    if kernels is None:
        kernels = [csrc / "library.cpp", *sorted(csrc.glob("ops/*/*_cuda.cu"))]
    flags = {source: [*KERNEL_FLAGS, *flags_of_kernels, *INCLUDES, f"-I{csrc}"] for source in kernels}
    return _link(folder / "libcolad_simt.so", flags | dict.fromkeys(sorted(HERE.glob("*.cpp")), []))


def build_card(kernels: Path) -> Path:
    """The library that makes a device of torch out of the emulator in the library ``kernels``."""
    sources = sorted((HERE / "card").glob("*.cpp"))
    flags = dict.fromkeys(sources, ["-isystem", str(TORCH / "include")])
    return _link(kernels.parent / "card" / "libcolad_card.so", flags, str(kernels), f"-Wl,-rpath,{kernels.parent}")


class Device:
    """An emulated device: one build of the kernels."""

    def __init__(self, library: Path) -> None:
        torch.ops.load_library(str(library))
        self.library = library
        self._library = ctypes.CDLL(str(library))
        self._library.simt_log.restype = ctypes.c_char_p
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
        """Calls the operator ``colad_simt::name``. The seed chooses the order of the threads and the largest grid."""
        self._library.simt_forget()
        self._library.simt_begin(seed, max_grid(seed))
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
        return [name for event, name, *_ in self.log() if event == "launch"]

    def log(self) -> list[list[str]]:
        """What happened in the last call: its kind, and what it was about."""
        return [line.split("\t") for line in self._library.simt_log().decode().split("\n")[:-1]]

    def reads(self) -> dict[str, int]:
        """Of each kernel that the last call launched: how many reads of global memory its threads made."""
        return {line[1].partition("<")[0]: int(line[2]) for line in self.log() if line[0] == "reads"}

    def launches(self) -> int:
        """Kernels launched so far."""
        return self._library.simt_launches()

    def has_reached(self, address: int) -> bool:
        """Whether a kernel has run the basic block that begins at this address of the library."""
        return bool(self._library.simt_reached(ctypes.c_size_t(address)))

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
