"""PAA: a network assigns its own labels (Kim and Lee, "Probabilistic Anchor Assignment with IoU Prediction", 2020)."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import AssignConfig, Assignment
from .assigners import assign_labels
from .losses import PAALoss, total_loss
from .method import Method
from .network import DetectionNetwork
from .targets import Targets


class PAA(Method):
    """Trains one network on the labels that its own predictions assign.

    Args:
        network: the network that learns.
        config: options of the assignment; the paper's by default.
        criterion: the losses.
    """

    def __init__(
        self, network: DetectionNetwork, *, config: AssignConfig = AssignConfig(), criterion: PAALoss = PAALoss()
    ) -> None:
        super().__init__(config, criterion)
        self.network = network

    @property
    def networks(self) -> dict[str, DetectionNetwork]:
        """The network, as ``"paa"``."""
        return {"paa": self.network}

    @torch.no_grad()
    def assign(self, images: Tensor, targets: Targets) -> Assignment:
        """The labels that the network assigns. It runs in the mode it is in."""
        predictions = self.network(images)
        return assign_labels(predictions, targets, predictions.anchors.valid(targets.image_sizes), self.config)

    def loss(self, images: Tensor, targets: Targets) -> dict[str, Tensor]:
        """``"loss"``, a scalar with gradient, and its parts detached (``PAALoss``) for ``images (B, 3, H, W)``."""
        predictions = self.network(images)
        valid = predictions.anchors.valid(targets.image_sizes)
        assignment = assign_labels(predictions, targets, valid, self.config)
        return total_loss(self.criterion(predictions, assignment, valid))
