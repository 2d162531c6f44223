import pytest
import torch
from op_contract import Case, NoSyncContract
from scenes import make_scene

from colad_ops import assign_cost, match_anchors
from colad_ops.ops.assign_cost import assign_cost_reference


def scene_case(name, objects=(3, 0, 5), dtype=torch.float32, representative=False, as_maps=False, **options):
    scene = make_scene(list(objects))
    matched = match_anchors(scene.anchors, scene.gt_boxes, scene.gt_offsets).matched
    logits, boxes = scene.logits.to(dtype), scene.boxes.to(dtype)
    if options.get("probs"):
        logits = logits.sigmoid()
    if as_maps:
        logits, boxes = channel_first_views(logits, scene.level_sizes), channel_first_views(boxes, scene.level_sizes)
    # Half types are inputs here, never results: the cost is computed in float32.
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


def channel_first_views(rows, level_sizes):
    """What a convolution gives: per-level maps (B, C, A_l), seen as (B, A_l, C)."""
    return [level.transpose(1, 2).contiguous().transpose(1, 2) for level in rows.split(level_sizes, dim=1)]


class TestAssignCost(NoSyncContract):
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


def test_maps_cost_what_rows_cost():
    rows, maps = scene_case("rows"), scene_case("maps", as_maps=True)
    assert rows.call(assign_cost).equal(maps.call(assign_cost))


def test_extreme_logits_are_finite():
    case = scene_case("extreme")
    logits = torch.where(case.args[0] > -2, 1e4, -1e4)
    cost = assign_cost(logits, *case.args[1:])
    assert (cost.isfinite() == (case.args[4] >= 0)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_runs_of_every_length_in_maps(dtype):
    # 0, 1 ... 40 candidates side by side, the last of them at the end of the memory; more in all than are taken at once.
    runs = [torch.tensor([-1] + [row % 3] * row) for row in range(41)]
    matched = torch.cat(runs).expand(2, -1).contiguous()
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 5, matched.shape[1], generator=generator).to(dtype)
    boxes = (torch.rand(2, matched.shape[1], 4, generator=generator) * 64).to(dtype)
    boxes[..., 2:] += boxes[..., :2]
    gt_boxes = torch.tensor([[0.0, 0.0, 50.0, 40.0], [10.0, 20.0, 90.0, 99.0], [5.0, 5.0, 9.0, 9.0]])
    objects = (gt_boxes, torch.tensor([4, 0, 2]), matched)
    cost = assign_cost(maps.transpose(1, 2), boxes, *objects)
    torch.testing.assert_close(cost, assign_cost_reference(maps.transpose(1, 2), boxes, *objects), rtol=2e-5, atol=2e-5)
    assert cost.equal(assign_cost(maps.transpose(1, 2).contiguous(), boxes, *objects))


def test_levels_of_logits_and_boxes_may_differ():
    rows, maps = scene_case("rows"), scene_case("maps", as_maps=True)
    (logits, boxes), rest = maps.args[:2], rows.args[2:]
    halves = list(rows.args[1].split([boxes[0].shape[1] + 1, rows.args[1].shape[1] - boxes[0].shape[1] - 1], dim=1))
    for levels in (rows.args[1], halves):
        assert assign_cost(logits, levels, *rest).equal(rows.call(assign_cost))
        assert assign_cost(rows.args[0], boxes, *rest).equal(rows.call(assign_cost))
