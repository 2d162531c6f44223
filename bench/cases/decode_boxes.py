"""Boxes from the maps of deltas of a batch, and the derivative by the maps."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

import colad_ops
from bench.measure.case import Case
from bench.measure.machine import EXP, Machine
from bench.peers.names import COMPILED, EAGER, TORCHVISION
from bench.peers.packages import compiled, package_peer, torch_peer
from bench.report.goals import GOALS
from bench.workload.batch import views, workload

BOX = 16  # bytes, of a box or its deltas
STDS, MAX_RATIO = (0.1, 0.1, 0.2, 0.2), 1000 / 16


def eager(anchors: Tensor, maps: list[Tensor]) -> Tensor:
    """The usual code: the levels are joined, then decoded."""
    dx, dy, dw, dh = (delta * std for delta, std in zip(torch.cat(views(maps), dim=1).unbind(-1), STDS))
    x1, y1, x2, y2 = anchors.unbind(-1)
    width, height = x2 - x1, y2 - y1
    x, y = (x1 + x2) * 0.5 + dx * width, (y1 + y2) * 0.5 + dy * height
    limit = math.log(MAX_RATIO)
    half_width = width * dw.clamp(-limit, limit).exp() * 0.5
    half_height = height * dh.clamp(-limit, limit).exp() * 0.5
    return torch.stack([x - half_width, y - half_height, x + half_width, y + half_height], dim=-1)


def ours(anchors: Tensor, maps: list[Tensor]) -> Tensor:
    return colad_ops.decode_boxes(anchors, views(maps), stds=STDS, max_ratio=MAX_RATIO)


def with_gradient(function: Callable, anchors: Tensor, maps: list[Tensor], grad: Tensor) -> tuple[Tensor, ...]:
    boxes = function(anchors, maps)
    return boxes.detach(), *torch.autograd.grad(boxes, maps, grad)


def close(ours: tuple[Tensor, ...], peers: tuple[Tensor, ...]) -> None:
    for a, b in zip(ours, peers, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3)


def cases(sizes: dict[str, int], machine: Machine) -> list[Case]:
    w = workload(**sizes).to(machine.device)
    generator = torch.Generator().manual_seed(0)
    maps = [torch.randn(m.shape, generator=generator).to(machine.device).requires_grad_() for m in w.box_maps]
    grad = torch.randn(w.images, len(w.anchors), 4, generator=generator).to(machine.device)
    run = partial(with_gradient, anchors=w.anchors, maps=maps, grad=grad)
    boxes = w.images * len(w.anchors)
    repeated = w.anchors.repeat(w.images, 1)

    def coder(module) -> Callable[[], tuple[Tensor, ...]]:
        decode = module.models.detection._utils.BoxCoder((10.0, 10.0, 5.0, 5.0)).decode_single

        def joined(anchors: Tensor, maps: list[Tensor]) -> Tensor:
            return decode(torch.cat(views(maps), dim=1).reshape(-1, 4), repeated).view(w.images, -1, 4)

        return partial(run, joined)

    peers = [
        torch_peer(EAGER, partial(run, eager)),
        torch_peer(COMPILED, partial(run, compiled(eager))),
        package_peer(TORCHVISION, "torchvision", coder),
    ]
    # Deltas are read and boxes written; then two deltas and the gradient are read, and four gradients written.
    bound = machine.lower_bound(boxes * (2 * BOX + BOX // 2 + 2 * BOX), boxes * 4 * EXP)
    return [
        Case(
            "decode_boxes", f"{boxes:,} boxes, forward and backward", partial(run, ours), peers, close, bound,
            GOALS["decoding"],
        )
    ]  # fmt: skip
