"""The table of adapted heads against stock heads, which pytest prints at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

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


def time_ratio(stock: Callable[[], object], adapted: Callable[[], object]) -> float:
    """Time of ``stock`` over that of ``adapted``, each the best of five calls, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    best = []
    for step in (stock, adapted):
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
        best.append(min(seconds))
    torch.set_num_threads(threads)
    return best[0] / best[1]


def add_row(head: str, loss: float, gradient: float, labels: int, ratio: float) -> None:
    ROWS.append(
        f"{head:34} losses {loss:8.1e}   gradients {gradient:8.1e}   labels that differ {labels}   "
        f"{ratio:.1f} times as fast"
    )
