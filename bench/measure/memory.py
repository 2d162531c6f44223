"""Measures the memory that a call takes beyond its inputs and its results.

On the CPU: the rise of the peak resident memory of the process during the call, minus the bytes of the results. The
call runs in a forked child, which has made the same call once before. This counts tensors, NumPy arrays and C++
containers, with an error of about 16 KiB. On a GPU: the rise of the allocator's peak, minus the bytes of the results.
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
OWN_MAPPING = 1 << 16  # bytes; a block of this size is a mapping of its own, so free() gives it back at once
MANY = 1 << 16  # mappings


def extra_memory(run: Callable[[], Any], device: torch.device) -> int | None:
    """Bytes; None if the system does not report them (only Linux does)."""
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
    """Writes the result and always ends the process, because no code of the parent may run a second time."""
    try:
        # A new thread has its own malloc arena. It cannot reuse free blocks of the parent, which would not be counted.
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
        file.write("5")  # resets the peak
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
    """Bytes of the tensors and arrays in ``result``, each storage counted once."""
    storages = {}
    for leaf in tree_leaves(result):
        if isinstance(leaf, Tensor):
            storages[leaf.untyped_storage().data_ptr()] = leaf.untyped_storage().nbytes()
        elif isinstance(leaf, np.ndarray):
            storages[leaf.ctypes.data] = leaf.nbytes
    return sum(storages.values())
