"""``colad bench``: the benches lie beside the package in the source tree, not in the wheel; they are run from there."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

RUNNER = Path(__file__).resolve().parents[1] / "bench" / "run.py"


def run_bench(options: argparse.Namespace) -> None:
    """Becomes ``bench/run.py`` with the arguments as they are.

    Raises:
        FileNotFoundError: this is an installed wheel, which has no benches.
    """
    if not RUNNER.is_file():
        raise FileNotFoundError(
            f"{RUNNER} does not exist: the benches are in the source tree of colad_ops (the sdist has them too), "
            "where `make bench` or `python bench/run.py` runs them"
        )
    os.execv(sys.executable, [sys.executable, str(RUNNER), *options.arguments])
