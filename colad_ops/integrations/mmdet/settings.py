"""What the labels and losses of mmdetection's heads depend on, and which settings our operators do not reproduce."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from mmdet.models.dense_heads import LADHead, PAAHead
from mmdet.models.losses import CrossEntropyLoss, FocalLoss, GIoULoss
from mmdet.models.task_modules import BboxOverlaps2D, DeltaXYWHBBoxCoder, MaxIoUAssigner, PseudoSampler

from ... import AssignConfig
from ...detection import DeltaCoder, PAALoss


@dataclasses.dataclass(frozen=True)
class HeadSettings:
    """What a head's labels and losses depend on."""

    config: AssignConfig
    losses: PAALoss
    coder: DeltaCoder
    class_weight: float
    """Factor of the focal loss."""
    allowed_border: float
    """Anchors further than this outside the image take no part; negative: all take part."""
    ignore_iof: float
    """Anchors with more than this share in an ignore box take no part; 0: ignore boxes are not read."""
    ignore_wrt_candidates: bool
    """The share is of the anchor's area; False: of the ignore box's."""

    @classmethod
    def of(cls, head: PAAHead, config: AssignConfig | Mapping[str, Any] | None) -> HeadSettings:
        """The settings of a head. Raises ValueError for one that our operators do not reproduce."""
        if not head.train_cfg:
            raise ValueError("train_cfg should be given to a head that trains, got None")
        _check_losses(head)
        own = not isinstance(config, AssignConfig)
        if not isinstance(config, AssignConfig):
            _check_assignment(head)
            config = dataclasses.replace(_stock_config(head), **(config or {}))
        dx, dy, dw, dh = (float(std) for std in head.bbox_coder.stds)
        return cls(
            config=config,
            losses=PAALoss(
                alpha=head.loss_cls.alpha,
                gamma=head.loss_cls.gamma,
                box_weight=head.loss_bbox.loss_weight,
                iou_weight=head.loss_centerness.loss_weight,
                box_weighting="uniform" if isinstance(head, LADHead) else "iou",
                over_ranks=False,
            ),
            coder=DeltaCoder((dx, dy, dw, dh)),
            class_weight=head.loss_cls.loss_weight,
            allowed_border=head.train_cfg["allowed_border"],
            ignore_iof=max(head.assigner.ignore_iof_thr, 0.0) if own else 0.0,
            ignore_wrt_candidates=own and head.assigner.ignore_wrt_candidates,
        )


def _stock_config(head: PAAHead) -> AssignConfig:
    assigner = head.assigner
    return AssignConfig.mmdet(
        iou_threshold=assigner.pos_iou_thr,
        low_quality="all" if assigner.match_low_quality else "none",
        claim_zero_overlap=assigner.match_low_quality,
        topk=head.topk,
        covariance=head.covariance_type,
        alpha=head.loss_cls.alpha,
        gamma=head.loss_cls.gamma,
        box_weight=head.loss_bbox.loss_weight,
    )


def _check_losses(head: PAAHead) -> None:
    _require_type("loss_cls", head.loss_cls, FocalLoss)
    require("loss_cls.activated", head.loss_cls.activated, False)
    _require_type("loss_bbox", head.loss_bbox, GIoULoss)
    _require_type("loss_centerness", head.loss_centerness, CrossEntropyLoss)
    require("loss_centerness.use_sigmoid", head.loss_centerness.use_sigmoid, True)
    require("loss_centerness.class_weight", head.loss_centerness.class_weight, None)
    require("loss_centerness.ignore_index", head.loss_centerness.ignore_index, None, -100)
    for name in ("loss_cls", "loss_bbox", "loss_centerness"):
        require(f"{name}.reduction", getattr(head, name).reduction, "mean")
    _require_type("bbox_coder", head.bbox_coder, DeltaXYWHBBoxCoder)
    require("bbox_coder.target_means", tuple(head.bbox_coder.means), (0.0, 0.0, 0.0, 0.0))
    require("bbox_coder.add_ctr_clamp", head.bbox_coder.add_ctr_clamp, False)
    require("bbox_coder.use_box_type", head.bbox_coder.use_box_type, False)
    require("anchor_generator.use_box_type", head.prior_generator.use_box_type, False)
    require("reg_decoded_bbox", head.reg_decoded_bbox, True)
    require("cls_out_channels", head.cls_out_channels, head.num_classes)
    require("train_cfg.pos_weight", max(head.train_cfg["pos_weight"], 0), 0, 1)
    _check_methods(head)


def _check_methods(head: PAAHead) -> None:
    stock = LADHead if isinstance(head, LADHead) else PAAHead
    for name in _REPLACED:
        own: Any = getattr(type(head), name, None)
        if own is not getattr(stock, name, None) and not own.__module__.startswith(__package__):
            raise ValueError(f"{name} should be that of {stock.__name__}, got {own.__qualname__}")


# Methods whose work our operators do. A head that has another version of one would lose it.
_REPLACED = (
    "loss_by_feat",
    "get_label_assignment",
    "get_anchors",
    "get_targets",
    "_get_targets_single",
    "get_pos_loss",
    "paa_reassign",
    "gmm_separation_scheme",
)


def _check_assignment(head: PAAHead) -> None:
    assigner = head.assigner
    _require_type("assigner", assigner, MaxIoUAssigner)
    require("assigner.neg_iou_thr", assigner.neg_iou_thr, assigner.pos_iou_thr)
    if assigner.match_low_quality:
        require("assigner.min_pos_iou", max(assigner.min_pos_iou, 0), 0)
        require("assigner.gt_max_assign_all", assigner.gt_max_assign_all, True)
    require("assigner.perm_repeat_gt_cfg", assigner.perm_repeat_gt_cfg, None)
    _require_type("assigner.iou_calculator", assigner.iou_calculator, BboxOverlaps2D)
    require("assigner.iou_calculator.dtype", assigner.iou_calculator.dtype, None)
    _require_type("sampler", head.sampler, PseudoSampler)
    require("loss_cls.loss_weight", head.loss_cls.loss_weight, 1)  # the cost has the class loss without a factor


def require(name: str, value: Any, *allowed: Any) -> None:
    """Raises ValueError where ``value`` is not one of ``allowed``."""
    if value not in allowed:
        raise ValueError(f"{name} should be {' or '.join(repr(x) for x in allowed)}, got {value!r}")


def _require_type(name: str, value: Any, wanted: type) -> None:
    if type(value) is not wanted:
        raise ValueError(f"{name} should be a {wanted.__name__}, got a {type(value).__name__}")
