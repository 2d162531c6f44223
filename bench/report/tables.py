"""Formats the outcomes as one table, for terminals and Markdown."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence

import torch

import colad_ops
from bench.measure.case import OURS, Outcome, show_bytes
from bench.measure.machine import Machine
from bench.report.csv_files import commit
from bench.report.goals import goals_of, verdict

HEADER = ("op", "what", "who", "ms", "p20 - p80", "x ours", "of floor", "extra memory", "goal")
TEXT = ("op", "what", "who", "goal")  # columns that are aligned left
NOTES = (
    "ms: median; CPU time of the process with one thread, wall time with two. x ours: how many times as long the peer "
    "takes. of floor: the least time that the machine needs, over ours (> 100 %: the data stayed in cache, which "
    "is faster than memory).",
    "extra memory: the rise of the process's peak of resident memory during one call in a forked child, less its "
    "results; C++ and NumPy memory included, to some 16 kB.",
)


def cells(outcome: Outcome) -> Iterable[tuple[str, ...]]:
    """A line for our operator and for each peer that ran."""
    case = outcome.case
    names = {
        peer.name: f"{peer.name} {peer.version}" + ("" if peer.same else " (another function)") for peer in case.peers
    }
    what = f"{case.what}; {outcome.threads} threads" if outcome.threads > 1 else case.what
    for who, timing in outcome.timings.items():
        ours = who == OURS
        share = outcome.share_of_lower_bound if ours else None
        goals = [f"{goal}: {verdict(goal, outcome)}" for goal in goals_of(outcome, who)]
        yield (
            case.op if ours else "", what if ours else "", names.get(who, "**ours**"), show(timing.median / 1e3),
            f"{show(timing.p20 / 1e3)} - {show(timing.p80 / 1e3)}", "" if ours else show(outcome.ratio(who)),
            "" if share is None else f"{100 * share:.0f} %", show_bytes(outcome.extra.get(who)), "; ".join(goals),
        )  # fmt: skip


def show(number: float) -> str:
    """The number with three digits."""
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"


def table(header: Sequence[str], lines: Sequence[Sequence[str]], text: Sequence[str] = TEXT) -> list[str]:
    """A Markdown table whose columns are also aligned in a terminal."""
    widths = [max(3, *(len(line[i]) for line in (header, *lines))) for i in range(len(header))]

    def row(cells: Sequence[str]) -> str:
        padded = (x.ljust(w) if name in text else x.rjust(w) for x, name, w in zip(cells, header, widths))
        return f"| {' | '.join(padded)} |"

    rule = "|".join("-" * (w + 2) if name in text else "-" * (w + 1) + ":" for name, w in zip(header, widths))
    return [row(header), f"|{rule}|", *map(row, lines)]


def report(outcomes: Sequence[Outcome], machine: Machine) -> list[str]:
    """The table, its notes, the lower bounds, and the peers that did not run."""
    lines = [line for outcome in outcomes for line in cells(outcome)]
    about = (
        f"{machine}, torch {torch.__version__}, colad_ops {colad_ops.__version__} at {commit()}, "
        f"{datetime.date.today()}. Measured in the run, one thread: triad {machine.bandwidth / 1e9:.1f} GB/s, "
        f"matrix product {machine.flops / 1e9:.0f} Gflop/s (float32)."
    )
    bounds = {
        f"{o.case.op}, {o.case.what}": o.case.lower_bound.words for o in outcomes if o.case.lower_bound is not None
    }
    absent: dict[tuple[str, str], list[str]] = {}
    for outcome in outcomes:
        for who, reason in outcome.missing.items():
            absent.setdefault((who, reason), []).append(f"{outcome.case.op} ({outcome.case.what})")
    return [
        about, "", *table(HEADER, lines), "", *NOTES,
        *(["", "Lower bounds:", ""] if bounds else []), *(f"- {name}: {words}" for name, words in bounds.items()),
        *(["", "Peers that did not run:", ""] if absent else []),
        *(f"- {who}, {reason}: {', '.join(dict.fromkeys(where))}" for (who, reason), where in absent.items()),
    ]  # fmt: skip
