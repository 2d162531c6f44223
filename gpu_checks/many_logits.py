"""Losses of more than 2^31 logits, where a 32-bit index overflows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

import colad_ops
from gpu_checks.context import Context, CouldNotRun

CLASSES = 80
ROWS = (1 << 31) // CLASSES + 1000
DRY_ROWS = 1000
PARTS = 4  # of fewer than 2^31 logits each
TENSORS = 5  # of the size of the logits: logits, teacher, gradient, and what is compared


def check_many_logits(context: Context) -> str:
    device, rows = context.device.device, DRY_ROWS if context.dry else ROWS
    needed = 2 * rows * CLASSES * TENSORS
    if context.device.free_bytes() < needed and not context.dry:
        raise CouldNotRun(f"the card has less than {needed >> 30} GiB free")
    torch.manual_seed(0)
    logits = torch.empty(rows, CLASSES, dtype=torch.bfloat16, device=device).normal_()
    labels = torch.randint(0, 2 * CLASSES, (rows,), device=device).clamp(max=CLASSES)
    compare_with_parts("sigmoid_focal_loss", colad_ops.sigmoid_focal_loss, logits, labels)
    teacher = torch.empty_like(logits).normal_()
    compare_with_parts("focal_kl_loss", colad_ops.focal_kl_loss, logits, teacher)
    return f"{rows * CLASSES:,} logits in bfloat16: sums and gradients equal to those of {PARTS} parts"


def compare_with_parts(name: str, loss: Callable[..., Tensor], logits: Tensor, target: Tensor) -> None:
    """The loss of all is the sum over the parts, and the gradients have the same bits."""
    forward_and_backward = partial(train, loss)
    whole, gradient = forward_and_backward(logits, target)
    total = torch.zeros((), dtype=torch.float64, device=logits.device)
    parts = zip(logits.chunk(PARTS), target.chunk(PARTS), gradient.chunk(PARTS))
    for place, (own_logits, own_target, own_gradient) in enumerate(parts):
        value, expected = forward_and_backward(own_logits, own_target)
        assert torch.equal(own_gradient, expected), f"{name}: the gradient differs in part {place + 1} of {PARTS}"
        total += value.double()
    torch.testing.assert_close(whole.double(), total, rtol=1e-5, atol=0, msg=lambda m: f"{name}: {m}")


def train(loss: Callable[..., Tensor], logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    leaf = logits.detach().requires_grad_()
    value = loss(leaf, target, reduction="sum")
    return value.detach(), torch.autograd.grad(value, leaf)[0]
