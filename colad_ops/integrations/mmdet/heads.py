"""mmdetection's heads with the labels and losses of our operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from mmdet.models.dense_heads import LADHead, PAAHead
from mmdet.registry import MODELS
from torch import Tensor, nn

from ... import AssignConfig, Assignment
from ...detection import Predictions
from ...detection.assigners import assign_labels
from .batch import Maps, predictions_of, targets_of, valid_anchors
from .settings import HeadSettings
from .teacher import maps_of


class BatchLabels(NamedTuple):
    """The labels of a batch, as :func:`_losses` reads them."""

    assignment: Assignment
    valid: Tensor
    """(B, A) bool: anchors that are not valid are in no loss."""


class Labels:
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

    def settings(self) -> HeadSettings:
        if self.colad is None:
            raise ValueError("train_cfg should be given to a head that trains, got None")
        return self.colad

    def loss(self, x: Maps, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """The loss on a pyramid, with labels from the teacher's predictions if there is a teacher."""
        if self._teacher is not None:
            self._taught = maps_of(self._teacher, self._images if self._teacher_sees_images else x)
        try:
            return super().loss(x, *args, **kwargs)  # type: ignore[misc]
        finally:
            self._taught = self._images = None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Labels:
        """A teacher follows ``.to(...)`` and its like."""
        if isinstance(self._teacher, nn.Module):
            self._teacher._apply(fn, recurse)
        return super()._apply(fn, recurse)  # type: ignore[misc]


class PAALabels(Labels):
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
        predictions = predictions_of(self, cls_scores, bbox_preds, iou_preds)
        assigner = predictions if self._taught is None else predictions_of(self, *self._taught[:2])
        labels = _labels(self, assigner, batch_gt_instances, batch_img_metas, batch_gt_instances_ignore)
        return _losses(self, predictions, labels)


class LADLabels(Labels):
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
        predictions = predictions_of(self, cls_scores, bbox_preds)
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
        return _losses(self, predictions_of(self, cls_scores, bbox_preds, iou_preds), label_assignment_results)


@MODELS.register_module()
class ColadPAAHead(PAALabels, PAAHead):
    """``PAAHead`` with the labels and losses of our operators. It takes the same arguments, and ``assign``: the
    ``config`` of :func:`patch`."""


@MODELS.register_module()
class ColadLADHead(LADLabels, LADHead):
    """``LADHead`` with the labels and losses of our operators, for teacher and student. It takes the same arguments,
    and ``assign``: the ``config`` of :func:`patch`."""


def _labels(
    head: Any, predictions: Predictions, objects: Sequence, metas: Sequence[dict], ignore: Sequence | None
) -> BatchLabels:
    settings = head.settings()
    targets = targets_of(settings, objects, metas, ignore, predictions.logits[0].device)
    valid = valid_anchors(settings, predictions.anchors, targets, objects, metas, ignore)
    return BatchLabels(assign_labels(predictions, targets, valid, settings.config), valid)


def _losses(head: Any, predictions: Predictions, labels: BatchLabels) -> dict[str, Tensor]:
    settings = head.settings()
    parts = settings.losses(predictions, labels.assignment, labels.valid)
    loss_cls = parts["loss_cls"] if settings.class_weight == 1 else settings.class_weight * parts["loss_cls"]
    return {"loss_cls": loss_cls, "loss_bbox": parts["loss_box"], "loss_iou": parts["loss_iou"]}
