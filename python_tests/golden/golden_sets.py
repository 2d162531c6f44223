"""Finds the golden sets: recorded outputs of the reference implementations on synthetic inputs.

The complete sets are in ``shared/golden/public`` beside the repository. If that folder is missing, the tests use the
part in ``python_tests/golden`` (same files, same keys; ``gmm2`` and ``focal_kl`` are subsets).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

SHIPPED = Path(__file__).resolve().parent
WHOLE = SHIPPED.parents[2] / "shared" / "golden" / "public"


def folder(kind: str) -> Path:
    """The folder of the complete set if it exists, else of the part in the repository. ``kkhoot_assign`` is small and
    only in the repository."""
    return (WHOLE if (WHOLE / kind).is_dir() else SHIPPED) / kind


def is_whole() -> bool:
    return WHOLE.is_dir()


def path(name: str) -> Path:
    """The file of a set, e.g. ``"iou/iou.npz"``. Skips the test if the file does not exist."""
    kind, file = name.split("/")
    if not (folder(kind) / file).is_file():
        pytest.skip(f"golden set {name} is not in {folder(kind)}")
    return folder(kind) / file


def cases(kind: str) -> list[str]:
    """Names of the existing files of a set, e.g. ``"paa_assign/small_basic.npz"``, for
    ``pytest.mark.parametrize``."""
    return [f"{kind}/{file.name}" for file in sorted(folder(kind).glob("*.npz"))]


def load(name: str) -> dict[str, np.ndarray]:
    """All arrays of a file. Skips the test if the file does not exist, as :func:`path`."""
    with np.load(path(name)) as arrays:
        return {key: arrays[key] for key in arrays.files}
