"""A batch in mmdetection's form as ours: NCHW maps, lists of objects and sizes of images."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
from mmdet.structures.bbox import get_box_tensor
from torch import Tensor

from ... import box_iou, ragged
from ...detection import Anchors, Predictions, Targets, flatten_maps
from .settings import HeadSettings

Maps = Sequence[Tensor]
"""NCHW maps, one for each level."""


def predictions_of(head: Any, cls_scores: Maps, bbox_preds: Maps, iou_preds: Maps = ()) -> Predictions:
    """The predictions of maps ``(B, anchors * n, H_l, W_l)``, in mmdetection's order: the anchors of a location one
    after the other. Without ``iou_preds`` they can only assign."""
    anchors = _lay_anchors(head.prior_generator, tuple(tuple(x.shape[-2:]) for x in cls_scores), cls_scores[0].device)
    logits, deltas = flatten_maps(cls_scores, head.num_classes), flatten_maps(bbox_preds, 4)
    iou_logits = [level.squeeze(2) for level in flatten_maps(iou_preds, 1)]
    return Predictions.from_levels(logits, deltas, iou_logits, anchors, head.settings().coder)


@functools.lru_cache(maxsize=64)
def _lay_anchors(generator: Any, sizes: tuple[tuple[int, int], ...], device: torch.device) -> Anchors:
    """The generator's anchors. ``points`` are the corners of their cells: a cell is valid where its corner is in the
    padded image."""
    with torch.inference_mode(False):  # the cache lives longer than this call
        boxes = generator.grid_priors(sizes, device=device)
        points = []
        for (rows, columns), (width, height), level in zip(sizes, generator.strides, boxes):
            y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
            corners = torch.stack([x * width, y * height], dim=2).reshape(-1, 1, 2)
            points.append(corners.expand(-1, len(level) // len(corners), 2).reshape(-1, 2).float())
        return Anchors(torch.cat(boxes), torch.cat(points).to(device), tuple(len(level) for level in boxes))


def targets_of(
    settings: HeadSettings, objects: Sequence, metas: Sequence[dict], ignore: Sequence | None, device: torch.device
) -> Targets:
    """``image_sizes`` are the padded sizes: mmdetection's anchors are valid up to there."""
    boxes, offsets = ragged([_boxes(each) for each in objects])
    labels = torch.cat([each.labels for each in objects])
    padded = torch.tensor([meta["pad_shape"][:2] for meta in metas]).to(device, non_blocking=True)
    regions: tuple[Tensor | None, Tensor | None] = (None, None)
    if ignore is not None and math.isfinite(settings.config.ignore_iof):
        regions = ragged([_boxes(each) for each in ignore])
    return Targets(boxes, labels, offsets, padded, *regions)


def _boxes(instances: Any) -> Tensor:
    return get_box_tensor(instances.bboxes).float()


def valid_anchors(
    settings: HeadSettings,
    anchors: Anchors,
    targets: Targets,
    objects: Sequence,
    metas: Sequence[dict],
    ignore: Sequence | None,
) -> Tensor:
    """(B, A): anchors that take part, by the rules of ``AnchorHead`` and ``MaxIoUAssigner``."""
    valid = anchors.valid(targets.image_sizes)
    if settings.allowed_border >= 0:
        sizes = torch.tensor([meta["img_shape"][:2] for meta in metas]).to(valid.device, non_blocking=True)
        far = sizes.flip(1)[:, None] + settings.allowed_border  # (B, 1, 2)
        valid = valid & (anchors.boxes[:, :2] >= -settings.allowed_border).all(1) & (anchors.boxes[:, 2:] < far).all(2)
    if ignore is None or settings.ignore_iof <= 0:
        return valid
    for image, regions in enumerate(map(_boxes, ignore)):
        # In an image without objects every anchor is background, also the ignored ones.
        if len(regions) and len(objects[image]):
            pair = (anchors.boxes, regions) if settings.ignore_wrt_candidates else (regions, anchors.boxes)
            share = box_iou(*pair, "iof").amax(1 if settings.ignore_wrt_candidates else 0)
            valid[image] &= share <= settings.ignore_iof
    return valid
