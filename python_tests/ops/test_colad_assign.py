import pytest
import torch

from colad_ops import AssignConfig, assign_cost, colad_assign, match_anchors, paa_assign
from colad_ops.ops.colad_assign import GRANULARITIES, colad_assign_reference
from python_tests.support.cases.colad_assign import ColadAssignCases, networks
from python_tests.support.op_contract import assert_same, tensors_of
from python_tests.support.scenes import make_scene


def assign(scene, predictions, function=colad_assign, **options):
    return function(
        *predictions, scene.anchors, scene.level_sizes, scene.gt_boxes, scene.gt_labels, scene.gt_offsets, **options
    )


def candidate_costs(scene, prediction):
    matched = match_anchors(scene.anchors, scene.gt_boxes, scene.gt_offsets).matched
    return matched, assign_cost(*prediction, scene.gt_boxes, scene.gt_labels, matched)


def ratios(scene, predictions):
    """(K, G) sigma / mu with torch.std and torch.mean."""
    rows = []
    for prediction in predictions:
        matched, cost = candidate_costs(scene, prediction)
        values = [cost[matched == g].double() for g in range(len(scene.gt_boxes))]
        rows.append(torch.stack([v.std() / v.mean() for v in values]))
    return torch.stack(rows)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_iteration_takes_the_network_of_highest_mean(seed, count):
    scene, predictions = networks(seed, count=count)
    result = assign(scene, [predictions])
    expected = ratios(scene, predictions).nanmean(dim=1)
    torch.testing.assert_close(result.indicators, expected, rtol=1e-6, atol=0)
    winner = int(expected.argmax())
    assert (result.teacher == winner).all()
    alone = assign(scene, predictions[winner], function=paa_assign)
    assert result.assignment.matched.equal(alone.matched) and result.assignment.cost.equal(alone.cost)
    assert result.matched.equal(alone.matched) and result.cost.equal(alone.cost) and result.num_pos.equal(alone.num_pos)
    assert result.labels(5).equal(alone.labels(5)) and result.boxes().equal(alone.boxes())
    boxes, valid = predictions[winner][1], torch.arange(result.matched.shape[1]) % 3 > 0
    assert result.iou(boxes, mode="giou").equal(alone.iou(boxes, mode="giou"))
    assert result.masked(valid).matched.equal(alone.matched.where(valid, -2))
    assert result.num_pos_total == alone.num_pos_total


def test_object_takes_each_objects_network():
    scene, predictions = networks(7)
    result = assign(scene, [predictions], granularity="object")
    assert result.teacher.equal(ratios(scene, predictions).argmax(0)) and len(result.teacher.unique()) == 2
    for k, prediction in enumerate(predictions):
        alone = assign(scene, prediction, function=paa_assign)
        for row in (result.teacher == k).nonzero()[:, 0].tolist():
            assert (result.assignment.matched == row).equal(alone.matched == row)


def test_image_takes_each_images_network():
    scene, predictions = networks(8)
    result = assign(scene, [predictions], granularity="image")
    assert len(result.teacher.unique()) == 2
    per_object = ratios(scene, predictions)
    for first, last in ((0, 3), (3, 7)):
        assert (result.teacher[first:last] == per_object[:, first:last].nanmean(1).argmax()).all()


def test_object_level_follows_the_official_rule():
    """On each level the teacher (the second network) wins if its sigma / mu is at least the student's. With a single
    sample the lower mean wins."""
    scene, predictions = networks(2)
    result = assign(scene, [predictions], granularity="object_level")
    level = torch.repeat_interleave(torch.arange(3), torch.tensor(scene.level_sizes))
    (matched, student), (_, teacher) = (candidate_costs(scene, p) for p in predictions)
    seen = set()
    for g in range(len(scene.gt_boxes)):
        for l in range(3):
            here = (matched == g) & (level == l)
            s, t = student[here].double(), teacher[here].double()
            if len(s) == 0:
                expected = -1
            elif len(s) == 1:
                expected = int(t.mean() < s.mean())
            else:
                expected = int(t.std() / t.mean() >= s.std() / s.mean())
            assert result.teacher[g, l] == expected
            seen.add(expected)
            chosen = teacher if expected == 1 else student
            assert result.assignment.cost[here].equal(chosen[here])
    assert seen >= {0, 1}


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_ties(granularity):
    scene, predictions = networks(1)
    result = assign(scene, [[predictions[0], predictions[0]]], granularity=granularity)
    if granularity == "object_level":
        matched, _ = candidate_costs(scene, predictions[0])
        level = torch.repeat_interleave(torch.arange(3), torch.tensor(scene.level_sizes))
        counts = torch.stack([torch.stack([((matched == g) & (level == l)).sum() for l in range(3)]) for g in range(7)])
        expected = torch.where(counts == 0, -1, (counts > 1).long())
        assert result.teacher.equal(expected)
    else:
        assert (result.teacher == 0).all()
    assert result.assignment.matched.equal(assign(scene, predictions[0], function=paa_assign).matched)


def test_fisher_is_that_of_the_fitted_mixture():
    scene, predictions = networks(5)
    result = assign(scene, [predictions], indicator="fisher")
    fishers = torch.stack([assign(scene, p, function=paa_assign).fisher.nanmean() for p in predictions])
    torch.testing.assert_close(result.indicators, fishers, rtol=1e-12, atol=0)
    assert (result.teacher == fishers.argmax()).all()


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("objects", [(0, 0), (), (1, 0)])
def test_few_or_no_objects(granularity, objects):
    scene = make_scene(list(objects))
    predictions = [(scene.logits, scene.boxes), (scene.logits * 2, scene.boxes)]
    result = assign(scene, [predictions], granularity=granularity, config=AssignConfig())
    assert result.assignment.matched.shape == (len(objects), len(scene.anchors))
    assert (
        len(result.teacher) == sum(objects) and (result.teacher >= (-1 if granularity == "object_level" else 0)).all()
    )


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_compiles_with_fullgraph(granularity):
    scene, predictions = networks(0)

    def run(predictions):
        return assign(scene, [predictions], granularity=granularity)

    torch._dynamo.reset()
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")(predictions)
    eager = run(predictions)
    assert compiled.assignment.matched.equal(eager.assignment.matched) and compiled.teacher.equal(eager.teacher)


def test_one_network_gives_probabilities():
    scene, predictions = networks(4)
    logits, boxes = predictions[1]
    result = assign(scene, [[predictions[0], (logits.sigmoid(), boxes)]], probs=[False, True], granularity="object")
    expected = assign(scene, [predictions], granularity="object")
    assert result.teacher.equal(expected.teacher)
    torch.testing.assert_close(result.assignment.cost, expected.assignment.cost, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", ColadAssignCases.cases(), ids=lambda case: case.name)
def test_equals_the_reference(case):
    found, expected = colad_assign(*case.args, **case.kwargs), colad_assign_reference(*case.args, **case.kwargs)
    for a, e in zip(tensors_of(found), tensors_of(expected), strict=True):
        tolerance = {torch.float64: 1e-5, torch.float32: 1e-4}.get(e.dtype, 0.0)
        assert_same(a, e, rtol=tolerance, atol=tolerance)
