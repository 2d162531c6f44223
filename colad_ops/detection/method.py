"""What every training method provides: the interface that the training loop, the checkpoints and the demo use."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from .. import AssignConfig, Assignment
from .anchors import Anchors
from .losses import PAALoss
from .network import DetectionNetwork
from .targets import Targets


class Method(nn.Module, ABC):
    """Trains one or more networks. Methods differ in which network assigns the labels.

    A new method defines ``networks``, ``assign`` and ``loss``. All its networks have the same classes and anchors
    (``require_same_anchors``), so that the labels of one fit the others. A network that learns is a submodule: then
    its parameters are in ``parameters()``, for the optimizer, and in ``state_dict()``, for the checkpoint.

    Args:
        config: options of the assignment.
        criterion: the losses on the assigned labels.
    """

    def __init__(self, config: AssignConfig, criterion: PAALoss) -> None:
        super().__init__()
        self.config = config
        self.criterion = criterion

    @property
    @abstractmethod
    def networks(self) -> dict[str, DetectionNetwork]:
        """The networks that learn, by name, one or more. Each can be evaluated alone. Checkpoints use the names."""

    @abstractmethod
    def assign(self, images: Tensor, targets: Targets) -> Assignment:
        """The labels of the anchors of ``images (B, 3, H, W)``, without gradient. Learning networks keep their mode."""

    @abstractmethod
    def loss(self, images: Tensor, targets: Targets) -> dict[str, Tensor]:
        """``"loss"``, a scalar with gradient to all networks that learn, and figures to log, detached scalars.

        Each call returns the same names. A figure whose name, after the last ``/``, starts with ``loss_`` is a part of
        the loss: training stops when it is not finite (see ``total_loss``).
        """

    def forward(self, images: Tensor, targets: Targets) -> dict[str, Tensor]:
        """``loss``, for wrappers that call the module (DistributedDataParallel)."""
        return self.loss(images, targets)

    def anchors(self, images: Tensor) -> Anchors:
        """The anchors of ``images (B, 3, H, W)``, those that ``assign`` labels."""
        return next(iter(self.networks.values())).anchors(images)
