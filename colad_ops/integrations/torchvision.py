"""PAA and LAD in torchvision's ``RetinaNet`` and ``FCOS``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.retinanet import (
    RetinaNetClassificationHead,
    RetinaNetHead,
    RetinaNetRegressionHead,
)

from .. import AssignConfig, sigmoid_focal_loss
from ..detection.box_coder import DeltaCoder
from ..detection.head_assigner import HeadAssigner, HeadTargets, Objects

__all__ = ["FCOS_ANCHOR_SCALE", "patch"]

Model = TypeVar("Model", RetinaNet, FCOS)
Teacher = Callable[[Tensor], tuple[Tensor, Tensor]]

FCOS_ANCHOR_SCALE = 8.0
"""FCOS's anchors have the side of one stride. For the matching they are as large as the anchors of ATSS and PAA."""


def patch(
    model: Model,
    *,
    config: AssignConfig | None = None,
    teacher: RetinaNet | FCOS | Teacher | None = None,
    anchor_scale: float | None = None,
) -> Model:
    """Replaces the ``compute_loss`` of one model, so that PAA (or, with a ``teacher``, LAD) assigns its labels.

    The losses stay torchvision's, with the same names, weights and normalisers: focal loss and the regression head's
    ``_loss_type`` in RetinaNet; focal loss, GIoU and centerness in FCOS. They are computed without a host sync, and the
    box losses on positives only. Parameters, buffers, ``state_dict`` and inference stay as they are, and so does every
    other model. The model can be copied, saved and patched again (a compiled one can only be patched again).

    ``model.compute_loss.taught`` is what the last batch learned: a ``colad_ops.detection.HeadTargets``, with the number
    of positives and all results of the assignment.

    Differences that the labels make:

    - A crowd (``targets[i]["iscrowd"]``, integers or bool; torchvision itself does not read it) is no object: unmatched
      anchors with half of their area inside it take no part in the classification loss. This holds for both models; in
      stock FCOS, which has no ignored anchors, a crowd is an object.
    - An anchor of FCOS may be positive with its centre outside its object. Its centerness is 0; stock FCOS has no such
      positive.

    Dtypes: under autocast or in half precision, logits are read as they are; boxes, anchors, costs and losses are
    float32. Anchors are float32 also where torchvision would lay them in the dtype of the features.

    Compiled losses: ``model.compute_loss.compile(fullgraph=True)``, with the arguments of ``torch.compile``. The number
    of objects of a batch is dynamic after the second batch; a batch with 0 objects, with 1 object, or the first with
    crowds compiles once more. The teacher is not compiled.

    Args:
        model: torchvision's ``RetinaNet`` or ``FCOS``, or a subclass that keeps ``compute_loss`` of model and head.
            Patch it before you wrap it (``DistributedDataParallel``, ``torch.compile``).
        config: options of the assignment; ``AssignConfig()`` by default. A teacher assigns with the student's.
        teacher: assigns the labels instead of the model itself (LAD). A ``RetinaNet`` or ``FCOS`` of any backbone,
            with the anchors, classes and normalisation of the model, or a function from the normalised pictures
            ``(B, 3, H, W)`` to logits ``(B, A, C)`` and boxes ``(B, A, 4)`` in pixels of these. A module (also one that
            is such a function) is frozen for good, in eval mode whenever it assigns, and moved to the device of the
            pictures; its dtype has to fit them. It is not in the model's ``state_dict``.
        anchor_scale: factor of the anchors' sides for the matching; 1 for RetinaNet and 8 for FCOS by default. Anchors
            with the side of one stride, as in FCOS, overlap too few objects; 8 makes them those of ATSS and PAA. For an
            FCOS with larger anchors give another factor.

    Returns:
        ``model``.

    Raises:
        TypeError: another model or config, or a head with losses of its own (for which there is
            ``colad_ops.detection.HeadAssigner``); a teacher that cannot be called with pictures. In training: a teacher
            that does not return logits and boxes.
        ValueError: a teacher that is the model or shares parameters with it, or of other anchors, classes or
            normalisation. In training: a teacher with another number of anchors.
    """
    _require_stock_losses(model)
    if config is not None and not isinstance(config, AssignConfig):
        raise TypeError(f"config should be an AssignConfig, got {type(config).__name__}")
    if teacher is not None:
        teacher = _Teacher(teacher, model)
    if anchor_scale is None:
        anchor_scale = FCOS_ANCHOR_SCALE if isinstance(model, FCOS) else 1.0
    classes = model.head.classification_head.num_classes
    config = AssignConfig() if config is None else config
    # torchvision's normalisers are those of one rank.
    assigner = HeadAssigner(classes, config, anchor_scale=anchor_scale, over_ranks=False)
    before = model.__dict__.get("compute_loss")
    if isinstance(before, _AssignedLosses):
        before.remove()
    model.compute_loss = _AssignedLosses(model, assigner, teacher)
    return model


class _AssignedLosses:
    """Takes the place of ``compute_loss``. A hook of the anchor generator tells it what ``compute_loss`` is not given:
    the sizes of the levels and the pictures."""

    def __init__(self, model: RetinaNet | FCOS, assigner: HeadAssigner, teacher: _Teacher | None) -> None:
        self.model = model
        self.assigner = assigner
        self.teacher = teacher
        self.losses = fcos_losses if isinstance(model, FCOS) else retinanet_losses
        self.taught: HeadTargets | None = None
        self.level_sizes: list[int] = []
        self.pictures: Tensor | None = None
        self._hook = model.anchor_generator.register_forward_pre_hook(self.observe)

    def remove(self) -> None:
        self._hook.remove()

    def compile(self, **options: Any) -> None:
        """Compiles the assignment and the losses, with the options of ``torch.compile``."""
        self.step = torch.compile(self.step, **options)  # type: ignore[method-assign]

    def observe(
        self, generator: AnchorGenerator, inputs: tuple[ImageList, list[Tensor]]
    ) -> tuple[ImageList, list[Tensor]]:
        """Notes the level sizes and, for a teacher, the pictures, and lets the generator lay float32 anchors."""
        images, maps = inputs
        counts = generator.num_anchors_per_location()
        self.level_sizes = [level.shape[-2] * level.shape[-1] * count for level, count in zip(maps, counts)]
        if self.teacher is not None and self.model.training:
            self.pictures = images.tensors
        return images, _of_float32(maps)

    def __call__(
        self,
        targets: Sequence[Mapping[str, Tensor]],
        head_outputs: Mapping[str, Tensor],
        anchors: Sequence[Tensor],
        num_anchors_per_level: list[int] | None = None,
    ) -> dict[str, Tensor]:
        taught_by = None
        if self.teacher is not None:
            if self.pictures is None:
                raise RuntimeError("compute_loss should be called by forward, where the teacher gets its pictures")
            taught_by = self.teacher(self.pictures, len(anchors[0]))
            self.pictures = None
        losses, self.taught = self.step(Objects.of(targets), head_outputs, anchors[0], taught_by)
        return losses

    def step(
        self,
        objects: Objects,
        head_outputs: Mapping[str, Tensor],
        anchors: Tensor,
        taught_by: tuple[Tensor, Tensor] | None,
    ) -> tuple[dict[str, Tensor], HeadTargets]:
        """The losses and the labels, which ``taught_by``, a teacher's logits and boxes, assign where it is given."""
        boxes = decode(self.model.box_coder, anchors, head_outputs["bbox_regression"])
        logits, assigning = taught_by or (head_outputs["cls_logits"], boxes)
        levels = logits.detach().split(self.level_sizes, dim=1)
        taught = self.assigner(levels, assigning.detach(), anchors, objects)
        return self.losses(self.model.head, head_outputs, boxes, anchors, taught), taught


class _Teacher:
    """What assigns the labels: a function from pictures to logits and boxes, frozen if it is a module."""

    def __init__(self, teacher: Any, student: RetinaNet | FCOS) -> None:
        if not callable(teacher):
            raise TypeError(f"teacher should be a model or a function of the pictures, got {type(teacher).__name__}")
        if isinstance(teacher, nn.Module):
            own = {id(parameter) for parameter in student.parameters()}
            if any(id(parameter) in own for parameter in teacher.parameters()):
                raise ValueError("teacher should share no parameter with model (a copy will do): it is frozen")
            if isinstance(teacher, (RetinaNet, FCOS)):
                _require_equal(teacher, student)
            teacher.requires_grad_(False)
        self.teacher = teacher

    @torch.no_grad()
    def __call__(self, pictures: Tensor, num_anchors: int) -> tuple[Tensor, Tensor]:
        if isinstance(self.teacher, nn.Module):
            self.teacher.to(pictures.device).eval()  # again: other code may have called train()
        stock = isinstance(self.teacher, (RetinaNet, FCOS))
        result = predict(self.teacher, pictures) if stock else self.teacher(pictures)
        if not (isinstance(result, (tuple, list)) and [type(part) for part in result] == [Tensor, Tensor]):
            raise TypeError(f"teacher should return a pair of tensors, logits and boxes, got {type(result).__name__}")
        logits, boxes = result
        rows = (pictures.shape[0], num_anchors)
        for name, part, columns in (("logits", logits, "C"), ("boxes", boxes, "4")):
            if part.dim() != 3 or part.shape[:2] != rows:
                raise ValueError(
                    f"{name} of teacher should have shape ({rows[0]}, {rows[1]}, {columns}), for the anchors of model, "
                    f"got {tuple(part.shape)}"
                )
        return logits, boxes


def predict(model: RetinaNet | FCOS, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Logits ``(B, A, C)`` and boxes ``(B, A, 4)`` of a model in eval mode on normalised pictures ``(B, 3, H, W)``."""
    features = model.backbone(pictures)
    maps = [features] if isinstance(features, Tensor) else list(features.values())
    outputs = model.head(maps)
    # One picture is enough: the anchors depend on the padded size only.
    anchors = model.anchor_generator(ImageList(pictures, [pictures.shape[-2:]]), _of_float32(maps))[0]
    if len(anchors) != outputs["cls_logits"].shape[1]:
        raise ValueError(
            f"anchor_generator should have the levels of the backbone, got {len(anchors)} anchors for "
            f"{outputs['cls_logits'].shape[1]} predictions"
        )
    return outputs["cls_logits"], decode(model.box_coder, anchors, outputs["bbox_regression"])


def _of_float32(maps: Sequence[Tensor]) -> list[Tensor]:
    """Float32 maps of the same sizes, without memory: the generator lays the anchors in the dtype of its maps."""
    return [level.new_empty((), dtype=torch.float32).expand(level.shape) for level in maps]


def _require_equal(teacher: RetinaNet | FCOS, student: RetinaNet | FCOS) -> None:
    for what, of in {
        "anchors": lambda model: (model.anchor_generator.sizes, model.anchor_generator.aspect_ratios),
        "classes": lambda model: model.head.classification_head.num_classes,
        "normalisation": lambda model: (list(model.transform.image_mean), list(model.transform.image_std)),
    }.items():
        if of(teacher) != of(student):
            raise ValueError(f"teacher should have the {what} of model, {of(student)}, got {of(teacher)}")


def decode(coder: Any, anchors: Tensor, deltas: Tensor) -> Tensor:
    """(B, A, 4) float32 boxes of ``deltas (B, A, 4)``, by torchvision's ``BoxCoder`` or FCOS's ``BoxLinearCoder``."""
    if hasattr(coder, "weights"):
        return delta_coder(coder).decode(anchors, deltas)
    return coder.decode(deltas.float(), anchors)


def delta_coder(coder: Any) -> DeltaCoder:
    stds = tuple(1 / weight for weight in coder.weights)
    return DeltaCoder(stds, math.exp(coder.bbox_xform_clip))


def retinanet_losses(
    head: RetinaNetHead, outputs: Mapping[str, Tensor], boxes: Tensor, anchors: Tensor, taught: HeadTargets
) -> dict[str, Tensor]:
    """The losses of ``RetinaNetHead.compute_loss``: of each image, divided by its positives, then the mean."""
    regression, deltas = head.regression_head, outputs["bbox_regression"]
    weight = 1 / taught.positive.sum(1, keepdim=True).clamp(min=1) / boxes.shape[0]  # (B, 1)
    weight = weight.expand(-1, boxes.shape[1])  # (B, A)
    if regression._loss_type in ("l1", "smooth_l1"):
        rows = taught.positives()
        image_weight = weight[rows.image, rows.anchor] * rows.present
        wanted = delta_coder(regression.box_coder).encode(anchors[rows.anchor], rows.boxes)
        loss = F.l1_loss if regression._loss_type == "l1" else F.smooth_l1_loss
        of_row = loss(deltas[rows.image, rows.anchor].float(), wanted, reduction="none").sum(1)
        loss_box = (of_row * image_weight).sum()
    else:
        loss_box = ((1 - taught.iou(boxes, mode=regression._loss_type)) * weight * taught.positive).sum()
    loss_cls = sigmoid_focal_loss(outputs["cls_logits"], taught.labels, weight=weight, reduction="sum")
    return {"classification": loss_cls, "bbox_regression": loss_box}


def fcos_losses(
    head: FCOSHead, outputs: Mapping[str, Tensor], boxes: Tensor, anchors: Tensor, taught: HeadTargets
) -> dict[str, Tensor]:
    """The losses of ``FCOSHead.compute_loss``, divided by the positives of the batch."""
    loss_cls = sigmoid_focal_loss(outputs["cls_logits"], taught.labels, reduction="sum", avg_factor=taught.num_pos)
    loss_box = ((1 - taught.iou(boxes, mode="giou")) * taught.positive).sum()
    rows = taught.positives()
    centerness_logits = outputs["bbox_ctrness"][rows.image, rows.anchor, 0].float()
    loss_centerness = F.binary_cross_entropy_with_logits(
        centerness_logits, centerness(anchors[rows.anchor], rows.boxes), weight=rows.present, reduction="sum"
    )
    return {
        "classification": loss_cls,
        "bbox_regression": loss_box / taught.num_pos,
        "bbox_ctrness": loss_centerness / taught.num_pos,
    }


def centerness(anchors: Tensor, boxes: Tensor) -> Tensor:
    """(P,) FCOS's equation (3): of the centres of ``anchors (P, 4)`` in ``boxes (P, 4)``, 0 outside of the box."""
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    before, after = centres - boxes[:, :2], boxes[:, 2:] - centres  # (P, 2): left and top, right and bottom
    ratio = torch.minimum(before, after) / torch.maximum(before, after).clamp(min=torch.finfo(boxes.dtype).tiny)
    return ratio.clamp(min=0).prod(1).sqrt()


_STOCK_LOSSES: dict[type, dict[str, Any]] = {
    RetinaNet: {
        "model": RetinaNet,
        "model.head": RetinaNetHead,
        "model.head.classification_head": RetinaNetClassificationHead,
        "model.head.regression_head": RetinaNetRegressionHead,
    },
    FCOS: {"model": FCOS, "model.head": FCOSHead},
}


def _require_stock_losses(model: nn.Module) -> None:
    """The losses are replaced by the same formulas, so they must be those of torchvision."""
    kind = next((kind for kind in _STOCK_LOSSES if isinstance(model, kind)), None)
    if kind is None:
        name = type(model).__name__
        raise TypeError(
            f"model should be torchvision's RetinaNet or FCOS, not yet wrapped or compiled, got {name}; "
            "hold a colad_ops.detection.HeadAssigner in other heads"
        )
    for name, stock in _STOCK_LOSSES[kind].items():
        part = type(model.get_submodule(name.partition(".")[2]))
        if getattr(part, "compute_loss", None) is not stock.compute_loss:
            raise TypeError(
                f"{name} should have the compute_loss of {stock.__name__}, got that of {part.__name__}; "
                "hold a colad_ops.detection.HeadAssigner in a head with losses of its own"
            )
