"""The checks of ``gpu_checks`` on an emulated card: the CUDA kernels, and tensors that are not on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from gpu_checks.context import Context
from gpu_checks.device import DryRun, Kernel, Run
from gpu_checks.parts import STEPS
from python_tests.simt.card import Card


class EmulatedCard(DryRun):
    """Times mean nothing here; the rest is as on a card."""

    def __init__(self, card: Card) -> None:
        self.card, self.device = card, card.cards[0]

    @contextmanager
    def waiting_is_an_error(self) -> Iterator[None]:
        with self.card.waiting_is_an_error():
            yield

    @contextmanager
    def busy_side_stream(self) -> Iterator[Callable[[], bool]]:
        with torch.Stream(self.device):
            yield lambda: True

    def kernels(self, run: Run, times: int = 1) -> list[list[Kernel]]:
        self.card.begin()
        for _ in range(times):
            run()
        names = self.card.kernels()
        each = names[: len(names) // times]
        assert names == each * times, "the calls launch different kernels"
        return [[Kernel(name, place, place + 1) for place, name in enumerate(each)]] * times


@pytest.mark.parametrize(
    "name", ["full workload", "all anchors matched", "over 2^31 logits", "no sync", "CUDA graph", "side stream"]
)
def test_the_check_passes(name: str, card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpu_checks.device.REPLAYS", 1)
    assert STEPS[name].check(Context(EmulatedCard(card), True, tmp_path))
