"""What the demo's pictures have in common."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by colour-blind people too.
OBJECT_COLOURS = ("#e69f00", "#56b4e9", "#00c08b", "#f0e442", "#ff7f50", "#ee82ee")
METHOD_COLOURS = {
    "PAA baseline": "#0072b2",
    "PAA teacher": "#555555",
    "LAD student": "#d55e00",
    "CoLAD pair": "#009e73",
}


def new_figure(width: float, height: float) -> Figure:
    """A figure of that many inches, drawn by Agg: no display, no global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=110)
    return path


def show_picture(axes: Axes, picture: np.ndarray) -> None:
    """Show (H, W, 3) uint8 so that axes are in pixel coordinates: pixel (0, 0) spans 0..1, as boxes count."""
    height, width = picture.shape[:2]
    axes.imshow(picture, extent=(0, width, height, 0), interpolation="nearest")
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
