"""What the kernels of an operator do on a workload: warps, trips of the hot loops, bytes."""

from __future__ import annotations

import math

import torch

import colad_ops
from bench.measure.hot_loop_list import HOT_LOOPS
from bench.measure.kernel_model import MULTIPROCESSORS, THREADS, KernelWork, OperatorWork, Trips
from bench.measure.sass.cycles import IN_L1, IN_L2, IN_MEMORY
from bench.measure.sass.hot_loops import HotLoop
from bench.workload.batch import Workload
from bench.workload.candidates import bytes_of_candidates, cheapest_candidates, matched_and_cost
from bench.workload.every_operator import BOX, COST, ROW, SECTOR
from bench.workload.matching_pairs import OBJECTS, matching_pairs

# Threads of a block of matching and cost, of the split, of the losses; threads that share an anchor's classes.
TILE, OBJECT_BLOCK, LOSS_BLOCK, PARTS = 128, 256, 256, 8


def operator_work(w: Workload) -> dict[str, OperatorWork]:
    return {
        "`paa_assign`": OperatorWork(paa_assign_work(w), other_launches=1),
        # Besides: the gradient of the result, which is 1, and the scaling by it, which then touches nothing.
        "`focal_kl_loss`, float32": OperatorWork(focal_kl_work(w, 4, "focal_kl"), other_launches=2),
        "`focal_kl_loss`, bfloat16": OperatorWork(focal_kl_work(w, 2, "focal_kl_bf16"), other_launches=2),
    }


def focal_kl_work(w: Workload, size: int, name: str) -> list[KernelWork]:
    logits, listed = w.images * len(w.anchors) * w.classes, HOT_LOOPS[name]
    packs = logits / (16 // size) / 32
    warps = min(packs, MULTIPROCESSORS * THREADS / 2 / 32)  # half of the card, and each warp loops
    trips = Trips(listed.hot, packs / warps, packs, IN_MEMORY)
    return [KernelWork("focal_kl", listed.kernel, LOSS_BLOCK, warps, (trips,), 3 * logits * size)]


def paa_assign_work(w: Workload) -> list[KernelWork]:
    matched, _ = matched_and_cost(w)
    anchors, all_anchors = len(w.anchors), w.images * len(w.anchors)
    tiles = math.ceil(anchors / TILE)
    pairs = matching_pairs(w)
    row_bytes = all_anchors * ROW

    def matching(kernel: str, name: str, parts: int, most: int, moved: float) -> KernelWork:
        listed = HOT_LOOPS[name]
        trips = Trips(listed.hot, most / listed.elements, pairs.met / listed.elements)
        return KernelWork("match_anchors", kernel, TILE, parts * tiles * TILE / 32, (trips,), moved)

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
        matching(
            "first_pass_kernelIf", "match_first", math.ceil(len(w.gt_boxes) / OBJECTS), pairs.most_of_first,
            anchors * BOX,
        ),
        # A warp goes on with the next image. As if each image had a warp of its own, which takes more instructions.
        matching("second_pass_kernelIf", "match_second", w.images, pairs.most_of_second, anchors * BOX + row_bytes),
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
