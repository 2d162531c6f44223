"""NaN, infinite, empty, inverted, huge and tiny boxes, mixed with ordinary boxes."""

import itertools

import torch

from python_tests.support.scenes import random_boxes

NAN, INF = float("nan"), float("inf")

EDGE_CASES = [
    (NAN, 0, 10, 10),
    (0, 0, 10, NAN),
    (0, 0, INF, 10),
    (-INF, -INF, INF, INF),
    (0, 0, INF, 0),
    (INF, INF, -INF, -INF),
    (INF, 0, INF, 10),
    (0, 0, 3e38, 3e38),
    (20, 20, 20, 20),
    (0, 0, 0, 30),
    (30, 30, 10, 10),
    (-0.0, -0.0, 0.0, 0.0),
    (1e-30, 0, 2e-30, 1e-30),
]


def with_edge_cases(boxes, every=7):
    boxes = boxes.clone()
    for at, box in zip(range(0, len(boxes), every), itertools.cycle(EDGE_CASES)):
        boxes[at] = torch.tensor(box)
    return boxes


def seeded_boxes(count):
    return random_boxes(torch.Generator().manual_seed(count), count)
