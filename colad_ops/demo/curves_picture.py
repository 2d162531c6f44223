"""curves.png: the loss and the AP of each training over its iterations."""

from __future__ import annotations

from pathlib import Path

from .style import METHOD_COLOURS, new_figure, save_figure
from .trainings import Trainings


def draw_curves(trainings: Trainings, path: Path) -> Path:
    """The training loss at the left, the AP on the validation pictures at the right."""
    figure = new_figure(11, 4.2)
    loss_axes, ap_axes = figure.subplots(1, 2)
    for trained in trainings:
        colour = METHOD_COLOURS[trained.title]
        steps = [record for record in trained.records if record["kind"] == "train"]
        networks = len(trained.metrics)  # CoLAD's loss is the sum over its networks
        label = trained.title if networks == 1 else f"{trained.title} (mean of the {networks})"
        loss_axes.plot(
            [record["iteration"] for record in steps],
            [record["loss"] / networks for record in steps],
            color=colour,
            label=label,
            linewidth=1.5,
        )
        for name, style in zip(trained.metrics, ("-", "--")):
            scores = [record for record in trained.records if record["kind"] == "eval" and record["network"] == name]
            label = trained.title if networks == 1 else f"CoLAD {name}"
            ap_axes.plot(
                [record["iteration"] for record in scores],
                [100 * record["ap"] for record in scores],
                color=colour,
                linestyle=style,
                marker="o",
                markersize=4,
                label=label,
                linewidth=1.5,
            )
    loss_axes.set(
        xlabel="iteration",
        ylabel="training loss, mean since the last point",
        xlim=(0, None),
        ylim=(0, None),
        title="Loss (each on its own assigner's labels)",
    )
    ap_axes.set(
        xlabel="iteration", ylabel="AP (%)", xlim=(0, None), ylim=(0, None), title="AP on the validation pictures"
    )
    for axes in (loss_axes, ap_axes):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=9)
    return save_figure(figure, path)
