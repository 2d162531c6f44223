"""What the golden tests compared: every array of every recording, and how far ours was from it.

A :class:`Recording` checks one file array by array and demands at its end that none was forgotten; what it found is
added up by golden set and preset, and printed as one table at the end of the test run (``conftest.py``).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Line:
    """One golden set under one preset."""

    cases: set[str] = field(default_factory=set)
    arrays: set[str] = field(default_factory=set)
    worst: float = 0.0
    """Largest difference as a share of what the set's README allows."""
    worst_array: str = ""
    worst_difference: float = 0.0
    decisions: int = 0
    """Labels, matches, selections, iterations: values that are equal or not."""
    different: Counter = field(default_factory=Counter)
    """How many of them differ, by reason."""


TABLE: dict[tuple[str, str], Line] = {}


class Recording:
    """The arrays of one golden file, to be compared one by one with what ``preset`` gives."""

    def __init__(self, golden_set: str, preset: str, case: str, arrays: dict[str, np.ndarray]) -> None:
        self.arrays, self.seen = arrays, set()
        self.line = TABLE.setdefault((golden_set, preset), Line())
        self.line.cases.add(case)

    def leave(self, *keys: str) -> None:
        """These are inputs, or describe the case, or mean nothing here; the caller says which."""
        self.seen.update(keys)

    def near(
        self,
        key: str,
        found: np.ndarray,
        rtol: float = 0.0,
        atol: float | np.ndarray = 0.0,
        where: np.ndarray | bool = True,
    ) -> None:
        """``|found - recorded| <= atol + rtol * |recorded|`` wherever ``where``; NaN equals NaN."""
        found, wanted = np.asarray(found, dtype=np.float64), self._take(key).astype(np.float64)
        assert found.shape == wanted.shape, (key, found.shape, wanted.shape)
        equal = (found == wanted) | (np.isnan(found) & np.isnan(wanted)) | ~np.broadcast_to(where, found.shape)
        difference = np.where(equal, 0.0, np.abs(found - wanted))
        allowed = atol + rtol * np.abs(np.where(equal, 0.0, wanted))
        apart = ~equal & ~(difference <= allowed)
        assert not apart.any(), (key, int(apart.sum()), found[apart][:5], wanted[apart][:5])
        share = np.where(difference > 0, difference / np.where(allowed > 0, allowed, 1.0), 0.0)
        if share.size and share.max() > self.line.worst:
            self.line.worst, self.line.worst_array = float(share.max()), key
            self.line.worst_difference = float(difference.flat[share.argmax()])

    def same(self, key: str, found: np.ndarray, where: np.ndarray | bool = True, reason: str = "") -> None:
        """Equal wherever ``where``; elsewhere a difference is counted under ``reason``."""
        found, wanted = np.asarray(found), self._take(key)
        assert found.shape == wanted.shape, (key, found.shape, wanted.shape)
        differs = found != wanted
        at = np.argwhere(differs & where)
        assert len(at) == 0, (key, at[:5].tolist(), found[differs & where][:5], wanted[differs & where][:5])
        self.line.decisions += found.size
        if differs.any():
            self.line.different[reason] += int(differs.sum())

    def complete(self) -> None:
        """Every array of the file was compared or left on purpose."""
        assert set(self.arrays) - self.seen == set()

    def _take(self, key: str) -> np.ndarray:
        self.seen.add(key)
        self.line.arrays.add(key)
        return self.arrays[key]


def lines() -> list[str]:
    """The table, in Markdown."""
    rows = [
        "golden set | preset | cases | arrays | worst difference (of what is allowed) | decisions compared, different"
    ]
    rows.append("---|---|---|---|---|---")
    for (golden_set, preset), line in sorted(TABLE.items()):
        worst = f"{line.worst_difference:.1e} ({line.worst:.0%}) in {line.worst_array}" if line.worst else "0"
        reasons = "; ".join(f"{count} {reason}" for reason, count in sorted(line.different.items()))
        rows.append(
            f"{golden_set} | {preset} | {len(line.cases)} | {len(line.arrays)} | {worst} | "
            f"{line.decisions}, {reasons or '0'}"
        )
    return rows
