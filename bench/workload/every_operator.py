"""A call of every operator on a workload, with the bytes that its interface must move and the flops of its formula.

Bytes: every input of the operator's schema is read once, and every output is written once. Scratch memory and second
reads are not counted, because they are losses of an implementation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

import colad_ops
from bench.workload import flops as f
from bench.workload.batch import Workload, views
from bench.workload.candidates import bytes_of_candidates, cheapest_candidates, matched_and_cost, repeated

ROW, COST, LABEL, BOX = 8, 4, 8, 16  # bytes of a row number, a cost, a label, a float32 box
FIT = 3 * 2 * 8  # weights, means, variances of one object, float64
SECTOR = 32  # bytes that a GPU's memory hands out at once
MANY_OBJECTS = 1000


@dataclass
class OperatorCall:
    op: str
    what: str
    run: Callable[[], Any]
    bytes: int
    flops: int
    em_iterations: tuple[int, int] = (0, 0)
    """EM iterations of the longest fit of up to 32 values, one for each lane of a warp, and of the longest fit of more.
    Iterations run one after the other, on any GPU."""
    capturable: bool = True
    """Whether a CUDA graph can capture the call. False if the size of the result depends on the data."""


def operator_calls(w: Workload, device: torch.device) -> list[OperatorCall]:
    """The calls. Counts are computed on the CPU; ``run`` works on ``device``."""
    d = w.to(device)
    matched, cost = matched_and_cost(w)
    counts = Counts(w, matched, cost)
    return [
        *box_calls(w, d, matched.to(device), counts),
        *assignment_calls(w, d, matched.to(device), cost.to(device), counts),
        *mixture_calls(w, device),
        *loss_calls(d, counts),
        *postprocess_calls(w, device),
    ]


class Counts:
    """Counts that depend on the data."""

    def __init__(self, w: Workload, matched: Tensor, cost: Tensor) -> None:
        self.anchors, self.objects = w.images * len(w.anchors), len(w.gt_boxes)  # of the batch
        self.pairs = self.objects * len(w.anchors)  # an object is compared only with the anchors of its image
        self.candidates = int((matched >= 0).sum())
        self.cost_reads = bytes_of_candidates(w, matched, SECTOR)
        values, offsets = cheapest_candidates(w)
        fit = colad_ops.gmm_em(values, offsets)
        self.em_flops = int((offsets.diff() * fit.n_iter).sum()) * f.EM_VALUE
        self.em_iterations = longest_fits(offsets.diff(), fit.n_iter)
        self.match = len(w.anchors) * BOX + self.objects * BOX + self.anchors * (ROW + COST)
        self.cost = self.anchors * (ROW + COST) + self.cost_reads + self.objects * (BOX + LABEL)
        self.split = self.anchors * (ROW + COST + ROW) + self.objects * (FIT + 3 * 8)
        self.cost_flops = self.candidates * (w.classes * (f.FOCAL + 1) + f.IOU + 3)


def longest_fits(counts: Tensor, iterations: Tensor) -> tuple[int, int]:
    """The most iterations of a fit of up to 32 values, and of a fit of more."""
    return int(iterations.mul(counts <= 32).max()), int(iterations.mul(counts > 32).max())


def box_calls(w: Workload, d: Workload, matched: Tensor, c: Counts) -> list[OperatorCall]:
    a, g = len(w.anchors), len(w.gt_boxes)
    boxes = torch.cat(d.boxes(), dim=1).reshape(-1, 4).contiguous()
    targets = d.anchors.repeat(w.images, 1)
    leaf = boxes.clone().requires_grad_()
    n = len(boxes)
    grad = torch.ones(n, device=boxes.device)

    def train() -> Tensor:
        return torch.autograd.grad(colad_ops.aligned_box_iou(leaf, targets, "giou"), leaf, grad)[0]

    of_images = leaf.detach().view(w.images, a, 4).requires_grad_()
    ones = torch.ones_like(matched, dtype=torch.float32)

    def train_matched() -> Tensor:
        overlap = colad_ops.matched_box_iou(of_images, d.gt_boxes, matched, mode="giou")
        return torch.autograd.grad(overlap, of_images, ones)[0]

    maps = [(0.01 * m).requires_grad_() for m in d.box_maps]
    of_boxes = torch.ones(w.images, a, 4, device=boxes.device)

    def decode() -> Tensor:
        return torch.autograd.grad(colad_ops.decode_boxes(d.anchors, views(maps)), maps, of_boxes)[0]

    return [
        OperatorCall(
            "decode_boxes", "NCHW maps read in place, forward and backward", decode,
            2 * a * BOX + n * (2 * BOX + 3 * BOX), n * (f.DECODE + f.DECODE_BACKWARD),
        ),
        OperatorCall(
            "box_iou", f"{g} objects x {a} anchors", partial(colad_ops.box_iou, d.gt_boxes, d.anchors),
            (a + g) * BOX + 4 * a * g, a * g * f.IOU,
        ),
        OperatorCall(
            "aligned_box_iou", "giou of all predictions, forward and backward", train,
            n * (2 * BOX + 4) + n * (4 + 4 * BOX), n * (f.GIOU + f.GIOU_BACKWARD),
        ),
        # Of an anchor without an object only `matched` is read. The gradient is written for every anchor.
        OperatorCall(
            "matched_box_iou", "giou of all predictions and their objects, forward and backward", train_matched,
            n * (2 * ROW + 4 + BOX) + c.candidates * (2 * BOX + 4) + 2 * g * BOX,
            c.candidates * (f.GIOU + f.GIOU_BACKWARD),
        ),
    ]  # fmt: skip


def assignment_calls(w: Workload, d: Workload, matched: Tensor, cost: Tensor, c: Counts) -> list[OperatorCall]:
    ground_truth = (d.gt_boxes, d.gt_labels, d.gt_offsets)
    whole = c.match + c.cost_reads + c.objects * (LABEL + FIT + 3 * 8) + c.anchors * COST
    # Written once: matched, iou, cost. The second network adds its logits, boxes and cost.
    pair = [(d.logits(), d.boxes()), (views(d.teacher_maps), d.boxes())]
    levels = len(w.level_sizes)
    statistics = c.anchors * (ROW + COST) + c.objects * levels * 3 * 8
    return [
        OperatorCall(
            "match_anchors", "", partial(colad_ops.match_anchors, d.anchors, d.gt_boxes, d.gt_offsets),
            c.match, c.pairs * f.IOU_WITH_AREAS,
        ),
        OperatorCall(
            "assign_cost", "NCHW maps read in place",
            partial(colad_ops.assign_cost, d.logits(), d.boxes(), *ground_truth[:2], matched), c.cost, c.cost_flops,
        ),
        OperatorCall(
            "split_candidates", "",
            partial(colad_ops.split_candidates, cost, matched, w.level_sizes, *ground_truth), c.split, c.em_flops,
            c.em_iterations,
        ),
        OperatorCall(
            "cost_statistics", "",
            partial(colad_ops.cost_statistics, cost, matched, d.gt_offsets, c.objects, w.level_sizes),
            statistics, 3 * c.candidates,
        ),
        OperatorCall(
            "paa_assign", "the whole assignment", partial(colad_ops.paa_assign, *d.assign_arguments()),
            whole, c.pairs * f.IOU_WITH_AREAS + c.cost_flops + c.em_flops, c.em_iterations,
        ),
        OperatorCall(
            "colad_assign", "the whole assignment of two networks",
            partial(colad_ops.colad_assign, pair, d.anchors, w.level_sizes, *ground_truth, w.config),
            whole + c.cost_reads + c.anchors * COST,
            c.pairs * f.IOU_WITH_AREAS + 2 * c.cost_flops + c.em_flops, c.em_iterations,
        ),
    ]  # fmt: skip


def mixture_calls(w: Workload, device: torch.device) -> list[OperatorCall]:
    calls = []
    values, offsets = cheapest_candidates(w)
    for segments in (len(offsets) - 1, MANY_OBJECTS):
        v, o = repeated(values, offsets, segments)
        fit = colad_ops.gmm_em(v, o)
        moved = len(v) * (4 + 3 * 8) + segments * (2 * 8 + FIT + 8 + 1)
        flops = int((o.diff() * fit.n_iter).sum()) * f.EM_VALUE
        run = partial(colad_ops.gmm_em, v.to(device), o.to(device))
        calls.append(
            OperatorCall("gmm_em", f"{segments} objects", run, moved, flops, longest_fits(o.diff(), fit.n_iter))
        )
    return calls


def loss_calls(d: Workload, c: Counts) -> list[OperatorCall]:
    calls = []
    labels = colad_ops.paa_assign(*d.assign_arguments()).labels(d.classes)
    for dtype in (torch.float32, torch.bfloat16):
        logits = torch.cat(d.logits(), dim=1).to(dtype).requires_grad_()
        teacher = torch.cat(views(d.teacher_maps), dim=1).to(dtype)
        n, size = logits.numel(), logits.element_size()

        def train(loss: Callable, x: Tensor, y: Tensor) -> Tensor:
            return torch.autograd.grad(loss(x, y, reduction="sum"), x)[0]

        what = f"{str(dtype).removeprefix('torch.')}, forward and backward"
        calls += [
            OperatorCall(
                "sigmoid_focal_loss", what, partial(train, colad_ops.sigmoid_focal_loss, logits, labels),
                2 * n * size + c.anchors * LABEL, n * (f.FOCAL + f.FOCAL_BACKWARD + 1),
            ),
            OperatorCall(
                "focal_kl_loss", what, partial(train, colad_ops.focal_kl_loss, logits, teacher),
                3 * n * size, n * (f.FOCAL_KL + f.FOCAL_KL_BACKWARD + 1),
            ),
        ]  # fmt: skip
    return calls


def postprocess_calls(w: Workload, device: torch.device, before: int = 1000, after: int = 100) -> list[OperatorCall]:
    """Calls on the ``before`` best boxes of every image (before NMS), and on the ``after`` best of one image (after
    NMS)."""
    probabilities = torch.cat(w.logits(), dim=1).sigmoid()  # (B, A, C)
    before = min(before, probabilities.shape[1])
    scores, rows = probabilities.amax(2).topk(before, dim=1)
    image = torch.arange(w.images)[:, None]
    labels = probabilities.argmax(2)[image, rows]
    boxes = torch.cat(w.boxes(), dim=1)[image, rows]
    offsets = torch.arange(w.images + 1) * before
    group = (image * w.classes + labels).flatten().unique(return_counts=True)[1]
    n, k = w.images * before, min(after, before)
    kept = [x[0, :k].to(device) for x in (boxes, scores, labels)]
    voters = boxes[0].to(device), probabilities[0, rows[0]].to(device)
    nms = partial(
        colad_ops.batched_nms, boxes.view(-1, 4).to(device), scores.flatten().to(device),
        labels.flatten().to(device), 0.6, offsets.to(device),
    )  # fmt: skip
    return [
        OperatorCall(
            "batched_nms", f"{before} boxes an image", nms, n * (BOX + 4 + LABEL + ROW),
            int((group * (group - 1) // 2).sum()) * f.IOU, capturable=False,
        ),
        OperatorCall(
            "score_voting", f"{k} kept, {before} voters", partial(colad_ops.score_voting, *kept, *voters),
            (2 * k + before) * BOX + k * (4 + LABEL) + k * before * 4, k * before * f.VOTE,
        ),
    ]  # fmt: skip
