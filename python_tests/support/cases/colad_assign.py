"""Cases of ``colad_assign``."""

from colad_ops import colad_assign
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


class ColadAssignCases:
    """Cases for the emulator, which runs the operators that ``colad_assign`` calls. The function has no contract."""

    operator = staticmethod(colad_assign)

    @classmethod
    def cases(cls) -> list[Case]:
        scene, predictions = networks(objects=(3, 0, 4), count=3)
        ground_truth = scene.gt_boxes, scene.gt_labels, scene.gt_offsets
        args = predictions, scene.anchors, scene.level_sizes, *ground_truth
        return [Case(g, *args, granularity=g) for g in ("image", "object_level")]
