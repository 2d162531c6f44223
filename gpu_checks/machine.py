"""The versions and the clocks that a result depends on."""

from __future__ import annotations

import shutil
import subprocess

import torch

import colad_ops

QUERY = (
    "name", "driver_version", "pstate", "clocks.sm", "clocks.max.sm", "clocks.mem", "clocks.max.mem", "power.draw",
    "power.limit", "temperature.gpu", "memory.total",
)  # fmt: skip


def describe_software() -> str:
    return f"torch {torch.__version__} (CUDA {torch.version.cuda}), driver {driver()}, {colad_ops.build_info()}"


def nvidia_smi(*names: str) -> list[str]:
    """The values that nvidia-smi gives for the first card; none without nvidia-smi."""
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", f"--query-gpu={','.join(names)}", "--format=csv,noheader"]
    asked = subprocess.run(query, capture_output=True, text=True)
    return asked.stdout.split("\n")[0].strip().split(", ") if asked.returncode == 0 else []


def describe_card() -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(QUERY, nvidia_smi(*QUERY))) or "no nvidia-smi"


def driver() -> str:
    return (nvidia_smi("driver_version") or ["none"])[0]


def megahertz() -> float | None:
    """Clock of the multiprocessors at this moment."""
    values = nvidia_smi("clocks.sm")
    return float(values[0].split()[0]) if values and values[0].split()[0].isdigit() else None
