"""What holds on a device: the host never waits, a CUDA graph can capture an assignment, it takes little memory."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

import colad_ops
from bench.workload.batch import Workload, views
from gpu_checks.context import Context

# Bound of the peak memory of a whole assignment, without the memory allocated before. For an anchor: matched twice
# (int64), iou and cost (float32), 24 bytes. For an object: its statistics and mixture, and keys, sorted keys and
# responsibilities of up to levels x topk samples. No term grows with anchors x objects; such a matrix would take 10 MB
# for an image with 100 objects.
BYTES_AN_ANCHOR, BYTES_AN_OBJECT, BYTES_IN_ALL = 32, 4096, 1 << 16


def train_step(w: Workload, logits: Tensor, teacher: Tensor) -> list[Tensor]:
    """An assignment by one network, an assignment by two networks, both losses and their gradients."""
    assignment = colad_ops.paa_assign(*w.assign_arguments())
    pair = [(w.logits(), w.boxes()), ([teacher], w.boxes())]
    both = colad_ops.colad_assign(
        pair, w.anchors, w.level_sizes, w.gt_boxes, w.gt_labels, w.gt_offsets, w.config, granularity="image"
    )
    labels, total = assignment.labels(w.classes), assignment.num_pos_total
    focal = colad_ops.sigmoid_focal_loss(logits, labels, reduction="sum", avg_factor=total)
    soft = colad_ops.focal_kl_loss(logits, teacher, reduction="sum", avg_factor=total)
    overlap = colad_ops.aligned_box_iou(torch.cat(w.boxes(), dim=1), assignment.boxes(), "giou")
    (gradient,) = torch.autograd.grad(focal + soft, logits)
    return [assignment.matched, both.assignment.matched, focal.detach(), soft.detach(), overlap, gradient]


def training_logits(w: Workload) -> tuple[Tensor, Tensor]:
    """``(B, A, C)`` of the network that learns and of its teacher."""
    learns, teacher = (torch.cat(views(maps), dim=1) for maps in (w.class_maps, w.teacher_maps))
    return learns.requires_grad_(), teacher


def check_no_sync(context: Context) -> str:
    w = context.workload.to(context.device.device)
    logits = training_logits(w)
    train_step(w, *logits)  # the first call loads kernels, which may wait
    with context.device.waiting_is_an_error():
        results = train_step(w, *logits)
    assert all(x.isfinite().all() for x in results)
    return "assignment of one and of two networks, focal and focal-KL loss, forward and backward"


def check_graph(context: Context) -> str:
    """A graph is captured on one batch and replayed on another. The results equal an eager call on the other batch bit
    for bit."""
    static = context.workload.to(context.device.device)
    static = replace(static, class_maps=[m.clone() for m in static.class_maps])
    kept = {}

    def assign() -> None:
        kept["result"] = colad_ops.paa_assign(*static.assign_arguments())

    replay = context.device.graph(assign)
    for seen, other in zip(static.class_maps, context.workload.teacher_maps):
        seen.copy_(other)
    replay()
    captured = kept["result"]  # the replay writes to the same memory as the capture
    eager = colad_ops.paa_assign(*static.assign_arguments())
    for name, a, b in zip(captured._fields, captured, eager):
        assert a.shape == b.shape and torch.equal(a.nan_to_num(nan=-7), b.nan_to_num(nan=-7)), f"{name} differs"
    return "captured on one batch, replayed on another, all results equal to eager ones bit for bit"


def check_memory(context: Context) -> str:
    lines = []
    for w in (context.sized(images=4, objects=30), context.workload):
        arguments = w.to(context.device.device).assign_arguments()
        colad_ops.paa_assign(*arguments)
        peak = context.device.peak_bytes(lambda arguments=arguments: colad_ops.paa_assign(*arguments))
        anchors, objects = w.images * len(w.anchors), len(w.gt_boxes)
        bound = BYTES_AN_ANCHOR * anchors + BYTES_AN_OBJECT * objects + BYTES_IN_ALL
        lines.append(f"{anchors} anchors, {objects} objects: peak {peak} bytes, bound {bound}")
        assert peak <= bound, lines[-1]
    return "; ".join(lines)
