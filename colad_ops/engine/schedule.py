"""Optimisers and the learning rate as a pure function of the iteration, so that resuming needs no scheduler state."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch

OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "step")


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimiser and schedule. The defaults are the paper's SGD recipe for a batch of 16; the demo uses AdamW.

    Raises ValueError, naming the field and the value got.
    """

    name: str = "sgd"
    lr: float = 0.01
    """Reached after the warm-up."""
    weight_decay: float = 1e-4
    momentum: float = 0.9
    """Used by SGD only."""
    schedule: str = "step"
    """``"step"``: times ``decay`` at each milestone. ``"cosine"``: down to 0 at the last iteration."""
    milestones: tuple[float, ...] = (8 / 12, 11 / 12)
    """Of the step schedule, as shares of all iterations; 8 and 11 of 12 epochs are detection's "1x"."""
    decay: float = 0.1
    warmup: int = 500
    """Iterations of linear warm-up; at most a tenth of all iterations."""
    clip_grad: float | None = None
    """Largest norm of all gradients together; None: not clipped."""

    def __post_init__(self) -> None:
        for name, choices in (("name", OPTIMIZERS), ("schedule", SCHEDULES)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} should be one of {', '.join(choices)}, got {getattr(self, name)!r}")
        if not self.lr > 0:
            raise ValueError(f"lr should be positive, got {self.lr}")
        if self.warmup < 0:
            raise ValueError(f"warmup should be >= 0, got {self.warmup}")
        if self.clip_grad is not None and not self.clip_grad > 0:
            raise ValueError(f"clip_grad should be positive or None, got {self.clip_grad}")


def learning_rate(config: OptimizerConfig, iteration: int, iterations: int) -> float:
    """Learning rate of step ``iteration`` (from 0) of ``iterations``: linear warm-up, then the schedule."""
    warmup = min(config.warmup, iterations // 10)
    if iteration < warmup:
        return config.lr * (iteration + 1) / warmup
    if config.schedule == "step":
        return config.lr * config.decay ** sum(iteration >= share * iterations for share in config.milestones)
    return config.lr * 0.5 * (1 + math.cos(math.pi * (iteration - warmup) / max(1, iterations - warmup)))


def build_optimizer(parameters: Iterable[torch.nn.Parameter], config: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimiser of those ``parameters`` that require a gradient.

    Raises:
        ValueError: none of them does.
    """
    learning = [parameter for parameter in parameters if parameter.requires_grad]
    if not learning:
        raise ValueError("no parameter requires a gradient: nothing to train")
    if config.name == "adamw":
        return torch.optim.AdamW(learning, lr=config.lr, weight_decay=config.weight_decay)
    return torch.optim.SGD(learning, lr=config.lr, weight_decay=config.weight_decay, momentum=config.momentum)
