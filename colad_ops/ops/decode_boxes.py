"""Boxes from a network's offsets to its anchors (R-CNN's parametrisation)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from colad_ops.devices import check_same_device
from colad_ops.ops._call import call_below_autograd
from colad_ops.ops._differentiable_once import register_once


def decode_boxes(
    anchors: Tensor,
    deltas: Tensor | Sequence[Tensor],
    *,
    stds: Sequence[float] = (0.1, 0.1, 0.2, 0.2),
    max_ratio: float = 1000 / 16,
) -> Tensor:
    """``x = xa + dx * std_x * wa`` and ``w = wa * exp(clamp(dw * std_w, -log(max_ratio), log(max_ratio)))``, with the
    centre ``xa`` and the width ``wa`` of the anchor; likewise y and height. Boxes may leave the image.

    Args:
        anchors: ``(A, 4)`` xyxy pixels; float32, float64, float16 or bfloat16. The same for all images.
        deltas: ``(..., A, 4)`` offsets ``(dx, dy, dw, dh)`` of any of the four dtypes; or a list with one view a level
            ``(B, A_l, 4)`` of any strides (an NCHW map as ``map.flatten(2).transpose(1, 2)``). With ``K`` anchors at
            each location a level may also be ``(B, H * W, K, 4)`` (a map of ``4 K`` channels as
            ``map.view(B, K, 4, H * W).permute(0, 3, 1, 2)``); the anchors of a location are then neighbours in
            ``anchors``. The views of a list are read in place.
        stds: factors of ``(dx, dy, dw, dh)``; those of RetinaNet, ATSS and PAA by default. They are the inverse of
            torchvision's ``weights``.
        max_ratio: a decoded side is between ``1 / max_ratio`` and ``max_ratio`` times the anchor's; in 1..1e36.

    Returns:
        ``(..., A, 4)``, or ``(B, A, 4)`` for a list; float64 for float64 deltas, else float32, also the computation. A
        NaN delta gives NaN coordinates. An anchor whose corners are exchanged gives such a box.

        Differentiable once, with respect to the deltas only: the anchors get no gradient. The derivative of the clamp
        is 0 outside, 1 at both ends, and 0 for NaN. The gradient of a view has its order in memory (if the deltas have
        no gaps there), and its dtype.

        On the range of the clamp it equals torchvision's ``BoxCoder.decode``, which clamps large sides only, and
        mmdetection's ``DeltaXYWHBBoxCoder`` without ``max_shape``.

    Raises:
        RuntimeError: wrong shape, dtype, device or option.
    """
    levels, shape = _as_levels(deltas)
    boxes = _call(anchors.detach(), levels, list(stds), max_ratio)
    return boxes if shape is None else boxes.view(shape)


def _call(anchors: Tensor, levels: list[Tensor], stds: list[float], max_ratio: float) -> Tensor:
    if torch.is_grad_enabled() and any([x.requires_grad for x in levels]):
        if torch.compiler.is_compiling():
            return torch.ops.colad.decode_boxes(anchors, levels, stds, max_ratio)
        return _Decode.apply(anchors, stds, max_ratio, *levels)
    return call_below_autograd(torch.ops.colad.decode_boxes, anchors, levels, stds, max_ratio)


class _Decode(torch.autograd.Function):
    """What ``register_autograd`` below does, without its search for tensors in lists: that takes 100 us a step."""

    @staticmethod
    def forward(ctx: Any, anchors: Tensor, stds: list[float], max_ratio: float, *levels: Tensor) -> Tensor:
        _save(ctx, (anchors, levels, stds, max_ratio), None)
        return call_below_autograd(torch.ops.colad.decode_boxes, anchors, levels, stds, max_ratio)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        return None, None, None, *_gradients(ctx, grad)


def _as_levels(deltas: Tensor | Sequence[Tensor]) -> tuple[list[Tensor], torch.Size | None]:
    """The deltas as the operator takes them, and the shape of the result if it is not ``(B, A, 4)``."""
    if not isinstance(deltas, Tensor):
        return list(deltas), None
    if deltas.dim() < 2 or deltas.shape[-1] != 4:
        raise RuntimeError(f"deltas should have shape (..., A, 4), got {tuple(deltas.shape)}")
    if deltas.dim() == 3:
        return [deltas], None
    return [deltas.unsqueeze(0) if deltas.dim() == 2 else deltas.flatten(0, -3)], deltas.shape


@torch.library.register_fake("colad::decode_boxes")
def _(anchors: Tensor, deltas: list[Tensor], *options: Any) -> Tensor:
    check_same_device(anchors=anchors, deltas=deltas)
    dtype = torch.float64 if deltas[0].dtype == torch.float64 else torch.float32
    return anchors.new_empty((deltas[0].shape[0], anchors.shape[0], 4), dtype=dtype)


@torch.library.register_fake("colad::decode_boxes_backward")
def _(grad: Tensor, anchors: Tensor, deltas: list[Tensor], *options: Any) -> list[Tensor]:
    check_same_device(anchors=anchors, deltas=deltas, grad=grad)
    return [torch.empty_like(level) for level in deltas]


def _save(ctx: Any, inputs: tuple, output: Tensor | None) -> None:
    anchors, deltas, *ctx.options = inputs
    ctx.save_for_backward(anchors, *deltas)


def _gradients(ctx: Any, grad: Tensor) -> list[Tensor]:
    anchors, *deltas = ctx.saved_tensors
    return torch.ops.colad.decode_boxes_backward(grad, anchors, deltas, *ctx.options)


def _backward(ctx: Any, grad: Tensor) -> tuple:
    # torch leaves out options that have their default, and wants as many results as it passed arguments.
    return None, _gradients(ctx, grad), *[None] * (len(ctx.needs_input_grad) - 2)


torch.library.register_autograd("colad::decode_boxes", _backward, setup_context=_save)
register_once("decode_boxes")


def decode_boxes_reference(
    anchors: Tensor,
    deltas: Tensor | Sequence[Tensor],
    *,
    stds: Sequence[float] = (0.1, 0.1, 0.2, 0.2),
    max_ratio: float = 1000 / 16,
) -> Tensor:
    """The reference of :func:`decode_boxes` in plain PyTorch: the same values, and by autograd the same derivatives."""
    if not isinstance(deltas, Tensor):
        deltas = torch.cat([x.flatten(1, 2) if x.dim() == 4 else x for x in deltas], dim=1)
    compute = torch.float64 if deltas.dtype == torch.float64 else torch.float32
    anchors, deltas = anchors.detach().to(compute), deltas.to(compute)
    limit = math.log(max_ratio)
    dx, dy, dw, dh = (delta * std for delta, std in zip(deltas.unbind(-1), stds, strict=True))
    x1, y1, x2, y2 = anchors.unbind(-1)
    width, height = x2 - x1, y2 - y1
    x, y = (x1 + x2) * 0.5 + dx * width, (y1 + y2) * 0.5 + dy * height
    half_width = width * _clamp(dw, limit).exp() * 0.5
    half_height = height * _clamp(dh, limit).exp() * 0.5
    return torch.stack([x - half_width, y - half_height, x + half_width, y + half_height], dim=-1)


def _clamp(values: Tensor, limit: float) -> Tensor:
    """A clamp whose derivative at both ends is 1, as in the operator. For torch's own clamp this derivative is 1 before
    version 2.15, and 0 since."""
    end = values.new_tensor(limit)  # rounded to the dtype, as torch's clamp and the operator do
    return torch.where((values >= -end) & (values <= end), values, values.detach().clamp(-end, end))
