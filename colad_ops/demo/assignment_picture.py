"""assignment.png: which anchors each assigner makes positive on the same pictures, and at what cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from .. import Assignment
from ..data import Batch, denormalise
from ..data.glyphs import LUMA
from ..detection import Anchors, CoLAD
from .style import OBJECT_COLOURS, new_figure, save_figure, show_picture
from .trainings import Trainings

MARKERS = ("o", "s", "D")  # of the levels, finest first
SIZES = (5, 11, 17)
OUTLINE = [withStroke(linewidth=2.2, foreground="black")]  # keeps marks and numbers legible on any background
TEXT_OFFSETS = (
    (0, 7, "center", "bottom"),
    (9, -2, "left", "top"),
    (0, -12, "center", "top"),
)  # points: levels share centres


@torch.no_grad()
def draw_assignment(trainings: Trainings, batch: Batch, path: Path) -> Path:
    """Each row shows a picture, each column an assigner. A mark at its centre shows each positive anchor: the colour is
    its object's, the shape its pyramid level's, the number its cost (focal loss + 1 - IoU). Thin frames are the
    objects' boxes.

    CoLAD's assigner is chosen over this batch, as in a training step.
    """
    images, targets = batch.images, batch.targets
    pair = cast(CoLAD, trainings.colad.method)  # a training does not say the class of its method
    colad = pair.co_assign(images, targets)
    chosen = _chosen_network(colad.teacher, list(pair.networks))
    columns: list[tuple[str, Assignment]] = [
        ("PAA: the baseline's own predictions", trainings.baseline.method.assign(images, targets)),
        ("LAD: its teacher's predictions", trainings.lad.method.assign(images, targets)),
        (f"CoLAD: {chosen}'s predictions (indicators {_listed(colad.indicators.tolist())})", colad.assignment),
    ]
    anchors = trainings.baseline.method.anchors(images)
    strides = trainings.baseline.method.networks["paa"].head.grid.strides
    figure = new_figure(5.2 * len(columns), 5.3 * len(images) + 0.8)
    axes = figure.subplots(len(images), len(columns), squeeze=False)
    for column, (title, assignment) in enumerate(columns):
        axes[0, column].set_title(title, fontsize=11)
        for row in range(len(images)):
            _draw_picture(axes[row, column], batch, row, assignment, anchors)
    legend = [
        Line2D(
            [],
            [],
            linestyle="none",
            marker=marker,
            markersize=size,
            markerfacecolor="none",
            markeredgecolor="black",
            label=f"anchor of stride {stride}",
        )
        for marker, size, stride in zip(MARKERS, SIZES, strides)
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=len(legend), frameon=False)
    figure.suptitle(
        "Positive anchors on training pictures after training, coloured by object, with their costs", fontsize=13
    )
    return save_figure(figure, path)


def _draw_picture(axes: Axes, batch: Batch, image: int, assignment: Assignment, anchors: Anchors) -> None:
    height, width = batch.targets.image_sizes[image].tolist()
    grey = denormalise(batch.images[image, :, :height, :width]) @ LUMA  # (h, w): only the marks have colours
    show_picture(axes, np.repeat(0.75 * grey[..., None], 3, axis=2).astype(np.uint8))
    first, last = batch.targets.offsets[image : image + 2].tolist()
    for row in range(first, last):
        colour = OBJECT_COLOURS[(row - first) % len(OBJECT_COLOURS)]
        x1, y1, x2, y2 = batch.targets.boxes[row].tolist()
        axes.plot([x1, x2, x2, x1, x1], [y1, y1, y2, y2, y1], color=colour, linewidth=1, path_effects=OUTLINE)
        digit = str(int(batch.targets.labels[row]))
        axes.text(x1 + 0.8, y2 - 0.8, digit, color=colour, fontsize=11, weight="bold", path_effects=OUTLINE)
        begin = 0
        for level, size in enumerate(anchors.level_sizes):
            positive = (assignment.matched[image, begin : begin + size] == row).nonzero()[:, 0] + begin
            _draw_anchors(
                axes, anchors.points[positive].tolist(), assignment.cost[image, positive].tolist(), level, colour
            )
            begin += size


def _draw_anchors(
    axes: Axes, points: Sequence[tuple[float, float]], costs: Sequence[float], level: int, colour: str
) -> None:
    dx, dy, horizontal, vertical = TEXT_OFFSETS[level]
    for (x, y), cost in zip(points, costs):
        axes.plot(
            x,
            y,
            marker=MARKERS[level],
            markersize=SIZES[level],
            markeredgecolor=colour,
            clip_on=False,
            markerfacecolor=colour if level == 0 else "none",
            markeredgewidth=1.4,
            path_effects=OUTLINE,
        )
        axes.annotate(
            f"{cost:.2f}",
            (x, y),
            (dx, dy),
            textcoords="offset points",
            color=colour,
            fontsize=8,
            ha=horizontal,
            va=vertical,
            path_effects=OUTLINE,
        )


def _chosen_network(teacher: torch.Tensor, names: Sequence[str]) -> str:
    """With granularity "iteration" one network assigned every object."""
    chosen = teacher.unique().tolist()
    if len(chosen) != 1:
        raise ValueError(f"one network should have assigned all objects, got {chosen}")
    return names[chosen[0]]


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)
