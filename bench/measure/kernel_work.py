"""What the kernels of an operator do on a workload: warps, trips of the hot loops, bytes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

import colad_ops
from bench.measure.hot_loop_list import COST_LOADS, HOT_LOOPS
from bench.measure.kernel_model import MULTIPROCESSORS, THREADS, KernelWork, OperatorWork, Trips
from bench.measure.sass.cycles import IN_L1, IN_MEMORY
from bench.measure.sass.hot_loops import HotLoop
from bench.workload.batch import Workload
from bench.workload.candidates import bytes_of_candidates, cheapest_candidates, matched_and_cost
from bench.workload.every_operator import BOX, COST, ROW, SECTOR
from bench.workload.matching_pairs import OBJECTS, matching_pairs

# Threads of a block of matching, of the cost, of the split, of the losses.
TILE, COST_BLOCK, OBJECT_BLOCK, LOSS_BLOCK = 128, 256, 256, 256
# Anchors that a block of the cost takes at a time, the threads that share an anchor's classes, the most blocks.
AT_ONCE, PARTS, MOST_BLOCKS = 32, 8, 1056
LISTED, KEY = 16, 8  # bytes of a listed candidate and of its key

LEVEL = "anchor >= level[l + 1].first_anchor"  # the loop that finds the level of an anchor

# Loops of the split.
READ = HotLoop(("const uint64_t found = key(begin + i)",))
IN_SHARED = ("choose_samples(p, keys, list.count, memory.chosen, memory.sorted, memory)",)
ROUND = HotLoop((*IN_SHARED, "best = warp_reduce(best, Min{})"))
VISIT = HotLoop((*IN_SHARED, "key > above && key < best && anchor >= first"))
RANK = HotLoop((*IN_SHARED, "rank += chosen[j] < chosen[i]"))
KEYS_AT_ONCE, RANKS_AT_ONCE = 4, 4  # unrolled


def operator_work(w: Workload) -> dict[str, OperatorWork]:
    return {
        "`paa_assign`": OperatorWork(paa_assign_work(w), other_launches=1),
        # Besides: the fill, the gradient of the result, which is 1, and the scaling by it, which then changes nothing.
        "`focal_kl_loss`, float32": OperatorWork(focal_kl_work(w, 4, "focal_kl"), other_launches=3),
        "`focal_kl_loss`, bfloat16": OperatorWork(focal_kl_work(w, 2, "focal_kl_bf16"), other_launches=3),
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
    candidates = int((matched >= 0).sum())
    row_bytes = all_anchors * ROW

    def matching(name: str, parts: int, most: int, moved: float, dependent: bool) -> KernelWork:
        listed = HOT_LOOPS[name]
        trips = Trips(listed.hot, most / listed.elements, pairs.met / listed.elements)
        warps = parts * tiles * TILE / 32
        return KernelWork("match_anchors", listed.kernel, TILE, warps, (trips,), moved, dependent=dependent)

    return [
        matching(
            "match_first", math.ceil(len(w.gt_boxes) / OBJECTS), pairs.most_of_first, anchors * BOX, dependent=False
        ),
        # A warp goes on with the next image. As if each image had a warp of its own, which takes more instructions.
        # It writes rows, IoUs, the infinite costs and the list of candidates.
        matching(
            "match_second", w.images, pairs.most_of_second,
            anchors * BOX + row_bytes + 2 * all_anchors * COST + candidates * LISTED, dependent=True,
        ),
        cost_work(w, matched),
        split_work(w, matched),
    ]  # fmt: skip


def cost_work(w: Workload, matched: Tensor) -> KernelWork:
    candidates = int((matched >= 0).sum())
    groups, turns = math.ceil(candidates / AT_ONCE), math.ceil(w.classes / PARTS / COST_LOADS)
    listed = HOT_LOOPS["cost"]
    warps = groups * COST_BLOCK / 32
    classes = Trips(listed.hot, math.ceil(groups / MOST_BLOCKS) * turns, warps * turns, IN_MEMORY)
    # The first of the 8 warps of a block also computes the box part. As if every warp did.
    level = HotLoop(("box_cost_at(p, image, anchor, row)", "for_each_cost<T, kSquare, false>(costs", LEVEL))
    levels = Trips(level, len(w.level_sizes) - 1, warps * (len(w.level_sizes) - 1))
    moved = candidates * (LISTED + COST + KEY) + bytes_of_candidates(w, matched, SECTOR)
    return KernelWork("paa_assign", listed.kernel, COST_BLOCK, warps, (levels, classes), moved, dependent=True)


def split_work(w: Workload, matched: Tensor) -> KernelWork:
    """Each object has a block. All warps read its keys, each warp chooses the cheapest of a level, and the first warp
    fits them."""
    objects, topk = len(w.gt_boxes), w.config.topk
    of_level = torch.stack([x[x >= 0].bincount(minlength=objects) for x in matched.split(w.level_sizes, dim=1)])
    of_object = of_level.sum(dim=0)
    keys = (of_object / 32).ceil()  # that a lane reads
    rounds = of_level.add(1).clamp(max=topk)  # one more than there are candidates, if these are few
    # A lane's keys, so many at once. A round includes one visit and the keys that are left over.
    more_visits = rounds * (keys / KEYS_AT_ONCE).floor().sub(1).clamp(min=0)

    values, offsets = cheapest_candidates(w)
    counts, iterations = offsets.diff(), colad_ops.gmm_em(values, offsets).n_iter
    ranks = (counts / RANKS_AT_ONCE).ceil()
    short, long = iterations * (counts <= 32), iterations * (counts > 32)
    # The warp with the most work is that of the longest fit.
    slowest = int(iterations.argmax())
    trips = (
        Trips(READ, float((keys / (OBJECT_BLOCK / 32)).ceil().max()), float(keys.sum())),
        Trips(ROUND, float(rounds.max()), float(rounds.sum())),
        Trips(VISIT, float(more_visits.max()), float(more_visits.sum())),
        Trips(RANK, float(ranks.max()), float(ranks.sum() * 2)),
        Trips(HOT_LOOPS["split_em_32"].hot, int(short[slowest]), int(short.sum()), IN_L1),
        Trips(HOT_LOOPS["split_em_64"].hot, int(long[slowest]), int(long.sum()), IN_L1),
    )
    candidates = int(of_object.sum())
    # The keys are in L2. Each row is written in a sector of its own.
    return KernelWork(
        "split_candidates", "split_kernel", OBJECT_BLOCK, objects * OBJECT_BLOCK / 32, trips, candidates * SECTOR,
        candidates * KEY, dependent=True,
    )  # fmt: skip
