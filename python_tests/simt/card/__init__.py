"""A device of torch, ``simt``, whose kernels are the CUDA kernels in the emulator. It is torch's type PrivateUse1, as
torch's own test backend OpenReg: two cards with a memory, a current device and streams of their own.
``torch.ops.colad`` picks the CUDA operators for tensors on it, and its log has what a call did.

The memory of a card is closed to the host: code that reads it without a copy ends the process. All work is done when it
is submitted.

torch has one such device in a process and does not forget it, so these tests run in a process of their own:
``test_card.py`` starts it."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch

from python_tests import simt


class Card(simt.Device):
    """The emulator, with its device registered. ``torch.device("simt", 0)`` is the first card."""

    def __init__(self) -> None:
        kernels = simt.build()
        super().__init__(kernels)
        library = simt.build_card(kernels)
        torch.ops.load_library(str(library))
        torch._register_device_module("simt", _Module("torch.simt"))
        self._card = ctypes.CDLL(str(library))
        self._card.simt_card_bytes.restype = ctypes.c_size_t
        self.cards = [torch.device("simt", i) for i in range(2)]

    def begin(self, seed: int = 0) -> None:
        """Clears the log. The seed chooses the order of the threads of the next calls. They can only read what is now
        in the memory of the cards."""
        self._library.simt_begin(seed, simt.max_grid(seed))
        self._library.simt_only_read()

    def forbid_waiting(self, forbid: bool) -> None:
        """As ``torch.cuda.set_sync_debug_mode("error")``: a host that waits for a card gets an error."""
        self._card.simt_card_forbid_waiting(int(forbid))

    @contextmanager
    def waiting_is_an_error(self) -> Iterator[None]:
        self.forbid_waiting(True)
        try:
            yield
        finally:
            self.forbid_waiting(False)

    def bytes_in_use(self) -> int:
        return self._card.simt_card_bytes()


class _Module(ModuleType):
    """``torch.simt``: what torch asks the module of a device."""

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return True

    def _is_in_bad_fork(self) -> bool:
        return False

    def device_count(self) -> int:
        return torch.accelerator.device_count()

    def current_device(self) -> int:
        return torch.accelerator.current_device_index()

    def set_device(self, device: torch.device | int) -> None:
        torch.accelerator.set_device_index(device)

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]

    def manual_seed_all(self, seed: int) -> None:
        """No operator of the cards draws random numbers."""
