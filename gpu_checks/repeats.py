"""Every operator gives the same bits a hundred times, also while other work runs beside it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from bench.workload.every_operator import operator_calls
from gpu_checks.context import Context

TIMES, DRY_TIMES = 100, 3


def check_repeats(context: Context) -> str:
    times = DRY_TIMES if context.dry else TIMES
    calls = operator_calls(context.workload, context.device.device)
    for call in calls:
        first = [bits(x).clone() for x in tree_leaves(call.run())]
        for time in range(times):
            # Other work takes multiprocessors away, so the blocks of our kernels run in another order.
            with context.device.beside_other_work() if time % 2 else nullcontext():
                again = tree_leaves(call.run())
            same = torch.stack([(bits(x) == y).all() for x, y in zip(again, first)])
            assert same.all(), f"{call.op} {call.what}: run {time + 2} has other bits"
    return f"{len(calls)} calls, {times} times the same bits"


def bits(x: Tensor) -> Tensor:
    """NaN equals NaN of the same bits."""
    of_size: dict[int, Any] = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    return x.detach().contiguous().view(of_size[x.element_size()])
