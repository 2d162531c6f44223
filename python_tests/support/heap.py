"""Measures the memory that the process holds from malloc."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable

import pytest

FIELDS = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"


class Mallinfo(ctypes.Structure):
    _fields_ = [(field, ctypes.c_size_t) for field in FIELDS.split()]  # struct mallinfo2 of malloc.h


def bytes_in_use() -> int:
    """Bytes allocated by malloc. Skips the test if the C library does not report them: it is not glibc >= 2.33, or a
    sanitizer replaces malloc."""
    mallinfo2 = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo2 is None:
        pytest.skip("the C library has no mallinfo2")
    mallinfo2.restype = Mallinfo
    info = mallinfo2()
    if info.uordblks == 0:
        pytest.skip("malloc is not the C library's")
    return info.uordblks + info.hblkhd


def bytes_left_behind(call: Callable[[], object], calls: int = 100, rounds: int = 5) -> float:
    """Bytes that one call leaves allocated: the average over a round of calls, in the round with the smallest value. A
    cache is filled once, but a leak grows in every round."""
    left, before = [], bytes_in_use()
    gc.freeze()  # excludes existing objects, so that garbage collections are fast
    try:
        for _ in range(rounds):
            for _ in range(calls):
                call()
            gc.collect()
            after = bytes_in_use()
            left.append((after - before) / calls)
            before = after
    finally:
        gc.unfreeze()
    return min(left)
