"""LAD: a frozen teacher assigns the labels.

Nguyen et al., "Improving Object Detection by Label Assignment Distillation", WACV 2022.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from .. import AssignConfig, Assignment
from .assigners import assign_labels
from .losses import PAALoss, total_loss
from .method import Method
from .network import DetectionNetwork, require_same_anchors
from .predictions import Predictions
from .soft_label import SoftLabelLoss
from .targets import Targets


class LAD(Method):
    """Trains a student on the labels that a teacher's predictions assign.

    The teacher is frozen: it takes no gradient, runs in eval mode even after ``.train()``, and is neither in
    ``parameters()`` nor in ``state_dict()``. It follows ``.to(...)``, so that one call moves both networks.

    Args:
        student: the network that learns.
        teacher: the network that assigns. Its parameters' ``requires_grad`` is switched off. It must have the student's
            classes and anchors.
        config: options of the assignment.
        criterion: the losses on the assigned labels.
        soft_label: makes the student imitate the teacher's outputs as well (``SoLAD`` is this with the authors'
            settings).

    Raises:
        ValueError: student and teacher are the same network, or differ in classes or anchors.
    """

    _teacher: DetectionNetwork

    def __init__(
        self,
        student: DetectionNetwork,
        teacher: DetectionNetwork,
        *,
        config: AssignConfig = AssignConfig(),
        criterion: PAALoss = PAALoss(),
        soft_label: SoftLabelLoss | None = None,
    ) -> None:
        super().__init__(config, criterion)
        if teacher is student:
            raise ValueError("teacher should be another network than student (a copy will do): it is frozen")
        require_same_anchors(student, teacher, "student", "teacher")
        self.student = student
        self.soft_label = soft_label
        # A plain attribute: a submodule would join parameters(), state_dict() and train().
        object.__setattr__(self, "_teacher", teacher.requires_grad_(False).eval())

    @property
    def teacher(self) -> DetectionNetwork:
        return self._teacher

    @property
    def networks(self) -> dict[str, DetectionNetwork]:
        """The student, as ``"student"``."""
        return {"student": self.student}

    def load_teacher(self, state_dict: Mapping[str, Tensor]) -> None:
        """Loads the teacher's parameters and buffers.

        Raises:
            RuntimeError: a name is missing or unknown, or has another shape. Loading is strict because a partly random
                teacher would assign wrong labels without any error.
        """
        self._teacher.load_state_dict(state_dict, strict=True)

    @torch.no_grad()
    def assign(self, images: Tensor, targets: Targets) -> Assignment:
        """The labels that the teacher assigns: PAA's assignment on its predictions."""
        predictions = self.teacher_predictions(images)
        return assign_labels(predictions, targets, predictions.anchors.valid(targets.image_sizes), self.config)

    @torch.no_grad()
    def teacher_predictions(self, images: Tensor) -> Predictions:
        """The teacher's predictions, in eval mode and without gradient."""
        return self._teacher.eval()(images)  # again: other code may have called teacher.train()

    def loss(self, images: Tensor, targets: Targets) -> dict[str, Tensor]:
        """``"loss"``, a scalar with gradient, and its parts detached (``PAALoss``, ``SoftLabelLoss``)."""
        taught = self.teacher_predictions(images)
        valid = taught.anchors.valid(targets.image_sizes)
        assignment = assign_labels(taught, targets, valid, self.config)
        predictions = self.student(images)
        parts = self.criterion(predictions, assignment, valid)
        if self.soft_label is not None:
            parts |= self.soft_label(predictions, taught, targets, valid)
        return total_loss(parts)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> LAD:
        self._teacher._apply(fn, recurse)
        return super()._apply(fn, recurse)


class SoLAD(LAD):
    """LAD with soft labels: the losses on the teacher's labels *plus* the distillation of the teacher's outputs.

    Both are trained together, as in the authors' released SoLAD: the paper's abstract calls them complementary. The
    weights of the distillation losses, the defaults of ``SoftLabelLoss``, are those of the authors' configuration
    ``paa_solad_r50_r101p1x_1x_coco``. The authors report 42.4 AP with both, 41.6 with LAD alone and 41.3 with soft
    labels alone.
    """

    def __init__(
        self,
        student: DetectionNetwork,
        teacher: DetectionNetwork,
        *,
        config: AssignConfig = AssignConfig(),
        criterion: PAALoss = PAALoss(),
        soft_label: SoftLabelLoss = SoftLabelLoss(),
    ) -> None:
        super().__init__(student, teacher, config=config, criterion=criterion, soft_label=soft_label)
