"""The table of the golden tests: every recorded array, and the difference of our result from it.

A :class:`Recording` checks one file array by array. At its end it requires that every array was compared. Its results
are added up by golden set and preset, and printed as one table at the end of the test run (``conftest.py``).
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
    """Largest difference, as a share of the tolerance in the README of the set."""
    worst_array: str = ""
    worst_difference: float = 0.0
    decisions: int = 0
    """Number of discrete values: labels, matches, selections, iterations."""
    different: Counter = field(default_factory=Counter)
    """How many of them differ, by reason."""


TABLE: dict[tuple[str, str], Line] = {}


class Recording:
    """The arrays of one golden file. They are compared one by one with the results of ``preset``."""

    def __init__(self, golden_set: str, preset: str, case: str, arrays: dict[str, np.ndarray]) -> None:
        self.arrays, self.seen = arrays, set()
        self.line = TABLE.setdefault((golden_set, preset), Line())
        self.line.cases.add(case)

    def leave(self, *keys: str) -> None:
        """Marks arrays that are not compared: inputs, descriptions of the case, or arrays without meaning here. The
        caller chooses them."""
        self.seen.update(keys)

    def near(
        self,
        key: str,
        found: np.ndarray,
        rtol: float = 0.0,
        atol: float | np.ndarray = 0.0,
        where: np.ndarray | bool = True,
    ) -> None:
        """Checks ``|found - recorded| <= atol + rtol * |recorded|`` where ``where`` is True. NaN equals NaN."""
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
        """Checks equality where ``where`` is True. Elsewhere a difference is counted under ``reason``."""
        found, wanted = np.asarray(found), self._take(key)
        assert found.shape == wanted.shape, (key, found.shape, wanted.shape)
        differs = found != wanted
        at = np.argwhere(differs & where)
        assert len(at) == 0, (key, at[:5].tolist(), found[differs & where][:5], wanted[differs & where][:5])
        self.line.decisions += found.size
        if differs.any():
            self.line.different[reason] += int(differs.sum())

    def complete(self) -> None:
        """Checks that every array of the file was compared or excluded on purpose."""
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
