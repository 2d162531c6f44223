"""The demo's table, and a note on how far its numbers can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from .settings import FULL_ITERATIONS
from .trainings import Trained, Trainings

NOTE = f"""\
Each line is one training with one seed. After {FULL_ITERATIONS:,} iterations the same training moves by about 1.5 AP
from seed to seed, so a difference of less than about 3 AP between two lines is chance, and this table does not rank
PAA, LAD and CoLAD: nobody has shown LAD to beat PAA at this size. (The teacher is another matter: it has four times
the parameters.) What it shows is that all of them learn."""
SHORT_NOTE = """\
This is the short version: it stops in the steepest part of the learning curve, where seeds differ by several AP and
a network that learns faster looks better than it will be in the end. `colad demo --full` trains longer."""


@dataclass(frozen=True)
class Row:
    """One network. AP in percent; ``seconds``: of its training; ``parameters``: how many learn."""

    title: str
    assigned_by: str
    iterations: int
    ap: float
    ap50: float
    ap75: float
    seconds: float
    parameters: int


def table_rows(trainings: Trainings) -> list[Row]:
    """A row for each network; CoLAD's two networks have the seconds of their common training."""
    colad = trainings.colad
    return [
        _row(trainings.baseline, "paa", "PAA baseline", "itself"),
        _row(trainings.teacher, "paa", "PAA teacher", "itself"),
        _row(trainings.lad, "student", "LAD student", "the PAA teacher"),
        *(_row(colad, name, f"CoLAD {name}", "the better of the two") for name in colad.metrics),
    ]


def _row(trained: Trained, name: str, title: str, assigned_by: str) -> Row:
    scores = trained.metrics[name]
    return Row(
        title,
        assigned_by,
        iterations=trained.records[-1]["iteration"],
        ap=_percent(scores.ap),
        ap50=_percent(scores.ap50),
        ap75=_percent(scores.ap75),
        seconds=trained.seconds,
        parameters=count_parameters(trained.method.networks[name]),
    )


def _percent(ap: float | None) -> float:
    if ap is None:
        raise ValueError("the validation pictures should hold at least one object")
    return 100 * ap


def count_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def note_of(rows: list[Row]) -> str:
    """The note: which differences between the rows are chance."""
    short = any(row.iterations < FULL_ITERATIONS for row in rows)
    return f"{NOTE}\n{SHORT_NOTE}" if short else NOTE


def format_table(rows: list[Row], *, parallel: bool = False) -> str:
    """The table and its note, as text; ``parallel``: two trainings shared the machine, which their seconds show."""
    header = ("network", "labels assigned by", "iterations", "AP", "AP50", "AP75", "seconds", "parameters")
    cells = [_cells(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]

    def line(row: tuple[str, ...]) -> str:
        texts = [
            text.ljust(width) if index < 2 else text.rjust(width)
            for index, (text, width) in enumerate(zip(row, widths))
        ]
        return "  ".join(texts)

    title = "Digits on photos. Average precision in % by pycocotools; seconds of training"
    if parallel:
        title += " (two at a time)"
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([title, "", line(header), rule, *map(line, cells), "", note_of(rows)])


def _cells(row: Row) -> tuple[str, ...]:
    percent = (f"{value:.1f}" for value in (row.ap, row.ap50, row.ap75))
    return (row.title, row.assigned_by, f"{row.iterations:,}", *percent, f"{row.seconds:.0f}", f"{row.parameters:,}")
