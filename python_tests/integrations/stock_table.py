"""The table of adapted heads against stock heads, which pytest prints at its end."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

ROWS: list[str] = []
TITLE = "adapted heads against stock heads: largest relative difference"


def largest_difference(expected: Sequence[Tensor | float], found: Sequence[Tensor | float]) -> float:
    """The largest difference of two lists of losses or gradients, relative to the largest value of its entry."""
    differences = [0.0]
    for a, b in zip(expected, found, strict=True):
        a, b = torch.as_tensor(a).double(), torch.as_tensor(b).double()
        scale = max(a.abs().max().item(), 1e-12) if a.numel() else 1.0
        differences.append((a - b).abs().max().item() / scale if a.numel() else 0.0)
    return float("nan") if any(d != d for d in differences) else max(differences)


def add_row(head: str, loss: float, gradient: float, labels: int) -> None:
    ROWS.append(f"{head:34} losses {loss:8.1e}   gradients {gradient:8.1e}   labels that differ {labels}")
