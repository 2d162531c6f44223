"""Cases of ``assign_cost``."""

import torch

from colad_ops import assign_cost, match_anchors
from colad_ops.ops.assign_cost import assign_cost_reference
from python_tests.support.op_contract import Case
from python_tests.support.scenes import channel_first_views, make_scene


def scene_case(name, objects=(3, 0, 5), dtype=torch.float32, representative=False, as_maps=False, **options):
    scene = make_scene(list(objects))
    matched = match_anchors(scene.anchors, scene.gt_boxes, scene.gt_offsets).matched
    logits, boxes = scene.logits.to(dtype), scene.boxes.to(dtype)
    if options.get("probs"):
        logits = logits.sigmoid()
    if as_maps:
        logits, boxes = channel_first_views(logits, scene.level_sizes), channel_first_views(boxes, scene.level_sizes)
    # Half types occur only as inputs: the cost is computed and returned in float32.
    return Case(
        name,
        logits,
        boxes,
        scene.gt_boxes,
        scene.gt_labels,
        matched,
        representative=representative,
        tolerance=2e-5,
        **options,
    )


class AssignCostCases:
    operator, reference = staticmethod(assign_cost), staticmethod(assign_cost_reference)

    @classmethod
    def cases(cls):
        return [
            scene_case("float32", representative=True),
            *(scene_case(str(d)[6:], dtype=d) for d in (torch.float64, torch.float16, torch.bfloat16)),
            scene_case("maps", as_maps=True, representative=True),
            scene_case("mmdet", box_cost="giou", box_weight=1.3),
            scene_case("ciou", box_cost="ciou"),
            scene_case("probs", probs=True, representative=True),
            scene_case("gamma", gamma=0.7, alpha=0.6),
            scene_case("no_alpha", gamma=0.0, alpha=-1.0),
            scene_case("no_objects", objects=(0, 0)),
            scene_case("no_images", objects=(), representative=True),
        ]
