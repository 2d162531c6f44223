"""PAA and LAD inside mmdetection 3.3: the labels and the losses of its ``PAAHead`` and ``LADHead`` by our operators.

The heads of its fork onedl-mmdetection (3.5) have the same text and the same import name, so they are patched too.

.. code-block:: python

    from colad_ops.integrations import mmdet as colad

    detector = MODELS.build(config.model)
    colad.patch(detector)                     # or colad.patch(detector.bbox_head)
    colad.patch(detector, teacher=teacher)    # LAD: the labels come from a trained detector

or in a configuration file::

    custom_imports = dict(imports=["colad_ops.integrations.mmdet"], allow_failed_imports=False)
    model = dict(bbox_head=dict(type="ColadPAAHead", ...))  # or ColadLADHead; else as PAAHead and LADHead

Labels, losses and gradients equal those of the stock head, up to rounding. Differences:

- The mixtures are fitted in float64. scikit-learn fits float32 values in the stock head, which may raise or change a
  label.
- A batch in which the predictions of all positives have an IoU of 0 has a box loss of mean ``1 - GIoU``; there it is
  almost 0.
- Areas of inverted boxes are clamped at 0.

Maps of a head with one anchor a location are read in place. With several anchors a location they are copied once, as in
the stock head. Nothing waits for the device.

Under ``torch.autocast`` the maps may be float16 or bfloat16: costs, boxes and losses are computed in float32 and the
mixtures in float64. Gradients have the dtype of the maps.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from mmdet.models.dense_heads import LADHead, PAAHead
from mmdet.models.losses import CrossEntropyLoss, FocalLoss, GIoULoss
from mmdet.models.task_modules import BboxOverlaps2D, DeltaXYWHBBoxCoder, MaxIoUAssigner, PseudoSampler
from mmdet.registry import MODELS
from mmdet.structures.bbox import get_box_tensor
from torch import Tensor, nn

from .. import AssignConfig, Assignment, box_iou, ragged
from ..detection import Anchors, DeltaCoder, PAALoss, Predictions, Targets
from ..detection.assigners import assign_labels

Maps = Sequence[Tensor]
"""NCHW maps, one for each level."""


def patch(
    model: nn.Module, *, config: AssignConfig | Mapping[str, Any] | None = None, teacher: Any = None
) -> nn.Module:
    """Replaces the assignment and the losses of a built head or detector. Parameters, state dict and prediction stay.

    Args:
        model: a ``PAAHead`` or ``LADHead`` (or a subclass that leaves the labels and losses as they are), or a detector
            whose ``bbox_head`` is one. Of mmdetection's ``LAD`` detector the teacher's head is patched too.
        config: options of the assignment. None: ``AssignConfig.mmdet()`` with the head's own ``topk``,
            ``covariance_type``, assigner and loss weights. A dict changes single fields of that. An
            :class:`AssignConfig` is used as it is, with its own treatment of ignore boxes.
        teacher: LAD: the labels come from its predictions. A mmdetection detector with the same classes and anchors,
            for a detector: it is frozen, and neither in the parameters nor in the state dict. Or a function that
            returns the maps ``(cls_scores, bbox_preds, ...)`` of the batch: it is called without gradient, with the
            images where ``model`` is a detector, with the pyramid where it is a head.

    Returns:
        ``model``, the same object. Its class is now a subclass of what it was.

    Raises:
        TypeError: ``model`` is no such head or detector.
        ValueError: a setting of the head cannot be reproduced; the message names it.
    """
    head = model if isinstance(model, PAAHead) else getattr(model, "bbox_head", None)
    if not isinstance(head, PAAHead):
        raise TypeError(f"model should be a PAAHead, a LADHead or a detector with one, got {type(model).__name__}")
    _patch_head(head, config)
    if model is not head and isinstance(getattr(getattr(model, "teacher_model", None), "bbox_head", None), LADHead):
        _patch_head(model.teacher_model.bbox_head, config)
    if teacher is not None:
        _set_teacher(head, teacher, of_images=model is not head)
        if model is not head:
            model.__class__ = _subclass(_ShowsImages, type(model))
    return model


def _patch_head(head: PAAHead, config: AssignConfig | Mapping[str, Any] | None) -> None:
    settings = HeadSettings.of(head, config)
    head.__class__ = _subclass(_LADLabels if isinstance(head, LADHead) else _PAALabels, type(head))
    head.colad = settings


@functools.cache
def _subclass(mixin: type, stock: type) -> type:
    """``stock`` with the methods of ``mixin``: the registered class where there is one."""
    if issubclass(stock, mixin):
        return stock
    registered = {PAAHead: ColadPAAHead, LADHead: ColadLADHead}
    return registered.get(stock) or type(f"Colad{stock.__name__}", (mixin, stock), {})


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
        train, own = head.train_cfg, not isinstance(config, AssignConfig)
        if own:
            _check_assignment(head)
            config = dataclasses.replace(_stock_config(head), **(config or {}))
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
            coder=DeltaCoder(tuple(float(std) for std in head.bbox_coder.stds)),
            class_weight=head.loss_cls.loss_weight,
            allowed_border=train["allowed_border"],
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
    _require("loss_cls.activated", head.loss_cls.activated, False)
    _require_type("loss_bbox", head.loss_bbox, GIoULoss)
    _require_type("loss_centerness", head.loss_centerness, CrossEntropyLoss)
    _require("loss_centerness.use_sigmoid", head.loss_centerness.use_sigmoid, True)
    _require("loss_centerness.class_weight", head.loss_centerness.class_weight, None)
    _require("loss_centerness.ignore_index", head.loss_centerness.ignore_index, None, -100)
    for name in ("loss_cls", "loss_bbox", "loss_centerness"):
        _require(f"{name}.reduction", getattr(head, name).reduction, "mean")
    _require_type("bbox_coder", head.bbox_coder, DeltaXYWHBBoxCoder)
    _require("bbox_coder.target_means", tuple(head.bbox_coder.means), (0.0, 0.0, 0.0, 0.0))
    _require("bbox_coder.add_ctr_clamp", head.bbox_coder.add_ctr_clamp, False)
    _require("bbox_coder.use_box_type", head.bbox_coder.use_box_type, False)
    _require("anchor_generator.use_box_type", head.prior_generator.use_box_type, False)
    _require("reg_decoded_bbox", head.reg_decoded_bbox, True)
    _require("cls_out_channels", head.cls_out_channels, head.num_classes)
    _require("train_cfg.pos_weight", max(head.train_cfg["pos_weight"], 0), 0, 1)
    if not isinstance(head, _Labels):
        for name in _REPLACED:
            own, stock = (getattr(each, name, None) for each in (type(head), _stock_class(head)))
            if own is not stock:
                raise ValueError(f"{name} should be that of {_stock_class(head).__name__}, got {own.__qualname__}")


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


def _stock_class(head: PAAHead) -> type:
    return LADHead if isinstance(head, LADHead) else PAAHead


def _check_assignment(head: PAAHead) -> None:
    assigner = head.assigner
    _require_type("assigner", assigner, MaxIoUAssigner)
    _require("assigner.neg_iou_thr", assigner.neg_iou_thr, assigner.pos_iou_thr)
    if assigner.match_low_quality:
        _require("assigner.min_pos_iou", max(assigner.min_pos_iou, 0), 0)
        _require("assigner.gt_max_assign_all", assigner.gt_max_assign_all, True)
    _require("assigner.perm_repeat_gt_cfg", assigner.perm_repeat_gt_cfg, None)
    _require_type("assigner.iou_calculator", assigner.iou_calculator, BboxOverlaps2D)
    _require("assigner.iou_calculator.dtype", assigner.iou_calculator.dtype, None)
    _require_type("sampler", head.sampler, PseudoSampler)
    _require("loss_cls.loss_weight", head.loss_cls.loss_weight, 1)  # the cost has the class loss without a factor


def _require(name: str, value: Any, *allowed: Any) -> None:
    if value not in allowed:
        raise ValueError(f"{name} should be {' or '.join(repr(x) for x in allowed)}, got {value!r}")


def _require_type(name: str, value: Any, wanted: type) -> None:
    if type(value) is not wanted:
        raise ValueError(f"{name} should be a {wanted.__name__}, got a {type(value).__name__}")


class BatchLabels(NamedTuple):
    """The labels of a batch, as :func:`_losses` reads them."""

    assignment: Assignment
    valid: Tensor
    """(B, A) bool: anchors that are not valid are in no loss."""


class _Labels:
    """What the patched heads share: their settings and their teacher."""

    colad: HeadSettings | None = None
    """None in a head without ``train_cfg``, which only predicts."""
    _teacher: Any = None
    _teacher_sees_images = False
    _images: Tensor | None = None  # of the current batch, from the detector
    _taught: Sequence[Maps] | None = None  # the teacher's maps of the current batch

    def __init__(self, *args: Any, assign: AssignConfig | Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.train_cfg:  # type: ignore[attr-defined]
            self.colad = HeadSettings.of(self, assign)

    def loss(self, x: Maps, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """The loss on a pyramid, with labels from the teacher's predictions if there is a teacher."""
        if self._teacher is not None:
            self._taught = _maps_of(self._teacher, self._images if self._teacher_sees_images else x)
        try:
            return super().loss(x, *args, **kwargs)  # type: ignore[misc]
        finally:
            self._taught = self._images = None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> _Labels:
        """A teacher follows ``.to(...)`` and its like."""
        if isinstance(self._teacher, nn.Module):
            self._teacher._apply(fn, recurse)
        return super()._apply(fn, recurse)  # type: ignore[misc]


class _PAALabels(_Labels):
    def loss_by_feat(
        self,
        cls_scores: Maps,
        bbox_preds: Maps,
        iou_preds: Maps,
        batch_gt_instances: Sequence,
        batch_img_metas: Sequence[dict],
        batch_gt_instances_ignore: Sequence | None = None,
    ) -> dict[str, Tensor]:
        """Losses of NCHW maps, as of ``PAAHead``."""
        if self._teacher is not None and self._taught is None:
            raise RuntimeError("loss should be called instead of loss_by_feat: the teacher has not seen this batch")
        predictions = _predictions(self, cls_scores, bbox_preds, iou_preds)
        assigner = predictions if self._taught is None else _predictions(self, *self._taught[:2])
        labels = _labels(self, assigner, batch_gt_instances, batch_img_metas, batch_gt_instances_ignore)
        return _losses(self, predictions, labels)


class _LADLabels(_Labels):
    def get_label_assignment(
        self,
        cls_scores: Maps,
        bbox_preds: Maps,
        iou_preds: Maps,
        batch_gt_instances: Sequence,
        batch_img_metas: Sequence[dict],
        batch_gt_instances_ignore: Sequence | None = None,
    ) -> BatchLabels:
        """The labels of a batch, from the teacher's NCHW maps; for the student's :meth:`loss_by_feat`."""
        predictions = _predictions(self, cls_scores, bbox_preds)
        return _labels(self, predictions, batch_gt_instances, batch_img_metas, batch_gt_instances_ignore)

    def loss_by_feat(
        self,
        cls_scores: Maps,
        bbox_preds: Maps,
        iou_preds: Maps,
        batch_gt_instances: Sequence,
        batch_img_metas: Sequence[dict],
        batch_gt_instances_ignore: Sequence | None = None,
        label_assignment_results: BatchLabels | None = None,
    ) -> dict[str, Tensor]:
        """Losses of the student's NCHW maps, as of ``LADHead``."""
        if not isinstance(label_assignment_results, BatchLabels):
            raise TypeError("label_assignment_results should be of a patched head: patch the teacher's head too")
        return _losses(self, _predictions(self, cls_scores, bbox_preds, iou_preds), label_assignment_results)


@MODELS.register_module()
class ColadPAAHead(_PAALabels, PAAHead):
    """``PAAHead`` with the labels and losses of our operators. It takes the same arguments, and ``assign``: the
    ``config`` of :func:`patch`."""


@MODELS.register_module()
class ColadLADHead(_LADLabels, LADHead):
    """``LADHead`` with the labels and losses of our operators, for teacher and student. It takes the same arguments,
    and ``assign``: the ``config`` of :func:`patch`."""


class _ShowsImages:
    """A detector that shows the images of a batch to its head's teacher."""

    def loss(self, batch_inputs: Tensor, batch_data_samples: Sequence) -> dict[str, Tensor]:
        self.bbox_head._images = batch_inputs  # type: ignore[attr-defined]
        return super().loss(batch_inputs, batch_data_samples)  # type: ignore[misc]


def _set_teacher(head: _Labels, teacher: Any, of_images: bool) -> None:
    if isinstance(head, LADHead):
        raise ValueError("teacher should be None for a LADHead, which gets its labels from the LAD detector")
    taught = getattr(teacher, "bbox_head", None)
    if taught is not None:
        if not of_images:
            raise ValueError("teacher should be a function of the pyramid, got a detector: patch the whole detector")
        if taught is head:
            raise ValueError("teacher should be another detector than model (a copy will do): it is frozen")
        _require("teacher.bbox_head.num_classes", taught.num_classes, head.num_classes)
        _require("teacher.bbox_head.bbox_coder.stds", tuple(taught.bbox_coder.stds), tuple(head.bbox_coder.stds))
        own, other = (
            [(*strides, base.tolist()) for strides, base in zip(x.strides, x.base_anchors)]
            for x in (head.prior_generator, taught.prior_generator)
        )
        _require("anchors of teacher.bbox_head (strides, base anchors)", other, own)
    elif not callable(teacher):
        raise TypeError(f"teacher should be a detector or a function, got a {type(teacher).__name__}")
    if isinstance(teacher, nn.Module):
        teacher.requires_grad_(False)
    # A plain attribute: a submodule would join parameters(), state_dict() and train().
    object.__setattr__(head, "_teacher", teacher)
    head._teacher_sees_images = of_images


@torch.no_grad()
def _maps_of(teacher: Any, source: Any) -> Sequence[Maps]:
    if source is None:
        raise RuntimeError("loss of the detector should be called, not that of its head: its teacher needs the images")
    if isinstance(teacher, nn.Module):
        teacher.eval()  # again: other code may have called teacher.train()
    if hasattr(teacher, "bbox_head"):
        return teacher.bbox_head(teacher.extract_feat(source))
    return teacher(source)


def _labels(
    head: Any, predictions: Predictions, objects: Sequence, metas: Sequence[dict], ignore: Sequence | None
) -> BatchLabels:
    settings = _settings(head)
    targets = _targets(settings, objects, metas, ignore, predictions.logits[0].device)
    valid = _valid(settings, predictions.anchors, targets, objects, metas, ignore)
    return BatchLabels(assign_labels(predictions, targets, valid, settings.config), valid)


def _losses(head: Any, predictions: Predictions, labels: BatchLabels) -> dict[str, Tensor]:
    settings = _settings(head)
    parts = settings.losses(predictions, labels.assignment, labels.valid)
    loss_cls = parts["loss_cls"] if settings.class_weight == 1 else settings.class_weight * parts["loss_cls"]
    return {"loss_cls": loss_cls, "loss_bbox": parts["loss_box"], "loss_iou": parts["loss_iou"]}


def _settings(head: Any) -> HeadSettings:
    if head.colad is None:
        raise ValueError("train_cfg should be given to a head that trains, got None")
    return head.colad


def _predictions(head: Any, cls_scores: Maps, bbox_preds: Maps, iou_preds: Maps = ()) -> Predictions:
    """Views ``(B, A_l, n)`` of maps ``(B, anchors * n, H_l, W_l)``, in mmdetection's order: the anchors of a location
    one after the other."""
    anchors = _lay_anchors(head.prior_generator, tuple(tuple(x.shape[-2:]) for x in cls_scores), cls_scores[0].device)
    logits = [_rows(level, head.num_classes) for level in cls_scores]
    deltas = [_rows(level, 4) for level in bbox_preds]
    iou_logits = [_rows(level, 1).squeeze(2) for level in iou_preds]
    return Predictions(logits, deltas, iou_logits, anchors, _settings(head).coder)


def _rows(level_map: Tensor, channels: int) -> Tensor:
    rows = level_map.flatten(2).transpose(1, 2)  # (B, H * W, anchors * channels), in place
    return rows if rows.shape[2] == channels else rows.reshape(rows.shape[0], -1, channels)


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


def _targets(
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


def _valid(
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
