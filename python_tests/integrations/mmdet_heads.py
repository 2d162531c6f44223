"""mmdetection's PAA and LAD heads, and batches for them: maps of a half-trained detector, and their ground truth.

With mmcv-lite, import :mod:`python_tests.integrations.mmcv_ext` first.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmdet.models.dense_heads import PAAHead
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor, nn

from bench.workload.batch import Workload, make_workload
from colad_ops.detection import DeltaCoder

register_all_modules(init_default_scope=False)


def head_config(name: str = "PAAHead", classes: int = 80, **changes: Any) -> ConfigDict:
    """The head of ``configs/paa/paa_r50_fpn_1x_coco.py``, without convolutions in the towers. ``changes`` replace
    entries; dots name those of an inner dict: ``{"train_cfg.assigner.ignore_iof_thr": 0.5}``."""
    config = ConfigDict(
        type=name,
        reg_decoded_bbox=True,
        score_voting=True,
        topk=9,
        num_classes=classes,
        in_channels=8,
        stacked_convs=0,
        feat_channels=8,
        anchor_generator=dict(
            type="AnchorGenerator",
            ratios=[1.0],
            octave_base_scale=8,
            scales_per_octave=1,
            strides=[8, 16, 32, 64, 128],
        ),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_cls=dict(type="FocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type="GIoULoss", loss_weight=1.3),
        loss_centerness=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=0.5),
        train_cfg=dict(
            assigner=dict(type="MaxIoUAssigner", pos_iou_thr=0.1, neg_iou_thr=0.1, min_pos_iou=0, ignore_iof_thr=-1),
            allowed_border=-1,
            pos_weight=-1,
            debug=False,
        ),
        test_cfg=dict(nms_pre=1000, score_thr=0.05, nms=dict(type="nms", iou_threshold=0.6), max_per_img=100),
    )
    for path, value in changes.items():
        *outer, last = path.split(".")
        inner = config
        for key in outer:
            inner = inner[key]
        inner[last] = value
    return config


def build_head(name: str = "PAAHead", classes: int = 80, **changes: Any) -> nn.Module:
    return MODELS.build(head_config(name, classes, **changes))


@dataclass
class HeadBatch:
    """What ``loss_by_feat`` takes: maps of B images, objects and sizes of each image."""

    cls_scores: list[Tensor]
    bbox_preds: list[Tensor]
    iou_preds: list[Tensor]
    objects: list[InstanceData]
    metas: list[dict]
    ignored: list[InstanceData] | None = None

    def as_leaves(self) -> HeadBatch:
        """A copy whose maps are leaves of a graph."""
        leaves = copy.copy(self)
        for name in ("cls_scores", "bbox_preds", "iou_preds"):
            setattr(leaves, name, [x.detach().requires_grad_() for x in getattr(self, name)])
        return leaves

    @property
    def maps(self) -> list[Tensor]:
        return [*self.cls_scores, *self.bbox_preds, *self.iou_preds]

    def arguments(self) -> tuple:
        return self.cls_scores, self.bbox_preds, self.iou_preds, self.objects, self.metas, self.ignored


def make_batch(images: int, height: int, width: int, classes: int, objects: int, seed: int = 0) -> HeadBatch:
    w = make_workload(images, objects, height, width, classes, seed)
    generator = torch.Generator().manual_seed(seed)
    iou_maps = [torch.randn(images, 1, *x.shape[2:], generator=generator) for x in w.class_maps]
    rows = w.gt_offsets.tolist()
    found = [instances(w.gt_boxes[a:b], w.gt_labels[a:b]) for a, b in zip(rows, rows[1:])]
    metas = [dict(img_shape=(height, width), pad_shape=(height, width)) for _ in range(images)]
    return HeadBatch(w.class_maps, delta_maps(w), iou_maps, found, metas)


def delta_maps(w: Workload) -> list[Tensor]:
    """The workload's box maps as deltas from their anchors. Boxes of sides below a pixel are widened first."""
    maps = []
    for level, anchors in zip(w.box_maps, w.anchors.split(w.level_sizes)):
        x1, y1, x2, y2 = level.flatten(2).unbind(1)  # (B, A_l)
        boxes = torch.stack([torch.min(x1, x2 - 1), torch.min(y1, y2 - 1), x2, y2], dim=2)
        maps.append(DeltaCoder().encode(anchors, boxes).transpose(1, 2).reshape(level.shape).contiguous())
    return maps


def instances(boxes: Tensor | Sequence, labels: Tensor | Sequence | None = None) -> InstanceData:
    found = InstanceData(bboxes=torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    if labels is not None:
        found.labels = torch.as_tensor(labels, dtype=torch.int64)
    return found


def detector_config(classes: int = 8, head: str = "PAAHead", channels: int = 8) -> ConfigDict:
    """A PAA detector with a narrow ResNet18."""
    widths = [channels * 2**stage for stage in range(4)]
    return ConfigDict(
        type="PAA",
        backbone=dict(type="ResNet", depth=18, base_channels=channels, stem_channels=channels, norm_eval=False),
        neck=dict(
            type="FPN",
            in_channels=widths,
            out_channels=channels,
            start_level=1,
            add_extra_convs="on_output",
            num_outs=5,
        ),
        bbox_head=head_config(head, classes, in_channels=channels, train_cfg=None, test_cfg=None),
        **{name: head_config(classes=classes)[name] for name in ("train_cfg", "test_cfg")},
    )


def lad_config(classes: int = 8, head: str = "LADHead") -> ConfigDict:
    config, teacher = detector_config(classes, head), detector_config(classes, head)
    config.update({f"teacher_{part}": teacher[part] for part in ("backbone", "neck", "bbox_head")}, type="LAD")
    return config


def build_detector(config: ConfigDict, seed: int = 0) -> nn.Module:
    """With random weights of which the predictions differ from anchor to anchor."""
    torch.manual_seed(seed)
    detector = MODELS.build(config)
    for module in detector.modules():
        if isinstance(module, PAAHead):
            for layer in (module.atss_cls, module.atss_reg, module.atss_centerness):
                nn.init.normal_(layer.weight, std=0.3)
    return detector


def data_samples(batch: HeadBatch) -> list[DetDataSample]:
    samples = []
    for objects, meta in zip(batch.objects, batch.metas):
        sample = DetDataSample(metainfo=meta)
        sample.gt_instances = objects
        samples.append(sample)
    return samples
