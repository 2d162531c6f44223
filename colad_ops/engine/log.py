"""The output of a training run: a log in JSON lines for programs, a progress bar for people."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm


class JsonlLog:
    """A file with one json object on each line, in the order of the iterations.

    Args:
        path: the file; None: nothing is written.
        resume_at: keep the lines of an earlier run up to this iteration (later ones will be written again); None:
            start anew.
    """

    def __init__(self, path: str | Path | None, *, resume_at: int | None = None):
        self.path = None if path is None else Path(path)
        self.records: list[dict[str, Any]] = []
        if self.path is None:
            return
        if resume_at is not None and self.path.exists():
            lines = self.path.read_text().splitlines(keepends=True)
            # A line without its end was being written when the run was stopped. Its iteration is done again.
            whole = [json.loads(line) for line in lines if line.endswith("\n")]
            self.records = [record for record in whole if record["iteration"] <= resume_at]
        temporary = self.path.with_name(self.path.name + ".tmp")
        temporary.write_text("".join(_line(record) for record in self.records))
        os.replace(temporary, self.path)

    def write(self, **record: Any) -> None:
        """Append one record; NaN and infinities become null, as json has none."""
        self.records.append(record)
        if self.path is not None:
            with open(self.path, "a") as file:
                file.write(_line(record))


def _line(record: dict[str, Any]) -> str:
    finite = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in record.items()
    }
    return json.dumps(finite, allow_nan=False) + "\n"


def progress_bar(name: str, iterations: int, *, start: int = 0, line: int = 0) -> tqdm:
    """A bar with the time left. It is drawn twice a second on a terminal, every ten seconds in a log file.

    ``line``: the line of the terminal, from the top, for bars of several processes.
    """
    terminal = sys.stderr.isatty()
    interval = 0.5 if terminal else 10.0
    return tqdm(
        total=iterations,
        initial=start,
        desc=name,
        unit="it",
        mininterval=interval,
        maxinterval=interval,
        dynamic_ncols=True,
        position=line if terminal else 0,
    )
