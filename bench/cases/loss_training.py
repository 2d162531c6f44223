"""A loss as training uses it: its value and its gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

Trained = tuple[Tensor, Tensor]
"""The loss, and its derivative with respect to the logits."""


def forward_and_backward(loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, target: Tensor) -> Trained:
    value = loss(logits, target)
    (gradient,) = torch.autograd.grad(value, logits)
    return value.detach(), gradient


def training(loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, target: Tensor) -> Callable[[], Trained]:
    return partial(forward_and_backward, loss, logits, target)


def close(ours: Trained, peers: Trained) -> None:
    for a, b in zip(ours, peers):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
