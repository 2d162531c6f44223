"""Cases of ``decode_boxes``: of one tensor, and of the levels of a network."""

import math

import torch

from colad_ops import decode_boxes
from colad_ops.ops.decode_boxes import decode_boxes_reference
from python_tests.support.op_contract import Case
from python_tests.support.scenes import random_boxes

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
OPTIONS = {"stds": (0.3, 0.2, 0.5, 0.4), "max_ratio": 4.0}
SIZES = ((9, 7), (4, 5), (2, 1))  # of the maps; 63, 20 and 2 locations


def anchors(count, seed=1):
    return random_boxes(torch.Generator().manual_seed(seed), count, 100.0)


def normal(*shape, seed=2):
    """Deltas of which some are clamped with ``OPTIONS``."""
    return 2.5 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def odd_deltas() -> torch.Tensor:
    """Sides at both ends of the clamp and outside, infinite and NaN deltas, in each of the four places."""
    end = math.log(4.0)
    values = (end, -end, 2 * end, -2 * end, 1e30, -1e30, torch.inf, -torch.inf, torch.nan, 0.0)
    rows = torch.full((4 * len(values), 4), 0.25)
    for i, value in enumerate(values):
        for place in range(4):
            rows[4 * i + place, place] = value
    return rows


def odd_anchors() -> torch.Tensor:
    """Empty, inverted and far away."""
    return torch.tensor([[3.0, 3, 3, 3], [9, 9, 1, 2], [-50, -60, -20, -10], [1000, 500, 1010, 530]]).repeat(10, 1)


class DecodeBoxesCases:
    """One tensor of deltas."""

    operator, reference = staticmethod(decode_boxes), staticmethod(decode_boxes_reference)
    differentiable = (1,)
    kinks = ("ends", "infinite_and_nan", "long")

    @classmethod
    def cases(cls):
        for dtype in DTYPES:
            name = str(dtype)[6:]
            yield Case(
                f"rows_{name}", anchors(37), normal(2, 37, 4).to(dtype), **OPTIONS, representative=dtype == DTYPES[0]
            )
            yield Case(f"anchors_{name}", anchors(5).to(dtype), normal(2, 5, 4), **OPTIONS)
        at_ends = torch.tensor([[0.0, 0, 1, -1], [0, 0, -1, 1]]) * math.log(4.0)
        yield Case("ends", anchors(2), at_ends[None], stds=(1.0, 1.0, 1.0, 1.0), max_ratio=4.0)
        yield Case("infinite_and_nan", odd_anchors(), odd_deltas(), stds=(1.0, 1.0, 1.0, 1.0), max_ratio=4.0)
        yield Case("defaults", anchors(9), normal(3, 9, 4), representative=True)
        yield Case("one_image", anchors(9), normal(9, 4), **OPTIONS, representative=True)
        yield Case("many_dimensions", anchors(3), normal(2, 1, 5, 3, 4), **OPTIONS, representative=True)
        yield Case("long", anchors(1100), normal(2, 1100, 4), **OPTIONS)  # several blocks of the CPU
        yield Case("no_anchors", anchors(0), normal(2, 0, 4), representative=True)
        yield Case("no_images", anchors(3), normal(0, 3, 4))


def decode_maps(anchors, *maps, shapes=1, **options):
    """The views of NCHW maps. Their channels are ``4 * shapes``, the anchors of a location one after the other."""
    if shapes == 1:
        return decode_boxes(anchors, [m.flatten(2).transpose(1, 2) for m in maps], **options)
    return decode_boxes(anchors, [several(m, shapes) for m in maps], **options)


def several(level_map, shapes):
    return level_map.unflatten(1, (shapes, 4)).flatten(3).permute(0, 3, 1, 2)


def decode_maps_reference(anchors, *maps, shapes=1, **options):
    rows = [m.unflatten(1, (shapes, 4)).permute(0, 3, 4, 1, 2).flatten(1, 3) for m in maps]
    return decode_boxes_reference(anchors, torch.cat(rows, dim=1), **options)


class DecodeLevelsCases:
    """The maps of three levels, read in place."""

    operator, reference = staticmethod(decode_maps), staticmethod(decode_maps_reference)
    differentiable = (1, 2, 3)

    @classmethod
    def cases(cls):
        for dtype in DTYPES:
            for shapes in (1, 3):
                count = shapes * sum(h * w for h, w in SIZES)
                maps = [normal(2, 4 * shapes, h, w, seed=h).to(dtype) for h, w in SIZES]
                name = f"{shapes}_a_location_{str(dtype)[6:]}"
                first = dtype == DTYPES[0]
                yield Case(name, anchors(count), *maps, shapes=shapes, **OPTIONS, representative=first)
        shapes, maps = 2, [normal(2, 8, h, w) for h, w in SIZES]
        maps[1] = maps[1].to(memory_format=torch.channels_last)
        yield Case("channels_last", anchors(170), *maps, shapes=shapes, **OPTIONS)
        maps = [normal(2, 4, h, w) for h, w in ((3, 3), (0, 3), (1, 2))]
        yield Case("empty_level", anchors(11), *maps, **OPTIONS)
        maps = [normal(2, 12, h, w) for h, w in ((30, 20), (1, 1), (1, 2))]
        yield Case("long", anchors(3 * 603), *maps, shapes=3, **OPTIONS)

    kinks = ("long",)
