"""The device against the CPU: integers (matches, labels, positives, iterations) equal, floats close."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

import colad_ops
from bench.workload.batch import Workload
from bench.workload.candidates import cheapest_candidates, matched_and_cost, repeated
from bench.workload.every_operator import MANY_OBJECTS, OperatorCall, operator_calls
from gpu_checks.context import Context
from gpu_checks.csv_file import write_csv
from gpu_checks.device import AnyDevice, replay_microseconds
from gpu_checks.kernels import kernel_rows

BATCHES = ((1, 7), (2, 15), (8, 58), (16, 117), (1, 500))  # images and objects, as in COCO; and a crowd
CROWD = (16, 75_000)
RTOL, ATOL = 1e-4, 1e-5  # of float32 costs and losses, and of what is computed from them
RTOL_HALF = 1.6e-2
REPLAYS = 3  # for the times of the kernels


def check_every_call(context: Context) -> str:
    """Every operator on the whole workload."""
    here = operator_calls(context.workload, torch.device("cpu"))
    there = operator_calls(context.workload, context.device.device)
    compared = 0
    for a, b in zip(here, there, strict=True):
        compared += compare(f"{a.op} {a.what}", a.run(), b.run())
    return f"{len(here)} calls, {compared} outputs equal to the CPU's"


def check_mixtures(context: Context) -> str:
    """EM on the same values: also the number of iterations has to be equal."""
    values, offsets = cheapest_candidates(context.workload)
    for objects in (len(offsets) - 1, MANY_OBJECTS):
        for options in ({}, {"covariance": "tied"}, {"tol": 0.0, "max_iter": 40}):
            segments = repeated(values, offsets, objects)
            fit = colad_ops.gmm_em(*segments, **options)
            compare(f"gmm_em {objects} {options}", fit, colad_ops.gmm_em(*on_device(segments, context), **options))
    return f"{len(values)} values, labels and n_iter equal to the CPU's"


def check_batches(context: Context) -> str:
    return check_assignments(context, "batches.csv", (context.sized(*batch) for batch in BATCHES))


def check_crowd(context: Context) -> str:
    return check_assignments(context, "crowd.csv", [context.sized(*CROWD)])


def check_all_matched(context: Context) -> str:
    """An object of each image covers it and takes every anchor: the most that the kernel of the costs can have."""
    w = context.workload
    corner = w.anchors[:, :2].amin(0), w.anchors[:, 2:].amax(0)
    everything = torch.cat(corner)[None]
    w = replace(
        w, gt_boxes=everything.repeat(w.images, 1), gt_labels=w.gt_labels[: w.images],
        gt_offsets=torch.arange(w.images + 1), config=colad_ops.AssignConfig(iou_threshold=0.0),
    )  # fmt: skip
    matched, _ = matched_and_cost(w)
    assert (matched >= 0).all(), "an anchor is not matched"
    return check_assignments(context, "all_matched.csv", [w])


def check_assignments(context: Context, table: str, workloads: Iterator[Workload] | list[Workload]) -> str:
    """The whole assignment of each batch, its time and that of its kernels."""
    rows, kernels = [], []
    for w in workloads:
        rows.append(assignment_row(w, context.device))
        print(rows[-1], flush=True)
        there = w.to(context.device.device)
        what = f"{w.images} images, {len(w.gt_boxes)} objects"
        call = OperatorCall("paa_assign", what, partial(colad_ops.paa_assign, *there.assign_arguments()), 0, 0)
        kernels += kernel_rows(call, context.device, REPLAYS)
    write_csv(context.folder / f"kernels_{table}", kernels)
    longest = max(rows, key=lambda row: row["us"])
    return f"equal to the CPU's, at most {longest['us']:.0f} us; {write_csv(context.folder / table, rows)}"


def assignment_row(w: Workload, device: AnyDevice) -> dict[str, Any]:
    there = w.to(device.device)
    expected = colad_ops.paa_assign(*w.assign_arguments())
    what = f"{w.images} images, {len(w.gt_boxes)} objects"
    matching = [x.config.matching_options() for x in (w, there)]
    matches = [colad_ops.match_anchors(x.anchors, x.gt_boxes, x.gt_offsets, **o) for x, o in zip((w, there), matching)]
    compare(f"match_anchors, {what}", *matches)
    actual = colad_ops.paa_assign(*there.assign_arguments())
    compare(f"paa_assign, {what}", expected, actual)
    compare(f"labels, {what}", expected.labels(w.classes), actual.labels(w.classes))
    return {
        "images": w.images,
        "objects": len(w.gt_boxes),
        "candidates": int((matches[0].matched >= 0).sum()),
        "positives": int(expected.num_pos_total),
        "us": replay_microseconds(device, lambda: colad_ops.paa_assign(*there.assign_arguments())),
    }


def on_device(tensors: tuple[Tensor, ...], context: Context) -> list[Tensor]:
    return [x.to(context.device.device) for x in tensors]


def compare(what: str, expected: Any, actual: Any) -> int:
    """Number of outputs that were compared.

    Raises:
        AssertionError: an output differs; the message says which, in how many places, and where first.
    """
    pairs = list(zip(tree_leaves(expected), tree_leaves(actual), strict=True))
    for place, (e, a) in enumerate(pairs):
        a = a.cpu()
        assert e.shape == a.shape and e.dtype == a.dtype, f"{what}: output {place}: {a.shape} {a.dtype}"
        wrong = ~equal_or_close(e, a)
        if wrong.any():
            first = tuple(wrong.nonzero()[0].tolist())
            raise AssertionError(
                f"{what}: output {place} differs from the CPU in {int(wrong.sum())} of {wrong.numel()} places, first "
                f"at {first}: {a[first].item()} where the CPU has {e[first].item()}"
            )
    return len(pairs)


def equal_or_close(expected: Tensor, actual: Tensor) -> Tensor:
    if not expected.is_floating_point():
        return expected == actual
    rtol = RTOL_HALF if expected.element_size() == 2 else RTOL
    return torch.isclose(actual, expected, rtol=rtol, atol=ATOL, equal_nan=True)
