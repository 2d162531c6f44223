"""Captures a call in a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class PlainCalls:
    """Replaces a graph on the CPU, so that a dry run can run the code that uses graphs."""

    def __init__(self, run: Callable[[], Any]) -> None:
        self.replay = run


def capture(run: Callable[[], Any], device: torch.device) -> torch.cuda.CUDAGraph | PlainCalls:
    if device.type != "cuda":
        run()
        return PlainCalls(run)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph
