"""Cases of ``match_anchors``."""

from math import inf, nan

import torch

from colad_ops import match_anchors, ragged
from colad_ops.ops.match_anchors import match_anchors_reference
from python_tests.support.op_contract import Case
from python_tests.support.scenes import make_scene, random_boxes

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def scene_case(name, objects, dtype=torch.float32, seed=0, representative=False, **options):
    scene = make_scene(objects, seed=seed)
    return Case(
        name,
        scene.anchors.to(dtype),
        scene.gt_boxes.to(dtype),
        scene.gt_offsets,
        representative=representative,
        **options,
    )


def tied_case(name, **options):
    """Objects that tie: duplicates, a tiny one inside many anchors, an empty one, one far off the image."""
    scene = make_scene([0])
    rows = [(10, 10, 40, 40), (10, 10, 40, 40), (30.5, 30.5, 31, 31), (50, 50, 50, 60), (900, 900, 950, 950)]
    return Case(name, scene.anchors, torch.tensor(rows, dtype=torch.float32), torch.tensor([0, 5]), **options)


def special_case(name, dtype=torch.float32, **options):
    """Objects and anchors that are NaN, infinite, inverted, empty, or so large that their area overflows. In the second
    image the first finite object comes last, in the third there is none."""
    largest = 1e200 if dtype == torch.float64 else 1e30
    rows = [
        (nan, 10, 40, 40),
        (-inf, -inf, inf, inf),
        (0, 10, inf, 20),
        (inf, inf, inf, inf),
        (-largest, -largest, largest, largest),
        (60, 60, 20, 20),
        (10, 30, 40, 30),
        (900, 900, 950, 950),
        (10, 10, 40, 40),
        (70, 70, 80, 90),
    ]
    boxes = torch.tensor(rows, dtype=dtype)
    anchors = make_scene([0]).anchors.to(dtype)
    anchors[3 : 3 + len(boxes)] = boxes
    anchors[100:104] = boxes[[0, 1, 0, 2]]
    anchors[140:160] = nan  # a warp has none but these, or one more
    of_images = [[8, 5, 1, 2, 7, 0, 9], [0, 3, 1, 2, 4, 8], [1, 0, 2, 3], [7], [], [5, 9, 7, 1, 8, 4]]
    gt_boxes, gt_offsets = ragged([boxes[image] for image in of_images])
    return Case(name, anchors, gt_boxes, gt_offsets, **options)


def at_dtype(crowd, dtype):
    return crowd | {"ignore_boxes": crowd["ignore_boxes"].to(dtype)}


class MatchAnchorsCases:
    operator, reference = staticmethod(match_anchors), staticmethod(match_anchors_reference)

    @classmethod
    def cases(cls):
        anchors = len(make_scene([0]).anchors)
        generator = torch.Generator().manual_seed(3)
        crowd = {"ignore_boxes": random_boxes(generator, 4), "ignore_offsets": torch.tensor([0, 1, 1, 4])}
        return [
            *(
                scene_case(f"three_images_{str(d)[6:]}", [3, 0, 5], d, representative=d == torch.float32)
                for d in DTYPES
            ),
            *(tied_case(f"ties_{q}", low_quality=q) for q in ("all", "own", "none")),
            tied_case("zero_overlap_claims", claim_zero_overlap=True),
            *(
                scene_case(f"low_quality_{q}", [6, 2], seed=4, low_quality=q, iou_threshold=0.5)
                for q in ("own", "none")
            ),
            scene_case("threshold_zero", [2, 0], iou_threshold=0.0),
            scene_case("valid_shared", [3, 0, 5], valid=torch.rand(anchors, generator=generator) < 0.6),
            scene_case(
                "valid_of_image",
                [3, 0, 5],
                valid=torch.rand(3, anchors, generator=generator) < 0.6,
                representative=True,
            ),
            scene_case("ignore", [3, 0, 5], **crowd, representative=True),
            scene_case("ignore_more", [3, 0, 5], **crowd, ignore_iof=0.1),
            *(
                scene_case(
                    f"inclusive_corners_{str(d)[6:]}", [3, 0, 5], d, inclusive_corners=True, **at_dtype(crowd, d)
                )
                for d in DTYPES
            ),
            tied_case("inclusive_ties", inclusive_corners=True, low_quality="own", claim_zero_overlap=True),
            # Warps of CUDA kernels meet 32 objects at a time, of several images, and 4 images with the same anchors.
            *(
                scene_case(f"many_objects_{str(d)[6:]}", [40, 70, 0, 33, 2, 0, 31, 1, 5], d, seed=2)
                for d in (torch.float32, torch.float64)
            ),
            scene_case("many_objects_own", [0, 64, 0, 70, 0, 0], seed=5, low_quality="own", iou_threshold=0.4),
            scene_case(
                "many_objects_valid",
                [33, 0, 35, 3, 70],
                seed=6,
                valid=torch.rand(5, anchors, generator=generator) < 0.3,
            ),
            scene_case("many_objects_threshold_zero", [40, 70, 0, 33, 2], seed=7, iou_threshold=0.0),
            *(
                special_case(f"special_{q}_{str(d)[6:]}", d, low_quality=q)
                for d in (torch.float32, torch.float64)
                for q in ("all", "own", "none")
            ),
            *(
                special_case(f"special_{q}_zero", low_quality=q, iou_threshold=0.0, claim_zero_overlap=True)
                for q in ("all", "own", "none")
            ),
            special_case("special_negative_threshold", torch.float64, iou_threshold=-1.0),
            special_case("special_claims", claim_zero_overlap=True),
            scene_case("no_objects", [0, 0], representative=True),
            Case("no_images", torch.rand(5, 4), torch.zeros(0, 4), torch.tensor([0])),
            Case("no_anchors", torch.zeros(0, 4), torch.rand(3, 4), torch.tensor([0, 3])),
        ]
