"""Draws the outcomes: the time of the peers over ours, and the distance of our time from the lower bound."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.measure.case import OURS, Outcome
from bench.measure.machine import Machine
from bench.peers.names import COMPILED, EAGER, FASTBBOX, MMDET, NUMBA, PLAIN_BCE, SKLEARN, TORCHVISION, VECTORISED
from bench.report.tables import show
from colad_ops.demo.style import new_figure, save_figure

OUR_COLOUR, BOUND_COLOUR = "#d55e00", "#000000"
PEER_COLOURS = {  # Okabe and Ito's, as in the demo
    EAGER: "#0072b2", VECTORISED: "#56b4e9", COMPILED: "#009e73", SKLEARN: "#e69f00", NUMBA: "#cc79a7",
    TORCHVISION: "#f0c800", FASTBBOX: "#8c510a", MMDET: "#542788", PLAIN_BCE: "#999999",
}  # fmt: skip
OTHER_COLOUR = "#555555"
ROW, MARGIN = 0.24, 1.6  # inches


def title_of(outcome: Outcome) -> str:
    return f"{outcome.case.op}\n{outcome.case.what}"


def draw_ratios(outcomes: Sequence[Outcome], machine: Machine, path: Path) -> Path:
    """A bar for each peer on one thread: its time over ours, on a logarithmic axis. A black line marks the goal."""
    with_peers = [outcome for outcome in outcomes if len(outcome.timings) > 1 and outcome.threads == 1]
    bars = [(outcome, who) for outcome in with_peers for who in outcome.timings if who != OURS]
    figure = new_figure(13, MARGIN + ROW * (len(bars) + len(with_peers)))
    axes = figure.add_subplot()
    place, ticks = 0, {}
    longest = max(
        [2.0, *(o.ratio(who) for o, who in bars), *(g.bound for o in with_peers for g in o.case.goals if g.peer)]
    )
    for outcome in with_peers:
        peers = [who for who in outcome.timings if who != OURS]
        ticks[place + (len(peers) - 1) / 2] = title_of(outcome).replace("\n", ": ")
        goals = {goal.peer: goal.bound for goal in outcome.case.goals if goal.kind == "times"}
        for y, who in enumerate(peers, place):
            ratio = outcome.ratio(who)
            axes.barh(y, ratio - 1, left=1, height=0.8, color=PEER_COLOURS.get(who, OTHER_COLOUR))
            if who in goals:
                axes.plot([goals[who]] * 2, [y - 0.5, y + 0.5], color="black", linewidth=2)
            axes.text(max(ratio, goals.get(who, 1.0), 1.0) * 1.06, y, f"{show(ratio)}x {who}", va="center", fontsize=8)
        place += len(peers) + 1
    axes.axvline(1, color=OUR_COLOUR, linewidth=1.5)
    axes.set(xscale="log", xlim=(min([0.8, *(0.8 * o.ratio(w) for o, w in bars)]), longest * 6), ylim=(place - 1, -1))
    axes.set_yticks(list(ticks), list(ticks.values()), fontsize=8)
    axes.set_xlabel("times as long as colad_ops (line: colad_ops; black mark: goal)")
    axes.set_title(f"Peers against colad_ops, {machine}", fontsize=11)
    axes.grid(axis="x", alpha=0.3)
    return save_figure(figure, path)


def draw_roofline(outcomes: Sequence[Outcome], machine: Machine, path: Path) -> Path:
    """A line for each case on a logarithmic axis of time: the lower bound, ours, the peers."""
    shown = [outcome for outcome in outcomes if outcome.share_of_lower_bound is not None]
    figure = new_figure(11, MARGIN + 0.55 * max(len(shown), 1))
    axes = figure.add_subplot()
    for y, outcome in enumerate(shown):
        bound, ours = outcome.case.lower_bound.seconds * 1e3, outcome.timings[OURS].median / 1e3
        axes.plot([bound, ours], [y, y], color=OUR_COLOUR, linewidth=3, alpha=0.35, zorder=1)
        axes.scatter(bound, y, marker="|", s=220, linewidth=2.5, color=BOUND_COLOUR, zorder=2)
        axes.scatter(ours, y, s=70, color=OUR_COLOUR, zorder=4)
        for who, timing in outcome.timings.items():
            if who != OURS:
                colour = PEER_COLOURS.get(who, OTHER_COLOUR)
                axes.scatter(timing.median / 1e3, y, s=32, marker="D", color=colour, edgecolor="white", zorder=3)
        axes.text(
            (bound * ours) ** 0.5, y - 0.3, f"{100 * outcome.share_of_lower_bound:.0f} %", ha="center", fontsize=8
        )
    seen = {who: None for outcome in shown for who in outcome.timings if who != OURS}
    axes.scatter([], [], marker="|", s=220, linewidth=2.5, color=BOUND_COLOUR, label="lower bound of the machine")
    axes.scatter([], [], s=70, color=OUR_COLOUR, label="colad_ops (% of the lower bound)")
    for who in seen:
        axes.scatter([], [], s=32, marker="D", color=PEER_COLOURS.get(who, OTHER_COLOUR), label=who)
    axes.set(xscale="log", ylim=(len(shown) - 0.3, -0.8), xlabel="milliseconds")
    axes.set_yticks(range(len(shown)), [title_of(outcome) for outcome in shown], fontsize=8)
    axes.set_title(
        f"{machine}, one thread: {machine.bandwidth / 1e9:.0f} GB/s, {machine.flops / 1e9:.0f} Gflop/s",
        fontsize=11,
    )
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8)
    return save_figure(figure, path)
