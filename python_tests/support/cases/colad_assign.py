"""Cases of ``colad_assign``."""

import torch

from colad_ops import AssignConfig, colad_assign
from python_tests.support.op_contract import Case
from python_tests.support.scenes import make_scene


def networks(seed=0, objects=(3, 0, 4), count=2):
    """A scene, and the predictions of several networks of different quality."""
    scene = make_scene(list(objects), seed=seed)
    predictions = []
    for k in range(count):
        other = make_scene(list(objects), seed=100 * seed + k)
        predictions.append((other.logits, other.boxes))
    return scene, predictions


def with_odd_costs(predictions):
    """The predictions of networks some of whose costs are NaN or infinite, each in other places."""
    odd = []
    for k, (logits, boxes) in enumerate(predictions):
        logits = logits.clone()
        logits.view(-1)[k::97] = float("nan")
        odd.append((logits, boxes))
    return odd


def case_of(count, indicator, granularity, odd_costs=False, empty_objects=()):
    scene, predictions = networks(objects=(3, 0, 4), count=count)
    if odd_costs:
        predictions = with_odd_costs(predictions)
    for row in empty_objects:
        scene.gt_boxes[row] = torch.tensor([900.0, 900.0, 950.0, 950.0])
    rest = scene.anchors, scene.level_sizes, scene.gt_boxes, scene.gt_labels, scene.gt_offsets
    name = f"{count}_{indicator}_{granularity}{'_odd_costs' * odd_costs}{'_empty_objects' * bool(empty_objects)}"
    return Case(name, predictions, *rest, indicator=indicator, granularity=granularity)


class ColadAssignCases:
    """Cases for the emulator, which runs the operators that ``colad_assign`` calls. The function has no contract."""

    operator = staticmethod(colad_assign)

    @classmethod
    def cases(cls) -> list[Case]:
        scene, predictions = networks(objects=(3, 0, 4))
        rest = scene.anchors, scene.level_sizes, scene.gt_boxes, scene.gt_labels, scene.gt_offsets
        logits, boxes = predictions[1]
        mixed = [predictions[0], (logits.sigmoid(), boxes), (logits.bfloat16(), boxes)]
        many_samples = AssignConfig(topk=80, iou_threshold=0.0)
        return [
            case_of(2, "std_mean", "iteration"),
            case_of(2, "fisher", "iteration"),
            case_of(3, "std_mean", "image"),
            case_of(3, "std_mean", "image", odd_costs=True),
            case_of(2, "fisher", "object"),
            case_of(2, "std_mean", "object", empty_objects=(1, 4)),
            case_of(3, "std_mean", "image", empty_objects=(0, 1, 2)),
            case_of(3, "std_mean", "object_level"),
            case_of(3, "std_mean", "object_level", odd_costs=True),
            Case("probabilities_and_dtypes", mixed, *rest, granularity="object", probs=[False, True, False]),
            Case("many_samples", predictions, *rest, many_samples, indicator="fisher", granularity="image"),
        ]
