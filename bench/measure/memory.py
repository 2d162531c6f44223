"""How much memory a call takes beyond its inputs and its results.

On the CPU: the rise of the process's peak of resident memory during the call, in a forked child that has called it
once before, less the bytes of what it returns. That sees tensors, NumPy's arrays and C++ containers alike, to some 16
KiB. On a GPU: the rise of the allocator's peak, less the same.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # of glibc's mallopt
OWN_MAPPING = 1 << 16  # a block of so many bytes is mapped by itself, so that freeing it gives it back at once
MANY = 1 << 16  # mappings


def extra_memory(run: Callable[[], Any], device: torch.device) -> int | None:
    """Bytes; None where the system does not tell (only Linux does)."""
    if device.type == "cuda":
        return _on_cuda(run)
    if not sys.platform.startswith("linux") or not os.access("/proc/self/clear_refs", os.W_OK):
        return None
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _in_child(run, writing)
    os.close(writing)
    with os.fdopen(reading) as told:
        text = told.read()
    os.waitpid(child, 0)
    return int(text) if text else None


def _in_child(run: Callable[[], Any], writing: int) -> None:
    """Writes the figure and ends the process, whatever happens: nothing of the parent's may run twice."""
    try:
        # A thread of its own has an arena of its own, without free blocks of the parent's to be reused unseen.
        thread = threading.Thread(target=lambda: os.write(writing, str(_resident(run)).encode()))
        thread.start()
        thread.join()
    finally:
        os._exit(0)


def _resident(run: Callable[[], Any]) -> int:
    libc = ctypes.CDLL(None)
    for option, value in ((M_MMAP_MAX, MANY), (M_MMAP_THRESHOLD, OWN_MAPPING), (M_TRIM_THRESHOLD, 0)):
        libc.mallopt(option, value)
    run()  # pages of code, caches of the libraries
    libc.malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak starts anew
    before = _status("VmRSS")
    result = run()
    return max(0, _status("VmHWM") - before - result_bytes(result))


def _status(name: str) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))


def _on_cuda(run: Callable[[], Any]) -> int:
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    result = run()
    torch.cuda.synchronize()
    return max(0, torch.cuda.max_memory_allocated() - before - result_bytes(result))


def result_bytes(result: Any) -> int:
    """Of the tensors and arrays in it, each storage once."""
    storages = {}
    for leaf in tree_leaves(result):
        if isinstance(leaf, Tensor):
            storages[leaf.untyped_storage().data_ptr()] = leaf.untyped_storage().nbytes()
        elif isinstance(leaf, np.ndarray):
            storages[leaf.ctypes.data] = leaf.nbytes
    return sum(storages.values())
