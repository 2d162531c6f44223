"""Writes the measured times as a CSV."""

from __future__ import annotations

import csv
import shutil
import subprocess
from pathlib import Path

import torch

import colad_ops
from gpu_checks.timing import Measured

COLUMNS = (
    "op", "what", "mode", "ours_us", "p20_us", "p80_us", "copy_us", "launches", "bytes", "share_of_copy", "torch",
    "driver", "commit",
)  # fmt: skip


def write_csv(path: Path, measured: list[Measured]) -> str:
    common = {"torch": torch.__version__, "driver": driver(), "commit": colad_ops.build_info()["commit"]}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for m in measured:
            writer.writerow({
                "op": m.call.op, "what": m.call.what, "mode": m.mode, "ours_us": f"{m.ours.median:.2f}",
                "p20_us": f"{m.ours.p20:.2f}", "p80_us": f"{m.ours.p80:.2f}", "copy_us": f"{m.copy.median:.2f}",
                "launches": "" if m.launches is None else m.launches, "bytes": m.call.bytes,
                "share_of_copy": f"{m.copy.median / m.ours.median:.3f}", **common,
            })  # fmt: skip
    return f"{len(measured)} rows in {path.name}"


def driver() -> str:
    if shutil.which("nvidia-smi") is None:
        return "none"
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True).stdout.split("\n")[0].strip() or "none"
