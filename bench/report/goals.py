"""The goals of the operators on one thread of a CPU with AVX-512 and a batch of 8 images, and whether they are
reached."""

from __future__ import annotations

from bench.measure.case import OURS, Goal, Outcome
from bench.peers.names import COMPILED, EAGER, FASTBBOX, NUMBA, PLAIN_BCE, SKLEARN, TORCHVISION, VECTORISED

MEGABYTE = 1e6

GOALS = {
    "iou, rows along the anchors": (
        Goal("times", 35, TORCHVISION), Goal("times", 10, COMPILED), Goal("times", 4, FASTBBOX),
    ),
    "iou, rows along the objects": (Goal("times", 14, TORCHVISION), Goal("times", 1.5, FASTBBOX)),
    "decoding": (Goal("times", 10, EAGER),),
    "largest iou of each anchor": (Goal("times", 35, TORCHVISION),),
    "mixtures of a batch": (Goal("times", 600, SKLEARN), Goal("times", 1.5, NUMBA)),
    "1,000 mixtures": (Goal("times", 1200, SKLEARN),),
    "cost": (Goal("times", 10, EAGER), Goal("times", 3, COMPILED)),
    # A loss allocates one tensor, the gradient. The gradient is a result, so it is not extra memory.
    "focal-KL": (
        Goal("times", 13, EAGER), Goal("times", 6, COMPILED), Goal("times", 2.5, PLAIN_BCE), Goal("extra", MEGABYTE),
    ),
    "whole assignment": (
        Goal("times", 120, EAGER), Goal("times", 10, VECTORISED), Goal("ms", 3), Goal("extra", MEGABYTE),
    ),
    "whole assignment, 500 objects": (Goal("ms", 5),),
    "suppression": (Goal("times", 5, TORCHVISION),),
    "votes": (Goal("times", 6, VECTORISED),),
}  # fmt: skip


def verdict(goal: Goal, outcome: Outcome) -> str:
    return {True: "reached", False: "not reached", None: "unknown"}[goal.reached(outcome)]


def goals_of(outcome: Outcome, who: str) -> list[Goal]:
    """The goals in the row of ``who``. A goal against a peer that ran is in the row of this peer; all others are in our
    row. Goals hold for one thread."""
    if outcome.threads > 1:
        return []
    return [g for g in outcome.case.goals if (g.peer if g.peer in outcome.timings else OURS) == who]
