"""Cases of ``colad_assign``."""

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
        logits.view(-1)[k :: 97] = float("nan")
        odd.append((logits, boxes))
    return odd


class ColadAssignCases:
    """Cases for the emulator, which runs the operators that ``colad_assign`` calls. The function has no contract."""

    operator = staticmethod(colad_assign)

    @classmethod
    def cases(cls) -> list[Case]:
        cases = []
        for count, indicator, granularity in (
            (2, "std_mean", "iteration"),
            (2, "fisher", "iteration"),
            (3, "std_mean", "image"),
            (2, "fisher", "object"),
            (3, "std_mean", "object_level"),
        ):
            scene, predictions = networks(objects=(3, 0, 4), count=count)
            rest = scene.anchors, scene.level_sizes, scene.gt_boxes, scene.gt_labels, scene.gt_offsets
            options = {"indicator": indicator, "granularity": granularity}
            cases.append(Case(f"{indicator}_{granularity}_{count}", predictions, *rest, **options))
            if count == 3:
                cases.append(Case(f"odd_costs_{granularity}", with_odd_costs(predictions), *rest, **options))
        logits, boxes = predictions[1]
        mixed = [predictions[0], (logits.sigmoid(), boxes), (logits.bfloat16(), boxes)]
        probs = {"probs": [False, True, False]}
        cases.append(Case("probabilities_and_dtypes", mixed, *rest, granularity="object", **probs))
        few = AssignConfig(topk=80, iou_threshold=0.0)
        cases.append(Case("many_samples", predictions[:2], *rest, few, indicator="fisher", granularity="image"))
        return cases
