"""Calls the operators of the assignment under callgrind, which writes the instruction counts of each operator.

instructions.py runs this file by its path, with the Python code of the measured library. That code may be older than
the package ``bench``, so this file imports nothing from ``bench``.
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Callable
from typing import Any

import torch

import colad_ops


def operators(inputs: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    config = colad_ops.AssignConfig()
    objects = inputs["gt_boxes"], inputs["gt_labels"], inputs["gt_offsets"]
    logits, boxes = ([m.flatten(2).transpose(1, 2) for m in inputs[name]] for name in ("class_maps", "box_maps"))
    anchors, level_sizes, matched, cost = (inputs[name] for name in ("anchors", "level_sizes", "matched", "cost"))
    return {
        "match_anchors": lambda: colad_ops.match_anchors(
            anchors, objects[0], objects[2], **config.matching_options()
        ),
        "assign_cost": lambda: colad_ops.assign_cost(
            logits, boxes, *objects[:2], matched, **config.cost_options()
        ),
        "split_candidates": lambda: colad_ops.split_candidates(cost, matched, level_sizes, *objects, config),
        "gmm_em": lambda: colad_ops.gmm_em(inputs["values"], inputs["offsets"]),
        "paa_assign": lambda: colad_ops.paa_assign(logits, boxes, anchors, level_sizes, *objects, config),
    }  # fmt: skip


def main(inputs: str, requests: str) -> None:
    torch.set_num_threads(1)
    to_callgrind = ctypes.CDLL(requests)
    for name, call in operators(torch.load(inputs)).items():
        call()  # not counted: the first call also does one-time work
        to_callgrind.start()
        call()
        to_callgrind.dump(name.encode())
    # An older library has no entry for the capability.
    print(json.dumps(colad_ops.build_info().get("cpu_capability")))


if __name__ == "__main__":
    main(*sys.argv[1:])
