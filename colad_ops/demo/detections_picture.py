"""detections.png: what each network finds on the same validation pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from ..data import Batch, denormalise
from .style import OBJECT_COLOURS, new_figure, save_figure, show_picture
from .trainings import Trainings

MIN_SCORE = 0.4  # weaker detections are not drawn


def draw_detections_picture(trainings: Trainings, batch: Batch, path: Path) -> Path:
    """Pictures from left to right: the ground truth in the first row, below it the detections of each network."""
    networks = {
        "PAA baseline": trainings.baseline.method.networks["paa"],
        "PAA teacher": trainings.teacher.method.networks["paa"],
        "LAD student": trainings.lad.method.networks["student"],
        **{f"CoLAD {name}": network for name, network in trainings.colad.method.networks.items()},
    }
    columns = len(batch.images)
    figure = new_figure(2.6 * columns + 0.3, 2.6 * (len(networks) + 1) + 0.5)
    axes = figure.subplots(len(networks) + 1, columns, squeeze=False)
    targets = batch.targets
    for column, (first, last) in enumerate(zip(targets.offsets.tolist(), targets.offsets[1:].tolist())):
        picture = _unpadded(batch, column)
        show_picture(axes[0, column], picture)
        for box, label in zip(targets.boxes[first:last].tolist(), targets.labels[first:last].tolist()):
            _draw_box(axes[0, column], box, label, str(label))
    axes[0, 0].set_ylabel("ground truth", fontsize=12)
    for row, (title, network) in enumerate(networks.items(), start=1):
        found = network.predict(batch.images, targets.image_sizes)
        for column, detections in enumerate(found):
            show_picture(axes[row, column], _unpadded(batch, column))
            rows = zip(detections.boxes.tolist(), detections.labels.tolist(), detections.scores.tolist())
            for box, label, score in reversed(list(rows)):  # the best on top
                if score >= MIN_SCORE:
                    _draw_box(axes[row, column], box, label, f"{label}  {score:.2f}")
        axes[row, 0].set_ylabel(title, fontsize=12)
    figure.suptitle(f"Validation pictures: ground truth, and detections of score {MIN_SCORE} or more (class, score)")
    return save_figure(figure, path)


def _unpadded(batch: Batch, index: int) -> np.ndarray:
    height, width = batch.targets.image_sizes[index].tolist()
    return denormalise(batch.images[index, :, :height, :width])


def _draw_box(axes: Axes, box: list[float], label: int, text: str) -> None:
    x1, y1, x2, y2 = box
    colour = OBJECT_COLOURS[label % len(OBJECT_COLOURS)]
    axes.plot([x1, x2, x2, x1, x1], [y1, y1, y2, y2, y1], color=colour, linewidth=1.8)
    above = y1 > 9
    axes.text(
        x1,
        y1 - 0.8 if above else y1 + 0.8,
        text,
        fontsize=8,
        color="black",
        va="bottom" if above else "top",
        clip_on=True,
        bbox={"facecolor": colour, "edgecolor": "none", "pad": 1, "alpha": 0.85},
    )
