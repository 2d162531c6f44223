"""Work in another stream than the default one, while that stream still has something else to do."""

from __future__ import annotations

from dataclasses import fields, replace

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from bench.workload.batch import Workload
from gpu_checks.context import Context
from gpu_checks.invariants import train_step, training_logits


def check_side_stream(context: Context) -> str:
    """The inputs reach their place only after the pending work. A kernel in another stream would not see them, and a
    host that waits would find the work done."""
    w = context.workload.to(context.device.device)
    expected = train_step(w, *training_logits(w))
    late = emptied(w)
    logits = [torch.zeros_like(x, requires_grad=x.requires_grad) for x in training_logits(w)]
    with context.device.busy_side_stream() as still_pending, torch.no_grad():
        fill(late, w)
        for x, y in zip(logits, training_logits(w)):
            x.copy_(y)
        with torch.enable_grad():
            seen = train_step(late, *logits)
        assert still_pending(), "the host has waited for the device"
    context.device.synchronize()
    for place, (a, b) in enumerate(zip(seen, expected)):
        assert torch.equal(a.nan_to_num(nan=-7), b.nan_to_num(nan=-7)), f"output {place} differs"
    return "assignment of one and of two networks, losses and gradients, equal to those of the default stream"


def tensors(w: Workload) -> list[Tensor]:
    return [x for x in tree_leaves([getattr(w, f.name) for f in fields(w)]) if isinstance(x, Tensor)]


def emptied(w: Workload) -> Workload:
    """The same shapes, full of zeros."""

    def zeros(value):
        leaves, spec = tree_flatten(value)
        return tree_unflatten([torch.zeros_like(x) if isinstance(x, Tensor) else x for x in leaves], spec)

    return replace(w, **{f.name: zeros(getattr(w, f.name)) for f in fields(w) if f.name != "config"})


def fill(target: Workload, source: Workload) -> None:
    for x, y in zip(tensors(target), tensors(source), strict=True):
        x.copy_(y)
