"""mixture.png: the costs of some objects' candidates, the two Gaussians fitted to them, and where they are split."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .. import Assignment, gmm_em, match_anchors
from ..data import Batch
from ..detection import PAA
from ..ops.split_candidates import cheapest_of_levels
from .style import new_figure, save_figure

COMPONENT_COLOURS = ("#009e73", "#d55e00")


@dataclass(frozen=True)
class ObjectMixture:
    """What the assignment saw of one object. ``costs`` ascending; ``positive`` says which became positive."""

    label: int
    width: float  # pixels
    height: float
    costs: np.ndarray  # (n,)
    positive: np.ndarray  # (n,) bool
    weights: np.ndarray  # (2,)
    means: np.ndarray  # (2,)
    variances: np.ndarray  # (2,)


@torch.no_grad()
def object_mixtures(method: PAA, batch: Batch) -> list[ObjectMixture]:
    """The mixtures of all objects that have at least four candidates.

    ``Assignment`` keeps positives and parameters; the candidates are found again here, and their mixture fitted again.

    Raises:
        RuntimeError: the second fit differs from the assignment's own: the picture would not be true.
    """
    targets, config = batch.targets, method.config
    anchors = method.anchors(batch.images)
    assignment: Assignment = method.assign(batch.images, targets)
    matched = match_anchors(
        anchors.boxes,
        targets.boxes,
        targets.offsets,
        valid=anchors.valid(targets.image_sizes),
        ignore_boxes=targets.ignore_boxes,
        ignore_offsets=targets.ignore_offsets,
        **config.matching_options(),
    ).matched
    mixtures = []
    for row in range(len(targets.boxes)):
        images, candidates = (matched == row).nonzero(as_tuple=True)
        if len(candidates) < 4:
            continue
        cost, assigned = assignment.cost[images[0]], assignment.matched[images[0]]  # (A,)
        chosen = cheapest_of_levels(candidates, cost[candidates], anchors.level_sizes, config.topk)
        costs, positive = cost[chosen], assigned[chosen] == row
        fit = gmm_em(costs, torch.tensor([0, len(costs)]), **config.mixture_options())
        if not torch.allclose(fit.means[0], assignment.means[row], atol=1e-6):
            raise RuntimeError(
                f"object {row}: fitted means {fit.means[0].tolist()}, "
                f"the assignment's are {assignment.means[row].tolist()}"
            )
        x1, y1, x2, y2 = targets.boxes[row].tolist()
        mixtures.append(
            ObjectMixture(
                int(targets.labels[row]),
                x2 - x1,
                y2 - y1,
                costs.numpy(),
                positive.numpy(),
                fit.weights[0].numpy(),
                fit.means[0].numpy(),
                fit.variances[0].numpy(),
            )
        )
    return mixtures


def draw_mixtures(method: PAA, batch: Batch, path: Path, *, count: int = 6) -> Path:
    """The ``count`` objects of the batch with most candidates, in the order they come."""
    mixtures = object_mixtures(method, batch)
    most = sorted(range(len(mixtures)), key=lambda index: -len(mixtures[index].costs))[:count]
    chosen = [mixtures[index] for index in sorted(most)]
    columns = 3
    rows = max(1, math.ceil(len(chosen) / columns))
    figure = new_figure(4.6 * columns, 3.3 * rows + 0.6)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for each, mixture in zip(axes, chosen):
        _draw(each, mixture)
    for empty in axes[len(chosen) :]:
        empty.set_axis_off()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle(
        "PAA baseline on training pictures: costs of an object's candidates, the fitted mixture and the split",
        fontsize=13,
    )
    return save_figure(figure, path)


def _draw(axes, mixture: ObjectMixture) -> None:
    costs = mixture.costs
    dearest, others = costs[mixture.positive][-1], costs[~mixture.positive]
    split = (dearest + others[0]) / 2 if len(others) else dearest  # between the last positive and the next candidate
    step = (costs[-1] - costs[0]) / 20 + 1e-4
    below, above = math.ceil((split - costs[0]) / step) + 1, math.ceil((costs[-1] - split) / step) + 1
    edges = split + step * np.arange(-below, above + 1)  # the split is an edge: no bin holds candidates of both sides
    heights, _, _ = axes.hist(
        [costs[mixture.positive], costs[~mixture.positive]],
        bins=edges,
        stacked=True,
        alpha=0.45,
        color=COMPONENT_COLOURS,
        label=("positive candidates", "negative candidates"),
    )
    x = np.linspace(edges[0], edges[-1], 600)
    scale = len(costs) * (edges[1] - edges[0])  # a density becomes the expected number in a bin
    top = heights[-1].max()
    for name, colour, weight, mean, variance in zip(
        ("cheap", "dear"), COMPONENT_COLOURS, mixture.weights, mixture.means, mixture.variances
    ):
        density = weight * np.exp(-((x - mean) ** 2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
        axes.plot(x, scale * density, color=colour, linewidth=1.8, label=f"{name} component")
        top = max(top, scale * density.max())
    axes.axvline(split, color="black", linestyle="--", linewidth=1.2, label="split")
    axes.set(xlabel="cost", ylabel="candidates", ylim=(0, 1.1 * top), xlim=(max(0, edges[0]), edges[-1]))
    axes.set_title(
        f"digit {mixture.label}, {mixture.width:.0f}x{mixture.height:.0f} px: {mixture.positive.sum()} positive "
        f"of {len(costs)}",
        fontsize=10,
    )
