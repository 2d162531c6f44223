"""The loss step of mmdetection's PAA head: from its NCHW maps to the gradients of these maps. That is decoding,
assignment, losses and backward. The peer is the stock head on the same maps.

It needs mmdetection: ``.venv-integrations/bin/python -m bench.run head_step``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from bench.measure.case import Case, Goal
from bench.measure.machine import Machine
from bench.peers.names import MMDET_HEAD
from bench.peers.packages import package_peer
from bench.workload.batch import SMALL
from bench.workload.flops import FOCAL, FOCAL_BACKWARD
from colad_ops import AssignConfig, ragged
from colad_ops.detection import PAALoss, Predictions, Targets
from colad_ops.detection.assigners import assign_labels
from colad_ops.detection.losses import total_loss

VALUE = 4  # bytes
GOALS = (Goal("times", 30, MMDET_HEAD),)
Step = tuple[Tensor, list[Tensor]]
"""The sum of the losses, and its derivatives with respect to the maps."""


def cases(sizes: dict[str, int], machine: Machine) -> list[Case]:
    import python_tests.integrations.mmcv_ext  # noqa: F401, before mmdet is imported  # isort: skip
    from colad_ops.integrations import mmdet as integration
    from python_tests.integrations.mmdet_heads import build_head, make_batch

    torch.manual_seed(0)
    found = []
    for images in (sizes["images"],) if sizes == SMALL else (2, sizes["images"]):
        objects = -(-sizes["objects"] * images // sizes["images"])
        batch = make_batch(images, sizes["height"], sizes["width"], sizes["classes"], objects).as_leaves()
        stock = build_head("PAAHead", sizes["classes"])
        patched = integration.patch(copy.deepcopy(stock))
        run_stock = partial(step_of, stock.loss_by_feat, batch)
        peer = package_peer(MMDET_HEAD, "mmdet", lambda _, run=run_stock: run)
        values, logits = (sum(x.numel() for x in maps) for maps in (batch.maps, batch.cls_scores))
        # Each map is read and its gradient written; every logit has a loss and a derivative.
        bound = machine.lower_bound(2 * VALUE * values, logits * (FOCAL + FOCAL_BACKWARD))
        for what, run in (
            ("patched PAAHead", partial(step_of, patched.loss_by_feat, batch)),
            ("PAALoss on the same maps", partial(own_step, patched, batch)),
        ):
            found.append(Case("head step", f"{what}, {images} images", run, [peer], close, bound, GOALS, once=True))
    return found


def step_of(loss_by_feat: Callable, batch) -> Step:
    loss = sum(loss_by_feat(*batch.arguments()).values())
    return loss.detach(), list(torch.autograd.grad(loss, batch.maps))


def own_step(head: nn.Module, batch) -> Step:
    """``colad_ops.detection.PAA`` without a network: its assignment and its losses."""
    from colad_ops.integrations.mmdet.batch import predictions_of

    predictions: Predictions = predictions_of(head, batch.cls_scores, batch.bbox_preds, batch.iou_preds)
    boxes, offsets = ragged([each.bboxes for each in batch.objects])
    labels = torch.cat([each.labels for each in batch.objects])
    sizes = torch.tensor([meta["pad_shape"] for meta in batch.metas])
    targets = Targets(boxes, labels, offsets, sizes)
    valid = predictions.anchors.valid(sizes)
    assignment = assign_labels(predictions, targets, valid, AssignConfig.mmdet())
    loss = total_loss(PAALoss()(predictions, assignment, valid))["loss"]
    return loss.detach(), list(torch.autograd.grad(loss, batch.maps))


def close(ours: Step, peers: Step) -> None:
    for a, b in zip((ours[0], *ours[1]), (peers[0], *peers[1])):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)
