"""Where the golden sets are: recorded outputs of the reference implementations on synthetic inputs.

The whole of them lies in ``shared/golden/public`` beside the repository. Where that folder is missing, the part of
it shipped in ``python_tests/golden`` (same files, same keys; ``gmm2`` and ``focal_kl`` are subsets) is used.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

SHIPPED = Path(__file__).resolve().parent
WHOLE = SHIPPED.parents[2] / "shared" / "golden" / "public"


def folder(kind: str) -> Path:
    """The whole set where it is, else the shipped part (``kkhoot_assign`` is small and shipped only)."""
    return (WHOLE if (WHOLE / kind).is_dir() else SHIPPED) / kind


def is_whole() -> bool:
    return WHOLE.is_dir()


def path(name: str) -> Path:
    """The file of a set, e.g. ``"iou/iou.npz"``; skips the test when it is not there."""
    kind, file = name.split("/")
    if not (folder(kind) / file).is_file():
        pytest.skip(f"golden set {name} is not in {folder(kind)}")
    return folder(kind) / file


def cases(kind: str) -> list[str]:
    """Names of the sets of a kind that are there, e.g. ``"paa_assign/small_basic.npz"``, for
    ``pytest.mark.parametrize``."""
    return [f"{kind}/{file.name}" for file in sorted(folder(kind).glob("*.npz"))]


def load(name: str) -> dict[str, np.ndarray]:
    """All arrays of a set; skips as :func:`path`."""
    with np.load(path(name)) as arrays:
        return {key: arrays[key] for key in arrays.files}
