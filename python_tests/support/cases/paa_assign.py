"""Cases of ``paa_assign``."""

import torch

from colad_ops import AssignConfig, paa_assign
from colad_ops.ops.paa_assign import paa_assign_reference
from python_tests.support.op_contract import Case
from python_tests.support.scenes import channel_first_views, make_scene

SPLITS = ["peak", "posterior", "band"]


def scene_case(
    name,
    objects=(3, 2, 5),
    config=AssignConfig(),
    seed=0,
    representative=False,
    as_maps=False,
    empty_objects=(),
    size=96,
    strides=(8, 16, 32),
    **options,
):
    scene = make_scene(list(objects), size=size, strides=strides, seed=seed)
    logits, boxes = scene.logits, scene.boxes
    if as_maps:
        logits, boxes = channel_first_views(logits, scene.level_sizes), channel_first_views(boxes, scene.level_sizes)
    for row in empty_objects:
        scene.gt_boxes[row] = torch.tensor([900.0, 900.0, 950.0, 950.0])
    objects = scene.gt_boxes, scene.gt_labels, scene.gt_offsets
    args = logits, boxes, scene.anchors, scene.level_sizes, *objects, config
    return Case(name, *args, representative=representative, **options)


class PaaAssignCases:
    operator, reference = staticmethod(paa_assign), staticmethod(paa_assign_reference)

    @classmethod
    def cases(cls):
        anchors = len(make_scene([0]).anchors)
        valid = torch.rand(3, anchors, generator=torch.Generator().manual_seed(3)) < 0.6
        return [
            scene_case("default", representative=True),
            scene_case("maps", as_maps=True, representative=True),
            scene_case("mmdet", config=AssignConfig.mmdet()),
            *(scene_case(f"split_{s}", config=AssignConfig(split=s), seed=5) for s in SPLITS),
            *(scene_case(f"split_{s}_no_prefix", config=AssignConfig(split=s, prefix=False), seed=6) for s in SPLITS),
            scene_case("tied", config=AssignConfig(covariance="tied")),
            scene_case("topk_1", config=AssignConfig(topk=1)),
            scene_case("topk_40", config=AssignConfig(topk=40)),
            scene_case(
                "strict_threshold", config=AssignConfig(iou_threshold=0.6, low_quality="none", single_candidate="drop")
            ),
            scene_case("objects_that_overlap_nothing", empty_objects=(1, 4)),
            scene_case("they_claim_everything", empty_objects=(1, 4), config=AssignConfig.mmdet()),
            scene_case("valid", valid=valid, representative=True),
            scene_case("some_images_empty", objects=(0, 4, 0)),
            scene_case("objects_in_several_parts", objects=(1, 2100, 2), size=32, strides=(16,)),  # of the last block
            scene_case("no_objects", objects=(0, 0), representative=True),
            scene_case("no_images", objects=()),
        ]
