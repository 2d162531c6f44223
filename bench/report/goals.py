"""What the operators are to reach on one thread of a CPU with AVX-512, workload of 8 images, double-precision EM."""

from bench.measure.case import Goal
from bench.peers.packages import COMPILED, EAGER, FASTBBOX, NUMBA, SKLEARN, TORCHVISION, VECTORISED
from bench.peers.packages import PLAIN_BCE as BCE

MEGABYTE = 1e6

GOALS = {
    "iou, rows along the anchors": (
        Goal("times", 35, TORCHVISION), Goal("times", 10, COMPILED), Goal("times", 4, FASTBBOX),
    ),
    "iou, rows along the objects": (Goal("times", 14, TORCHVISION), Goal("times", 1.5, FASTBBOX)),
    "largest iou of each anchor": (Goal("times", 35, TORCHVISION),),
    "mixtures of a batch": (Goal("times", 600, SKLEARN), Goal("times", 1.5, NUMBA)),
    "1,000 mixtures": (Goal("times", 1200, SKLEARN),),
    "cost": (Goal("times", 10, EAGER), Goal("times", 3, COMPILED)),
    # One tensor in all, the gradient, which is the result and so not extra.
    "focal-KL": (
        Goal("times", 13, EAGER), Goal("times", 6, COMPILED), Goal("times", 2.5, BCE), Goal("extra", MEGABYTE),
    ),
    "whole assignment": (
        Goal("times", 120, EAGER), Goal("times", 10, VECTORISED), Goal("ms", 3), Goal("extra", MEGABYTE),
    ),
    "whole assignment, 500 objects": (Goal("ms", 5),),
}  # fmt: skip
