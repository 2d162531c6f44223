"""How many objects the warps of the matching kernels meet on a workload. A warp has 32 neighbouring anchors. It skips
an object that does not reach the box around them (``csrc/ops/match_anchors/match_warp.cuh``). All images have the same
anchors.

``python -m bench.workload.matching_pairs`` prints the numbers for the workload of ``bench/ROOFLINE.md``."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.workload.batch import Workload, workload

WARP, OBJECTS, IMAGES = 32, 16, 4
"""Anchors of a warp; objects of a part of the first pass, images of a part of the second: ``match_anchors_cuda.cu``."""


@dataclass(frozen=True)
class MatchingPairs:
    warps: int
    """Warps that hold all anchors once."""
    pairs: int
    """A warp and an object of any image."""
    met: int
    """Pairs in which the object reaches the box around the anchors."""
    overlapping: int
    """Pairs in which it overlaps an anchor. All of them are met."""
    most_of_first: int
    most_of_second: int
    """Objects that one warp meets, one after the other, in a part of the first pass and of the second."""


def reach(first: Tensor, second: Tensor) -> Tensor:
    """``(N, M)``: whether two boxes have a common area."""
    low = torch.maximum(first[:, None, :2], second[None, :, :2])
    high = torch.minimum(first[:, None, 2:], second[None, :, 2:])
    return (high > low).all(dim=2)


def matching_pairs(w: Workload) -> MatchingPairs:
    count = -(-len(w.anchors) // WARP)
    missing = count * WARP - len(w.anchors)
    warps = torch.cat([w.anchors, w.anchors[-1:].expand(missing, 4)]).view(count, WARP, 4)
    hulls = torch.cat([warps[..., :2].amin(dim=1), warps[..., 2:].amax(dim=1)], dim=1)
    met = reach(hulls, w.gt_boxes)
    overlapping = reach(warps.reshape(-1, 4), w.gt_boxes).view(count, WARP, -1).any(dim=1)
    return MatchingPairs(
        count,
        met.numel(),
        int(met.sum()),
        int(overlapping.sum()),
        max(int(part.sum(dim=1).max()) for part in met.split(OBJECTS, dim=1)),
        max(int(part.sum(dim=1).max()) for part in met.split(objects_of_parts(w), dim=1)),
    )


def objects_of_parts(w: Workload) -> list[int]:
    """Objects of every IMAGES images."""
    return [int(part.sum()) for part in w.gt_offsets.diff().split(IMAGES)]


if __name__ == "__main__":
    found = matching_pairs(workload())
    print(f"{found.warps} warps of anchors x {found.pairs // found.warps} objects: {found.pairs} pairs")
    print(f"met: {found.met} ({found.met / found.pairs:.1%}), {found.overlapping / found.pairs:.1%} overlap an anchor")
    print(
        f"most objects that a warp meets in a part: {found.most_of_first} (first pass), {found.most_of_second} (second)"
    )
