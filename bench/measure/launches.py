"""Counts the kernels that an operator launches. It needs no GPU: the kernels run in the emulator of the tests."""

from __future__ import annotations

import torch
from torch.autograd.profiler import profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

# Operators of torch that only make a view or allocate.
NO_KERNEL = ("empty", "detach", "lift", "alias", "_unsafe_view", "is_", "sym_")
# Operators that host code calls besides its own launches. Each is one kernel or one memset.
FILLS = ("aten::zero_", "aten::fill_", "aten::copy_")


class CountLaunches(TorchDispatchMode):
    """Counts the launches of all calls inside the context. Our operators run in the emulator. Each torch operator that
    computes something counts as one launch."""

    def __init__(self) -> None:
        from python_tests import simt  # compiles the kernels for the CPU

        super().__init__()
        self.device = simt.Device(simt.build())
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.split("::")[1]
        if func.namespace == "colad":
            before = self.device.launches()
            plain = tree_map_only(torch.Tensor, torch.Tensor.detach, args)
            with profile(use_kineto=False) as recorded:
                result = self.device.call(name, plain, seed=0)
            self.count += self.device.launches() - before
            self.count += sum(
                event.name in FILLS and (event.cpu_parent is None or not event.cpu_parent.name.startswith("aten::"))
                for event in recorded.function_events
            )
            if not func._schema.is_mutable:
                return result  # the next operator may need what this one made on CUDA, and not on the CPU
        elif not func.is_view and not name.startswith(NO_KERNEL):
            self.count += 1
        return func(*args, **(kwargs or {}))
