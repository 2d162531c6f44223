"""CoLAD: networks learn together, and at each step the better one assigns the labels (LAD paper, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from .. import AssignConfig, Assignment, CoAssignment
from .assigners import Granularity, Indicator, co_assign_labels
from .losses import PAALoss, total_loss
from .method import Method
from .network import DetectionNetwork, require_same_anchors
from .predictions import Predictions
from .targets import Targets


class CoLAD(Method):
    """Trains several networks on one assignment. The network whose costs separate an object's anchors best assigns.

    Args:
        networks: two or more networks with the same classes and anchors. All learn; any can be evaluated alone.
        indicator: the network of highest indicator assigns. ``"std_mean"``: the standard deviation of its costs
            divided by their mean; ``"fisher"``: the squared distance of its mixture's means divided by the sum of
            their variances.
        granularity: what gets an assigner of its own: each ``"iteration"`` (the paper), ``"image"``, ``"object"``, or
            each level of an object (``"object_level"``).
        config: options of the assignment.
        criterion: the losses, the same for every network.

    Raises:
        ValueError: fewer than two networks, one given twice, or networks that differ in classes or anchors.
    """

    def __init__(
        self,
        networks: Sequence[DetectionNetwork],
        *,
        indicator: Indicator = "std_mean",
        granularity: Granularity = "iteration",
        config: AssignConfig = AssignConfig(),
        criterion: PAALoss = PAALoss(),
    ) -> None:
        super().__init__(config, criterion)
        if len(networks) < 2:
            raise ValueError(f"networks should be two or more, got {len(networks)}")
        if len(set(map(id, networks))) != len(networks):
            raise ValueError("networks should be different objects, got one of them twice")
        for index, other in enumerate(networks[1:], start=1):
            require_same_anchors(networks[0], other, "networks[0]", f"networks[{index}]")
        self.learners = nn.ModuleList(networks)
        self.indicator = indicator
        self.granularity = granularity

    @property
    def networks(self) -> dict[str, DetectionNetwork]:
        """All networks, as ``"network0"``, ``"network1"`` and so on."""
        # The cast: a ModuleList does not tell the type checker what modules it holds.
        return {f"network{index}": cast(DetectionNetwork, network) for index, network in enumerate(self.learners)}

    def assign(self, images: Tensor, targets: Targets) -> Assignment:
        """The labels that the chosen network assigns. All networks run in the mode they are in."""
        return self.co_assign(images, targets).assignment

    @torch.no_grad()
    def co_assign(self, images: Tensor, targets: Targets) -> CoAssignment:
        """As ``assign``, with the chosen network and the indicator of each."""
        predictions = [network(images) for network in self.learners]
        return self._co_assign(predictions, targets, predictions[0].anchors.valid(targets.image_sizes))

    def loss(self, images: Tensor, targets: Targets) -> dict[str, Tensor]:
        """``"loss"``, a scalar with gradient to every network, and the parts detached.

        The parts are ``PAALoss``'s for each network as ``"network0/loss_cls"`` and so on, and ``"network0/indicator"``.
        """
        predictions = [network(images) for network in self.learners]
        valid = predictions[0].anchors.valid(targets.image_sizes)
        chosen = self._co_assign(predictions, targets, valid)
        parts: dict[str, Tensor] = {}
        for index, (name, prediction) in enumerate(zip(self.networks, predictions)):
            losses = self.criterion(prediction, chosen.assignment, valid)
            parts |= {f"{name}/{part}": value for part, value in losses.items()}
            parts[f"{name}/indicator"] = chosen.indicators[index]
        return total_loss(parts)

    def _co_assign(self, predictions: Sequence[Predictions], targets: Targets, valid: Tensor) -> CoAssignment:
        return co_assign_labels(
            predictions, targets, valid, self.config, indicator=self.indicator, granularity=self.granularity
        )
