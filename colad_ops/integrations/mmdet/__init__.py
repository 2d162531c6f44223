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

from collections.abc import Mapping
from typing import Any

from mmdet.models.dense_heads import LADHead, PAAHead

from ... import AssignConfig
from .heads import ColadLADHead, ColadPAAHead, LADLabels, PAALabels
from .settings import HeadSettings
from .teacher import ShowsImages, check_teacher, set_teacher

__all__ = ["ColadLADHead", "ColadPAAHead", "patch"]


def patch(model: Any, *, config: AssignConfig | Mapping[str, Any] | None = None, teacher: Any = None) -> Any:
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
    of_images = model is not head
    if teacher is not None:
        check_teacher(head, teacher, of_images)
    _patch_head(head, config)
    lad_teacher = getattr(getattr(model, "teacher_model", None), "bbox_head", None)
    if of_images and isinstance(lad_teacher, LADHead):
        _patch_head(lad_teacher, config)
    if teacher is not None:
        set_teacher(head, teacher, of_images)
        if of_images:
            model.__class__ = _subclass(ShowsImages, type(model))
    return model


def _patch_head(head: Any, config: AssignConfig | Mapping[str, Any] | None) -> None:
    settings = HeadSettings.of(head, config)
    head.__class__ = _subclass(LADLabels if isinstance(head, LADHead) else PAALabels, type(head))
    head.colad = settings
    set_teacher(head, None, of_images=False)


def _subclass(mixin: type, stock: type) -> type:
    """``stock`` with the methods of ``mixin``: the registered class where there is one."""
    if issubclass(stock, mixin):
        return stock
    if (mixin, stock) not in _SUBCLASSES:
        _SUBCLASSES[mixin, stock] = type(f"Colad{stock.__name__}", (mixin, stock), {})
    return _SUBCLASSES[mixin, stock]


_SUBCLASSES: dict[tuple[type, type], type] = {(PAALabels, PAAHead): ColadPAAHead, (LADLabels, LADHead): ColadLADHead}
