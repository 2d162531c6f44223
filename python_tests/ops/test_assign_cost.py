import pytest
import torch

from colad_ops import assign_cost
from colad_ops.ops.assign_cost import assign_cost_reference
from python_tests.support.cases.assign_cost import AssignCostCases, scene_case
from python_tests.support.op_contract import NoSyncContract


class TestAssignCost(AssignCostCases, NoSyncContract):
    pass


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
    # Runs of 0, 1 ... 40 candidates. The last run ends at the end of the memory. All runs together are more than one
    # block of candidates.
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
