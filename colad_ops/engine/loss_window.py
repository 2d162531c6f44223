"""Losses of the iterations since they were last read."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch


class TrainingDiverged(RuntimeError):
    """A loss became NaN or infinite."""


class LossWindow:
    """Collects the losses on the device; only ``read`` waits for it, once."""

    def __init__(self) -> None:
        self._iterations: list[int] = []
        self._losses: list[dict[str, torch.Tensor]] = []

    def add(self, iteration: int, losses: Mapping[str, torch.Tensor]) -> None:
        """``losses``: scalars by name, the total as ``"loss"``; every iteration has the same names."""
        self._iterations.append(iteration)
        self._losses.append(dict(losses))

    def read(self) -> dict[str, float]:
        """Mean of each part since the last reading; forgets them.

        Only the losses have to be finite. The mean of another figure leaves out its values that are not finite: CoLAD's
        indicator is NaN on a batch without objects.

        Raises:
            TrainingDiverged: names the first iteration at which a loss was not finite, and the part.
        """
        names = list(self._losses[0])
        rows = torch.stack([torch.stack([losses[name].double() for name in names]) for losses in self._losses]).tolist()
        iterations, self._iterations, self._losses = self._iterations, [], []
        for iteration, row in zip(iterations, rows):
            _require_finite(iteration, dict(zip(names, row)))
        columns = zip(*rows)
        return {
            name: _mean([value for value in column if math.isfinite(value)]) for name, column in zip(names, columns)
        }


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _require_finite(iteration: int, losses: dict[str, float]) -> None:
    parts = [name for name in losses if name.rsplit("/", 1)[-1].startswith("loss_")]  # "loss_cls", "network0/loss_cls"
    wrong = [name for name in (*parts, "loss") if not math.isfinite(losses[name])]
    if wrong:
        values = ", ".join(f"{name} = {losses[name]}" for name in wrong)
        raise TrainingDiverged(
            f"the loss is not finite at iteration {iteration}: {values}. "
            "A lower learning rate, a longer warm-up or clipped gradients may help."
        )
