import pytest
import torch

from colad_ops import batched_nms, box_iou
from python_tests.support.cases.nms import BatchedNmsCases, SortedNmsCases
from python_tests.support.op_contract import OpContract
from python_tests.support.scenes import detections


class TestBatchedNms(BatchedNmsCases, OpContract):
    pass


class TestSortedNms(SortedNmsCases, OpContract):
    pass


def test_kept_boxes_do_not_overlap_and_dropped_ones_do():
    boxes, scores, labels = detections(80, seed=1)
    keep = batched_nms(boxes, scores, labels, 0.4)
    assert scores[keep].equal(scores[keep].sort(descending=True).values)
    overlap = (box_iou(boxes, boxes) > 0.4) & (labels[:, None] == labels)
    kept = torch.zeros(80, dtype=torch.bool)
    kept[keep] = True
    assert not (overlap & kept[:, None] & kept & ~torch.eye(80, dtype=torch.bool)).any()
    better = (scores[:, None] > scores) | ((scores[:, None] == scores) & (torch.arange(80)[:, None] < torch.arange(80)))
    assert (overlap & better & kept[:, None]).any(dim=0)[~kept].all()


@pytest.mark.parametrize("threshold", [0.05, 0.1, 0.2, 0.3, 0.6])
def test_an_iou_that_rounds_above_the_threshold_suppresses(threshold):
    """The float32 IoU is compared with the threshold in double, as torchvision does on the CPU."""
    boxes = torch.tensor([[0.0, 0, 100, 10], [0, 0, 100 * threshold, 10]])
    iou = torch.tensor(threshold, dtype=torch.float32).item()
    kept = batched_nms(boxes, torch.tensor([2.0, 1.0]), torch.zeros(2, dtype=torch.int64), threshold)
    assert kept.tolist() == ([0] if iou > threshold else [0, 1])


def crowd(kind: str, count: int) -> torch.Tensor:
    """Boxes around a few objects, or degenerate ones: as many as one class of a large group has."""
    g = torch.Generator().manual_seed(count)
    if kind == "equal ious":
        corner = torch.randint(0, 40, (count, 2), generator=g).float()
        return torch.cat([corner, corner + torch.randint(0, 12, (count, 2), generator=g)], dim=1)
    objects = 300 * torch.rand(12, 4, generator=g)
    of = torch.randint(12, (count,), generator=g)
    centre = objects[of, :2] + 6 * torch.randn(count, 2, generator=g)
    size = (objects[of, 2:] / 6 + 10) * torch.exp(0.2 * torch.randn(count, 2, generator=g))
    boxes = torch.cat([centre - size / 2, centre + size / 2], dim=1)
    if kind == "not finite":
        odd = torch.tensor([torch.nan, torch.inf, -torch.inf])[torch.randint(3, (count, 4), generator=g)]
        return torch.where(torch.rand(count, 4, generator=g) < 0.02, odd, boxes)
    return boxes * {"ordinary": 1.0, "subnormal areas": 1e-21, "infinite areas": 2e17}[kind]


@pytest.mark.parametrize("kind", ["ordinary", "equal ious", "not finite", "subnormal areas", "infinite areas"])
@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_large_groups_are_exact(kind, threshold, dtype):
    """Large groups are compared in blocks. Each decision is that of the whole matrix of IoUs."""
    boxes = crowd(kind, 700).to(dtype)
    scores = (40 * torch.rand(700, generator=torch.Generator().manual_seed(1))).floor()  # with ties
    order = torch.argsort(scores, descending=True, stable=True)
    above = (box_iou(boxes[order], boxes[order]).double() > threshold).tolist()
    kept: list[int] = []
    for i in range(700):
        if not any(above[k][i] for k in kept):
            kept.append(i)
    found = batched_nms(boxes, scores, torch.zeros(700, dtype=torch.int64), threshold)
    assert found.equal(order[kept])


@pytest.mark.parametrize("threads", [1, 2])
def test_groups_of_all_sizes_are_independent(threads):
    """Some are compared pair by pair, some in blocks, and several threads share them."""
    boxes = crowd("ordinary", 4000)
    scores = torch.rand(4000, generator=torch.Generator().manual_seed(2))
    labels = (torch.arange(4000).float().sqrt() / 6).long() * 10**12  # 36 to some hundred boxes each
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        together = batched_nms(boxes, scores, labels)
    finally:
        torch.set_num_threads(before)
    rows = [(labels == label).nonzero()[:, 0] for label in labels.unique()]
    alone = torch.cat([r[batched_nms(boxes[r], scores[r], torch.zeros_like(r))] for r in rows])
    assert together.equal(alone[scores[alone].argsort(descending=True)])


@pytest.mark.parametrize(
    "dtype",
    [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8,
     torch.bool],
)  # fmt: skip
def test_scores_of_any_dtype_sort_as_torch_sorts_them(dtype):
    g = torch.Generator().manual_seed(3)
    scores = 40 * torch.randn(300, generator=g)
    scores[::7], scores[1::7] = 0.0, -0.0
    if dtype.is_floating_point:
        scores[2::9], scores[3::9], scores[4::9] = torch.nan, torch.inf, -torch.inf
    scores = scores.to(dtype)
    apart = torch.arange(300.0)[:, None] * 10 + torch.tensor([0.0, 0, 5, 5])
    kept = batched_nms(apart, scores, torch.zeros(300, dtype=torch.int64))
    assert kept.equal(torch.argsort(scores, descending=True, stable=True))
