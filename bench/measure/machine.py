"""The machine that the benches run on: its name, and its measured speed. Lower bounds are computed from this speed."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import colad_ops
from bench.measure.timing import LEAST_SAMPLES, Sample, sample_on

STREAM = 1 << 24  # float32 values of an array of the triad: 64 MiB, more than caches hold
SQUARE = 512  # rows of the matrices, which stay in cache
REPEATS = 15
# Flops of an elementary function in SIMD code that is as short as it can be: range reduction and a polynomial of degree
# 6 (float32) or 11 (float64), each fused multiply-add counted as the 2 that the matrix product's rate counts it.
EXP, LOG = 20, 24
EXP_DOUBLE, LOG_DOUBLE = 32, 38


@dataclass(frozen=True)
class LowerBound:
    """A time that no implementation on this machine can beat, and where it comes from."""

    seconds: float
    words: str


@dataclass(frozen=True)
class Machine:
    name: str
    capability: str
    """CPU capability that the library chose; empty if the library does not report it."""
    device: torch.device
    threads: int
    bandwidth: float
    """Bytes/s of ``a = b + s c`` on arrays larger than the caches, three arrays counted."""
    flops: float
    """float32 flop/s of a matrix product in cache; float64 has half of it."""

    def __str__(self) -> str:
        return f"{self.name}, {self.capability}" if self.capability else self.name

    @property
    def folder(self) -> str:
        """The machine's name as the name of a folder."""
        return folder_of(self.name)

    def lower_bound(self, bytes: float, flops: float = 0.0, double_flops: float = 0.0) -> LowerBound:
        """Lower bound of work that moves ``bytes`` from and to memory and computes ``flops`` in float32 and
        ``double_flops`` in float64: the longer of the two times, as if they overlapped perfectly."""
        moving, computing = bytes / self.bandwidth, (flops + 2 * double_flops) / self.flops
        words = f"{bytes / 1e6:.3g} MB at {self.bandwidth / 1e9:.0f} GB/s = {1e3 * moving:.3g} ms"
        if flops or double_flops:
            precision = " in float64" if double_flops else ""
            words += f"; {(flops + double_flops) / 1e6:.3g} Mflop{precision} = {1e3 * computing:.3g} ms"
        return LowerBound(max(moving, computing), words)


def folder_of(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unknown"


def measure_machine(device: torch.device, threads: int) -> Machine:
    sample = sample_on(device, threads)
    a, b, c = (torch.ones(STREAM, device=device) for _ in range(3))
    triad = _fastest(lambda: torch.add(b, c, alpha=2.0, out=a), sample)
    left, product = torch.randn(SQUARE, SQUARE, device=device), torch.empty(SQUARE, SQUARE, device=device)
    square = _fastest(lambda: torch.mm(left, left, out=product), sample)
    return Machine(
        machine_name(device), colad_ops.build_info().get("cpu_capability") or "", device, threads,
        3 * 4 * STREAM / (triad * 1e-6), 2 * SQUARE**3 / (square * 1e-6),
    )  # fmt: skip


def _fastest(run: Callable[[], Any], sample: Sample) -> float:
    """Microseconds of the fastest sample. Other processes only slow a sample down, and a lower bound excludes them."""
    for _ in range(LEAST_SAMPLES):
        run()
    return min(sample(run, 1) for _ in range(REPEATS))


def machine_name(device: torch.device) -> str:
    """The name of the GPU or the CPU. If a CPU's name is only a brand, family and model are added to distinguish
    generations."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    about = dict(re.split(r"\s*:\s*", line, maxsplit=1) for line in reversed(lines) if ":" in line)
    name = about.get("model name") or platform.processor() or platform.machine()
    if re.search(r"\d", name) or "model" not in about:
        return name
    return f"{name} family {about['cpu family']} model {about['model']}"
