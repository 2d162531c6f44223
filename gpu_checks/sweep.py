"""Times every operator with other values of the constants that the sources call "not tuned"."""

from __future__ import annotations

import json
import sys
import tarfile
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from colad_ops._library import LIBRARY
from gpu_checks import variants
from gpu_checks.commands import last_line, run_command
from gpu_checks.context import Context, CouldNotRun
from gpu_checks.csv_file import write_csv

SECONDS = 45  # for each library
COMMAND = (sys.executable, "-m", "gpu_checks.time_library")
NOTABLE = 0.97  # of the time with the value in the sources


def write_sweep(context: Context, path: Path | None = None) -> str:
    """``path`` of the archive; in a dry run none is needed."""
    time_of.cache_clear()
    with tempfile.TemporaryDirectory() as folder:
        base, tried = unpacked(path, Path(folder), context)
        before = time_of(base, context)
        rows = []
        for variant in tried:
            try:
                times = {} if variant["error"] else time_of(Path(folder) / variant["file"], context)
            except RuntimeError as error:  # e.g. more threads than its registers allow
                times, variant["error"] = {}, str(error)
            rows += rows_of(variant, before, times)
    for row in rows:
        print(row, flush=True)
    faster = [f"{r['constant']}={r['value']} {r['op']} {r['ratio']:.2f}" for r in rows if (r["ratio"] or 1) < NOTABLE]
    return f"{write_csv(context.folder / 'sweep.csv', rows)}; faster: {', '.join(faster) or 'none'}"


def unpacked(path: Path | None, folder: Path, context: Context) -> tuple[Path, list[dict[str, Any]]]:
    """The library of the sources as they are, and the list of the others."""
    if path is None and context.dry:
        same = {"path": "none", "name": "same", "value": 1, "tried": 1, "error": ""}
        return LIBRARY, [{**same, "file": LIBRARY}, {**same, "file": "", "error": "does not compile"}]
    path = path or variants.ARCHIVE
    if not path.is_file():
        raise CouldNotRun(f"there is no {path}: build it with python -m gpu_checks.variants")
    with tarfile.open(path) as file:
        file.extractall(folder, filter="data")
    about = json.loads((folder / variants.LIST).read_text())
    print(f"variants of {about['commit']} for {about['arch']}")
    return folder / variants.BASE, about["variants"]


@cache
def time_of(library: Path, context: Context) -> dict[str, float]:
    """Microseconds of each call.

    Raises:
        RuntimeError: a result is wrong, or a kernel did not start.
    """
    options = ["--dry-run"] if context.dry else []
    status, output = run_command([*COMMAND, *options], SECONDS, COLAD_LIBRARY=str(library))
    if status != 0:
        raise RuntimeError(last_line(output))
    return json.loads(last_line(output))


def rows_of(variant: dict[str, Any], before: dict[str, float], times: dict[str, float]) -> list[dict[str, Any]]:
    return [
        {
            "source": variant["path"], "constant": variant["name"], "in_sources": variant["value"],
            "value": variant["tried"], "op": op, "us_in_sources": before[op], "us": times.get(op),
            "ratio": times[op] / before[op] if op in times else None, "error": variant["error"],
        }
        for op in before
    ]  # fmt: skip
