"""Cases of ``match_anchors``."""

import torch

from colad_ops import match_anchors
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
            scene_case("no_objects", [0, 0], representative=True),
            Case("no_images", torch.rand(5, 4), torch.zeros(0, 4), torch.tensor([0])),
            Case("no_anchors", torch.zeros(0, 4), torch.rand(3, 4), torch.tensor([0, 3])),
        ]
