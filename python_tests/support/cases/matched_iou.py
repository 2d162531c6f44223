"""Cases of ``matched_box_iou``."""

import torch

from colad_ops import match_anchors, matched_box_iou
from colad_ops.ops.iou import MODES
from colad_ops.ops.matched_iou import matched_box_iou_reference
from python_tests.support.cases.iou import DTYPES, KINKS, special
from python_tests.support.op_contract import Case
from python_tests.support.scenes import make_scene


def scene_case(name, objects=(3, 0, 5), dtype=torch.float32, representative=False, iou_threshold=0.1, **options):
    """Some anchors have an object. With a threshold of 0 almost all have one, more than a block of the CPU holds."""
    scene = make_scene(list(objects))
    matched = match_anchors(scene.anchors, scene.gt_boxes, scene.gt_offsets, iou_threshold=iou_threshold).matched
    matched = matched.clone()
    matched[:, ::7] = matched[:, ::7].where(matched[:, ::7] >= 0, -2)
    return Case(
        name, scene.boxes.to(dtype), scene.gt_boxes.to(dtype), matched, representative=representative, **options
    )


class MatchedBoxIouCases:
    operator, reference = staticmethod(matched_box_iou), staticmethod(matched_box_iou_reference)
    differentiable = (0,)
    # Rounded to a half type, corners of boxes and objects tie. Differences through so many values take minutes.
    kinks = KINKS + tuple(f"{mode}_{dtype}" for mode in MODES for dtype in ("float16", "bfloat16")) + ("every_anchor",)

    @classmethod
    def cases(cls):
        pairs = [(a, b) for a in range(8) for b in range(8)]
        matched = torch.tensor([b for _, b in pairs])[None]
        return [
            *(
                scene_case(f"{mode}_{str(d)[6:]}", dtype=d, mode=mode, representative=d == torch.float32)
                for mode in MODES
                for d in DTYPES
            ),
            *(
                Case(f"special_{mode}", special()[[a for a, _ in pairs]][None], special(), matched, mode=mode)
                for mode in MODES
            ),
            scene_case("every_anchor", objects=(30, 20), iou_threshold=0.0, mode="giou"),
            Case("no_objects", torch.rand(2, 3, 4), torch.zeros(0, 4), torch.tensor([[-1, -2, -1]] * 2)),
            Case("no_anchors", torch.rand(2, 0, 4), special(), torch.zeros(2, 0, dtype=torch.int64), mode="ciou"),
            Case("no_images", torch.rand(0, 3, 4), special(), torch.zeros(0, 3, dtype=torch.int64)),
        ]
