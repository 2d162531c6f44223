import pytest
import torch

from colad_ops import AssignConfig, aligned_box_iou, cost_statistics, match_anchors, split_candidates
from colad_ops.ops.split_candidates import split_candidates_reference
from python_tests.support.cases.paa_assign import SPLITS
from python_tests.support.cases.split_candidates import CostStatisticsCases, SplitCandidatesCases
from python_tests.support.op_contract import NoSyncContract
from python_tests.support.scenes import make_scene


class TestSplitCandidates(SplitCandidatesCases, NoSyncContract):
    pass


class TestCostStatistics(CostStatisticsCases, NoSyncContract):
    pass


def costs_case(seed=0, objects=(4, 0, 6)):
    scene = make_scene(list(objects), seed=seed)
    matched = match_anchors(scene.anchors, scene.gt_boxes, scene.gt_offsets).matched
    cost = torch.rand(matched.shape, generator=torch.Generator().manual_seed(seed)) * 3
    return scene, matched, torch.where(matched >= 0, cost, torch.inf)


def split(scene, matched, cost, config=AssignConfig(), function=split_candidates):
    return function(cost, matched, scene.level_sizes, scene.gt_boxes, scene.gt_labels, scene.gt_offsets, config)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("split_name", SPLITS)
def test_an_object_with_a_candidate_has_a_positive_and_its_cheapest_is_one(seed, split_name):
    scene, matched, cost = costs_case(seed)
    result = split(scene, matched, cost, AssignConfig(split=split_name))
    for row in range(len(scene.gt_boxes)):
        mine = matched == row
        assert result.num_pos[row] == (result.matched == row).sum()
        if mine.any():
            cheapest = torch.where(mine, cost, torch.inf).flatten().argmin()
            assert result.matched.flatten()[cheapest] == row


def test_equal_costs_go_to_the_lower_anchor():
    scene, matched, cost = costs_case()
    cost = torch.where(matched >= 0, 1.0, torch.inf)
    config = AssignConfig(topk=2)
    result = split(scene, matched, cost, config)
    assert result.matched.equal(split(scene, matched, cost, config, split_candidates_reference).matched)
    for row in range(len(scene.gt_boxes)):
        positives = (result.matched == row).nonzero()[:, 1]
        assert positives.numel() == 0 or positives[0] == (matched == row).nonzero()[0, 1]


def test_negative_costs_sort_too():
    scene, matched, cost = costs_case(3)
    lower = split(scene, matched, cost - 2)
    torch.testing.assert_close(
        lower.matched, split(scene, matched, cost - 2, function=split_candidates_reference).matched
    )


def test_nan_and_infinite_costs_are_no_candidates():
    scene, matched, cost = costs_case(1)
    spoilt = (matched == 0) & (torch.rand(cost.shape, generator=torch.Generator().manual_seed(9)) < 0.5)
    for value in (torch.nan, torch.inf):
        damaged = split(scene, matched, torch.where(spoilt, value, cost))
        without = split(scene, torch.where(spoilt, -1, matched), cost)
        assert damaged.matched.equal(without.matched)
        assert damaged.mean.equal(without.mean) and damaged.std.nan_to_num().equal(without.std.nan_to_num())


def test_ignored_anchors_stay_ignored():
    scene, matched, cost = costs_case(1)
    ignored = matched.clone()
    ignored[:, ::7] = torch.where(matched[:, ::7] == -1, -2, matched[:, ::7])
    result = split(scene, ignored, cost)
    assert ((result.matched == -2) == (ignored == -2)).all()
    labels = result.labels(5)
    assert (labels[ignored == -2] == -2).all() and (labels[result.matched == -1] == 5).all()


def test_labels_boxes_and_overlaps_are_those_of_the_object():
    scene, matched, cost = costs_case(2)
    result = split(scene, matched, cost)
    positive = result.matched >= 0
    assert result.labels(5)[positive].equal(scene.gt_labels[result.matched[positive]])
    assert result.boxes()[positive].equal(scene.gt_boxes[result.matched[positive]])
    assert (result.boxes()[~positive] == 0).all()
    for mode in ("iou", "giou"):
        overlap = aligned_box_iou(scene.boxes, result.boxes(), mode)
        assert result.iou(scene.boxes, mode=mode).equal(overlap.where(positive, 0))
    assert result.iou(scene.boxes.half()).dtype == torch.float16  # the objects take the dtype of the boxes
    assert result.num_pos_total == positive.sum()


def test_a_nan_object_spoils_no_other_anchors_target():
    scene, matched, cost = costs_case(2)
    scene.gt_boxes[0] = torch.nan
    result = split(scene, torch.where(matched == 0, -1, matched), cost)
    assert result.boxes().isfinite().all()


@pytest.mark.parametrize("seed", range(3))
def test_cost_statistics_equal_numpy(seed):
    scene, matched, cost = costs_case(seed)
    statistics = cost_statistics(cost, matched, scene.gt_offsets, len(scene.gt_boxes), scene.level_sizes)
    level = torch.repeat_interleave(torch.arange(3), torch.tensor(scene.level_sizes))
    for row in range(len(scene.gt_boxes)):
        for l in range(3):
            values = cost[(matched == row) & (level == l)].double().numpy()
            assert statistics.num_candidates[row, l] == len(values)
            mean, std = statistics.mean[row, l].item(), statistics.std[row, l].item()
            assert mean == pytest.approx(values.mean(), rel=1e-12) if len(values) else mean != mean
            assert std == pytest.approx(values.std(ddof=1), rel=1e-9) if len(values) > 1 else std != std


def test_costs_of_zero_without_regularisation_have_no_density_but_a_positive():
    scene, matched, cost = costs_case(2)
    zeros = torch.where(matched >= 0, 0.0, torch.inf)
    config = AssignConfig(reg_covar=0.0)
    found = split(scene, matched, zeros, config)
    expected = split(scene, matched, zeros, config, split_candidates_reference)
    assert found.means.isnan().any() and found.matched.equal(expected.matched)
    assert found.num_pos.equal((matched.flatten()[:, None] == torch.arange(len(scene.gt_boxes))).any(0).long())
