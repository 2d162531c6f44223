"""What the kernels of an operator do on a workload: warps, trips of the hot loops, bytes."""

from __future__ import annotations

import math

import torch

import colad_ops
from bench.measure.hot_loop_list import HOT_LOOPS
from bench.measure.kernel_model import KernelWork, OperatorWork, Trips
from bench.measure.sass.cycles import IN_L1, IN_L2, IN_MEMORY
from bench.measure.sass.hot_loops import HotLoop
from bench.workload.batch import Workload
from bench.workload.candidates import bytes_of_candidates, cheapest_candidates, matched_and_cost
from bench.workload.every_operator import BOX, COST, ROW, SECTOR

# Threads of a block of matching and cost, of the split, of the losses; threads that share an anchor's classes.
TILE, OBJECT_BLOCK, LOSS_BLOCK, PARTS = 128, 256, 256, 8


def operator_work(w: Workload) -> dict[str, OperatorWork]:
    return {
        "`paa_assign`": OperatorWork(paa_assign_work(w), other_launches=1),
        "`focal_kl_loss`, float32": OperatorWork(focal_kl_work(w, 4, ""), other_launches=3),
        "`focal_kl_loss`, bfloat16": OperatorWork(focal_kl_work(w, 2, "_bf16"), other_launches=2),
    }


def focal_kl_work(w: Workload, size: int, suffix: str) -> list[KernelWork]:
    logits, pack = w.images * len(w.anchors) * w.classes, 16 // size

    def of_pass(name: str, moved: int) -> KernelWork:
        listed = HOT_LOOPS[name + suffix]
        trips = Trips(listed.hot, 1, logits / pack / 32, IN_MEMORY)
        return KernelWork("focal_kl", listed.kernel, LOSS_BLOCK, logits / pack / 32, (trips,), moved * logits * size)

    return [of_pass("focal_kl_forward", 2), of_pass("focal_kl_backward", 3)]


def paa_assign_work(w: Workload) -> list[KernelWork]:
    matched, _ = matched_and_cost(w)
    anchors, all_anchors = len(w.anchors), w.images * len(w.anchors)
    objects = w.gt_offsets.diff()
    tiles = math.ceil(anchors / TILE)
    pairs = int(objects.sum()) * tiles * TILE / 32
    row_bytes = all_anchors * ROW

    def matching(kernel: str, name: str, moved: float) -> KernelWork:
        trips = Trips(HOT_LOOPS[name].hot, int(objects.max()), pairs)
        return KernelWork("match_anchors", kernel, TILE, w.images * tiles * TILE / 32, (trips,), moved)

    of_tile = torch.nn.functional.pad(matched >= 0, (0, tiles * TILE - anchors)).view(-1, TILE).sum(1)
    classes = math.ceil(w.classes / PARTS)
    cost = Trips(
        HOT_LOOPS["cost"].hot, int(of_tile.max()) * PARTS // TILE * classes,
        float((of_tile * PARTS / 32).ceil().sum()) * classes, IN_MEMORY,
    )  # fmt: skip

    values, offsets = cheapest_candidates(w)
    iterations = colad_ops.gmm_em(values, offsets).n_iter
    em = Trips(HOT_LOOPS["split_em_32"].hot, int(iterations.max()), int(iterations.sum()), IN_L1)
    candidates = torch.bincount(matched[matched >= 0])
    scan = Trips(
        HotLoop(("for_each_anchor_of_object(c, image, row, 0, in_image",), longest=False), anchors / OBJECT_BLOCK,
        len(w.gt_boxes) * anchors / 32, IN_L2,
    )  # fmt: skip
    rounds = Trips(
        HotLoop(("key > above && key < best && anchor >= first",)),
        w.config.topk * int(candidates.max()) / 32 / 4, w.config.topk * len(w.level_sizes) * len(matched) / 32 / 4,
    )  # fmt: skip
    return [
        matching("first_pass_kernelIf", "match_first", anchors * BOX + row_bytes + all_anchors * COST),
        matching("second_pass_kernelIf", "match_second", anchors * BOX + 2 * row_bytes),
        KernelWork(
            "assign_cost", "assign_cost_kernelIf", TILE, w.images * tiles * TILE / 32, (cost,),
            all_anchors * (ROW + COST) + bytes_of_candidates(w, matched, SECTOR),
        ),
        KernelWork(
            "split_candidates", "split_kernel", OBJECT_BLOCK, len(w.gt_boxes) * OBJECT_BLOCK / 32, (scan, rounds, em),
            2 * row_bytes,
            len(w.gt_boxes) * anchors * ROW + int(candidates.sum()) * COST, never=("choose_of_anchors(",),
        ),
    ]  # fmt: skip
