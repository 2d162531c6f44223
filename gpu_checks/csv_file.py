"""Writes a table of results, with the versions that it depends on in every row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bench.report import csv_files
from gpu_checks.machine import driver


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    """Says what was written. Floats get three digits; None is an empty cell."""
    common = {"torch": torch.__version__, "driver": driver(), "commit": csv_files.commit()}
    shown = [{name: f"{value:.3f}" if isinstance(value, float) else value for name, value in r.items()} for r in rows]
    csv_files.write_csv(path, [{**row, **common} for row in shown], [*rows[0], *common])
    return f"{len(rows)} rows in {path.name}"
