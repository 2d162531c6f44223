"""A teacher for a patched ``PAAHead``: its predictions assign the labels (LAD)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.dense_heads import LADHead
from torch import Tensor, nn

from .batch import Maps
from .settings import require


class ShowsImages:
    """A detector that shows the images of a batch to its head's teacher."""

    def loss(self, batch_inputs: Tensor, batch_data_samples: Sequence) -> dict[str, Tensor]:
        self.bbox_head._images = batch_inputs  # type: ignore[attr-defined]
        return super().loss(batch_inputs, batch_data_samples)  # type: ignore[misc]


def check_teacher(head: Any, teacher: Any, of_images: bool) -> None:
    if isinstance(head, LADHead):
        raise ValueError("teacher should be None for a LADHead, which gets its labels from the LAD detector")
    taught = getattr(teacher, "bbox_head", None)
    if taught is not None:
        if not of_images:
            raise ValueError("teacher should be a function of the pyramid, got a detector: patch the whole detector")
        if taught is head:
            raise ValueError("teacher should be another detector than model (a copy will do): it is frozen")
        require("teacher.bbox_head.num_classes", taught.num_classes, head.num_classes)
        require("teacher.bbox_head.bbox_coder.stds", tuple(taught.bbox_coder.stds), tuple(head.bbox_coder.stds))
        own, other = (
            [(*strides, base.tolist()) for strides, base in zip(x.strides, x.base_anchors)]
            for x in (head.prior_generator, taught.prior_generator)
        )
        require("anchors of teacher.bbox_head (strides, base anchors)", other, own)
    elif not callable(teacher):
        raise TypeError(f"teacher should be a detector or a function, got a {type(teacher).__name__}")


def set_teacher(head: Any, teacher: Any, of_images: bool) -> None:
    """The head's labels come from ``teacher``, which sees images or the pyramid. None: from the head itself."""
    if isinstance(teacher, nn.Module):
        teacher.requires_grad_(False)
    # A plain attribute: a submodule would join parameters(), state_dict() and train().
    object.__setattr__(head, "_teacher", teacher)
    head._teacher_sees_images = of_images


@torch.no_grad()
def maps_of(teacher: Any, source: Any) -> Sequence[Maps]:
    if source is None:
        raise RuntimeError("loss of the detector should be called, not that of its head: its teacher needs the images")
    if isinstance(teacher, nn.Module):
        teacher.eval()  # again: other code may have called teacher.train()
    if hasattr(teacher, "bbox_head"):
        return teacher.bbox_head(teacher.extract_feat(source))
    return teacher(source)
