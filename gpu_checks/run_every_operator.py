"""Runs every operator of ``torch.ops.colad`` on a small batch, for tools that observe kernels.

``python -m gpu_checks.run_every_operator DEVICE`` exits with 1 if an operator was not called.
"""

from __future__ import annotations

import sys

import torch
from torch.utils._python_dispatch import TorchDispatchMode

import colad_ops
from bench.workload.batch import SMALL, Workload, make_workload
from bench.workload.every_operator import operator_calls
from colad_ops.ops.nms import batched_nms_of_sorted_boxes
from gpu_checks.commands import last_line, run_command
from gpu_checks.context import Context

COMMAND = (sys.executable, "-m", "gpu_checks.run_every_operator")
"""The device is appended as the last argument."""
SECONDS = 100


def check_every_operator(context: Context) -> str:
    status, output = run_command([*COMMAND, context.device.device], SECONDS)
    if status != 0:
        raise RuntimeError(last_line(output))
    return last_line(output)


class Reached(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func._schema.name)
        return func(*args, **(kwargs or {}))


def more_calls(w: Workload) -> None:
    """Calls that ``operator_calls`` does not contain: indicators by image, ignore boxes, gradients of the pairwise IoU,
    losses without a reduction."""
    pair = [(w.logits(), w.boxes())] * 2
    ground_truth = (w.gt_boxes, w.gt_labels, w.gt_offsets)
    colad_ops.colad_assign(
        pair, w.anchors, w.level_sizes, *ground_truth, indicator="fisher", granularity="image",
        ignore_boxes=w.gt_boxes, ignore_offsets=w.gt_offsets,
    )  # fmt: skip
    leaf = w.anchors.clone().requires_grad_()
    colad_ops.box_iou(leaf, w.gt_boxes, "ciou").sum().backward()
    scores, labels = w.anchors[:, 0], torch.zeros(len(w.anchors), dtype=torch.int64, device=w.anchors.device)
    torch.ops.colad.batched_nms(w.anchors, scores, labels)  # the public function calls one of the two
    batched_nms_of_sorted_boxes(w.anchors, scores, labels, None, 0.6)
    matched = colad_ops.paa_assign(*w.assign_arguments()).labels(w.classes)
    for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64):
        logits = torch.cat(w.logits(), dim=1).to(dtype).requires_grad_()
        weight = (matched >= 0).to(dtype)
        colad_ops.sigmoid_focal_loss(logits, matched, weight=weight, reduction="none").sum().backward()
        colad_ops.focal_kl_loss(logits, logits.detach() / 2, weight=weight, reduction="none").sum().backward()


def main(device: torch.device) -> int:
    w = make_workload(**SMALL)
    with Reached() as reached:
        for call in operator_calls(w, device):
            call.run()
        more_calls(w.to(device))
    if device.type == "cuda":
        torch.cuda.synchronize()
    every = {name for name in torch._C._dispatch_get_all_op_names() if name.startswith("colad::")}
    missing = sorted(every - reached.names)
    print(f"{len(every - set(missing))} of {len(every)} operators ran on {device}", *missing)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(torch.device(sys.argv[1])))
