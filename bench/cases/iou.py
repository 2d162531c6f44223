"""Pairwise IoU of the objects of a batch with the anchors, in both layouts, and GIoU."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

import colad_ops
from bench.measure.case import Case, Peer
from bench.measure.machine import Machine
from bench.peers.eager_paa import overlaps
from bench.peers.names import COMPILED, EAGER, FASTBBOX, REFERENCES, TORCHVISION, VECTORISED
from bench.peers.packages import compiled, mmdetection, package_peer, torch_peer
from bench.report.goals import GOALS
from bench.workload.batch import workload
from colad_ops.ops.iou import aligned_box_iou_reference, box_iou_reference
from colad_ops.ops.matched_iou import matched_box_iou_reference

BOX, VALUE, ROW = 16, 4, 8  # bytes


def close(ours: Tensor, peers: Tensor) -> None:
    torch.testing.assert_close(ours, torch.as_tensor(peers), rtol=1e-4, atol=1e-5)


def with_gradient(function, boxes: Tensor, targets: Tensor, grad: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(function(boxes, targets), boxes, grad)
    return gradient


def pairwise_peers(first: Tensor, second: Tensor) -> list[Peer]:
    arrays = first.cpu().numpy(), second.cpu().numpy()
    return [
        torch_peer(EAGER, lambda: overlaps(first, second)),
        torch_peer(COMPILED, partial(compiled(overlaps), first, second)),
        package_peer(TORCHVISION, "torchvision", lambda m: lambda: m.ops.box_iou(first, second)),
        package_peer(FASTBBOX, "fastbbox", lambda m: lambda: m.bbox_overlaps(*arrays)),
        mmdetection(lambda m: lambda: m.bbox_overlaps(first, second)),
    ]


def cases(sizes: dict[str, int], machine: Machine) -> list[Case]:
    w = workload(**sizes).to(machine.device)
    objects, anchors = w.gt_boxes, w.anchors
    g, a = len(objects), len(anchors)
    pairs = machine.lower_bound((a + g) * BOX + a * g * VALUE)

    reference = partial(box_iou_reference, mode="giou")
    giou = [
        torch_peer(VECTORISED, lambda: reference(objects, anchors)),
        torch_peer(COMPILED, partial(compiled(reference), objects, anchors)),
        package_peer(TORCHVISION, "torchvision", lambda m: lambda: m.ops.generalized_box_iou(objects, anchors)),
        package_peer(
            FASTBBOX, "fastbbox",
            lambda m, arrays=(objects.cpu().numpy(), anchors.cpu().numpy()): lambda: m.generalized_iou(*arrays),
        ),
    ]  # fmt: skip

    boxes = torch.cat(w.boxes(), dim=1).reshape(-1, 4).contiguous().requires_grad_()
    targets, grad = anchors.repeat(w.images, 1), boxes.new_ones(len(boxes))
    row_by_row = partial(aligned_box_iou_reference, mode="giou")
    ours = partial(with_gradient, partial(colad_ops.aligned_box_iou, mode="giou"), boxes, targets, grad)
    aligned = [
        torch_peer(VECTORISED, partial(with_gradient, row_by_row, boxes, targets, grad)),
        torch_peer(COMPILED, partial(with_gradient, compiled(row_by_row), boxes, targets, grad)),
    ]

    assignment = colad_ops.paa_assign(*w.assign_arguments())
    of_anchors, matched = boxes.detach().view(w.images, a, 4).requires_grad_(), assignment.matched
    of_object = partial(matched_box_iou_reference, matched=matched, mode="giou")
    positives = int((matched >= 0).sum())
    per_anchor = grad.view(w.images, a)

    def overlap(x: Tensor, y: Tensor) -> Tensor:
        return colad_ops.matched_box_iou(x, y, matched, mode="giou")

    def of_every_anchor(x: Tensor, y: Tensor) -> Tensor:
        return row_by_row(x, y[matched.clamp(min=0)]).where(matched >= 0, 0)

    of_matched = [
        torch_peer(VECTORISED, partial(with_gradient, of_every_anchor, of_anchors, objects, per_anchor)),
        torch_peer(REFERENCES, partial(with_gradient, of_object, of_anchors, objects, per_anchor)),
        torch_peer(COMPILED, partial(with_gradient, compiled(of_every_anchor), of_anchors, objects, per_anchor)),
    ]
    return [
        Case(
            "box_iou", f"rows along the anchors, {g} x {a}", lambda: colad_ops.box_iou(objects, anchors),
            pairwise_peers(objects, anchors), close, pairs, GOALS["iou, rows along the anchors"],
        ),
        Case(
            "box_iou", f"rows along the objects, {a} x {g}", lambda: colad_ops.box_iou(anchors, objects),
            pairwise_peers(anchors, objects), close, pairs, GOALS["iou, rows along the objects"],
        ),
        Case("box_iou", f"giou, {g} x {a}", lambda: colad_ops.box_iou(objects, anchors, "giou"), giou, close, pairs),
        Case(
            "aligned_box_iou", f"giou of {len(boxes)} boxes, forward and backward", ours, aligned, close,
            machine.lower_bound(len(boxes) * (2 * BOX + VALUE + VALUE + BOX)),
        ),
        Case(
            "matched_box_iou", f"giou of {positives} positives of {len(boxes)} boxes, forward and backward",
            partial(with_gradient, overlap, of_anchors, objects, per_anchor), of_matched, close,
            machine.lower_bound(len(boxes) * (ROW + VALUE + BOX) + positives * 2 * (2 * BOX + VALUE)),
        ),
    ]  # fmt: skip
