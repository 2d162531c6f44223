"""PAA and LAD inside mmdetection's own heads, against these heads."""

from __future__ import annotations

import copy
import pickle
import time

import pytest
import torch
from torch import Tensor, nn

from python_tests.integrations import stock_table
from python_tests.integrations.mmcv_ext import STAND_IN

pytest.importorskip("mmdet", minversion="3.3")
pytest.importorskip("sklearn")  # the stock head needs it

from mmdet.models.dense_heads import LADHead, PAAHead
from mmdet.registry import MODELS as REGISTRY

from colad_ops import AssignConfig
from colad_ops.integrations import mmdet as integration
from colad_ops.integrations.mmdet import heads
from python_tests.integrations.mmdet_heads import HeadBatch, build_head, head_config, instances, make_batch
from python_tests.integrations.stock_table import largest_difference

CLASSES = 8
LOSSES, GRADIENTS = 3e-6, 2e-5  # relative; the stock head adds in another order
HEADS = pytest.mark.parametrize("name", ["PAAHead", "LADHead"])


def small_batch(seed: int = 0, images: int = 2, objects: int = 12) -> HeadBatch:
    return make_batch(images, 256, 320, CLASSES, objects, seed)


class Step:
    """The loss of a head on a batch, its gradients with respect to the maps, and the labels of the anchors."""

    def __init__(self, head: PAAHead, batch: HeadBatch) -> None:
        leaves = batch.as_leaves()
        seen: list[tuple] = []
        hook = head.loss_cls.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
        began = time.process_time()
        self.losses = _losses(head, batch, leaves)
        sum(self.losses.values()).backward()
        self.seconds = time.process_time() - began
        hook.remove()
        self.gradients = [x.grad for x in leaves.maps]
        self._last = seen[-1] if seen else None  # the stock head's last call is on all anchors

    def stock_labels(self) -> Tensor:
        _, labels, weights = self._last
        return torch.where(weights == 0, -2, labels)


def _losses(head: PAAHead, batch: HeadBatch, leaves: HeadBatch) -> dict[str, Tensor]:
    if not isinstance(head, LADHead):
        return head.loss_by_feat(*leaves.arguments())
    with torch.no_grad():
        labels = head.get_label_assignment(*batch.arguments())
    return head.loss_by_feat(*leaves.arguments(), label_assignment_results=labels)


@pytest.fixture
def assigned(monkeypatch) -> list[Tensor]:
    """The labels (B * A,) of every assignment of a patched head."""
    seen: list[Tensor] = []
    assign = heads.assign_labels

    def observe(predictions, targets, valid, config):
        assignment = assign(predictions, targets, valid, config)
        seen.append(assignment.labels(predictions.num_classes).where(valid, -2).flatten())
        return assignment

    monkeypatch.setattr(heads, "assign_labels", observe)
    return seen


def assert_equal_to_stock(head: PAAHead, batch: HeadBatch, assigned: list[Tensor]) -> tuple[Step, Step]:
    stock, adapted = Step(head, batch), Step(integration.patch(copy.deepcopy(head)), batch)
    assert list(adapted.losses) == list(stock.losses)
    assert torch.equal(assigned[-1], stock.stock_labels())
    assert largest_difference(list(stock.losses.values()), list(adapted.losses.values())) < LOSSES
    assert largest_difference(stock.gradients, adapted.gradients) < GRADIENTS
    return stock, adapted


@HEADS
def test_labels_losses_and_gradients_are_those_of_the_stock_head(name, assigned):
    head = build_head(name, CLASSES)
    adapted = integration.patch(copy.deepcopy(head))
    pairs, labels = [], 0
    for seed in range(6):
        batch = small_batch(seed, objects=(1, 6, 12, 30)[seed % 4])
        pairs.append((Step(head, batch), Step(adapted, batch)))
        labels += (assigned[-1] != pairs[-1][0].stock_labels()).sum().item()
        assert (assigned[-1] < CLASSES).sum() > 0
    losses = max(largest_difference([*a.losses.values()], [*b.losses.values()]) for a, b in pairs)
    gradients = max(largest_difference(a.gradients, b.gradients) for a, b in pairs)
    stock_table.add_row(f"mmdet {name}", losses, gradients, labels, _time_ratio(name))
    assert labels == 0 and losses < LOSSES and gradients < GRADIENTS


def _time_ratio(name: str) -> float:
    """Of loss and backward, for two images and 80 classes."""
    batch = make_batch(2, 480, 640, 80, 15)
    stock = build_head(name)
    adapted = integration.patch(copy.deepcopy(stock))
    return stock_table.time_ratio(lambda: Step(stock, batch), lambda: Step(adapted, batch))


def test_it_says_what_is_stubbed():
    if STAND_IN is None:
        pytest.skip("this mmcv has compiled operators")
    stock_table.ROWS.append(f"mmcv._ext is a stand-in: {len(STAND_IN.asked)} operators that raise when called")
    with pytest.raises(NotImplementedError, match=r"mmcv\._ext\.nms is a stand-in"):
        from mmcv.ops import nms

        nms(torch.zeros(1, 4), torch.zeros(1), 0.5)


@HEADS
def test_the_object_stays_and_its_class_is_a_registered_one(name):
    head = build_head(name, CLASSES)
    names = list(head.state_dict())
    assert integration.patch(head) is head
    assert type(head) is REGISTRY.get(f"Colad{name}")
    assert isinstance(head, REGISTRY.get(name)) and list(head.state_dict()) == names
    assert integration.patch(head, config=dict(topk=5)).colad.config.topk == 5
    batch = small_batch()
    again = pickle.loads(pickle.dumps(copy.deepcopy(head)))
    assert largest_difference(Step(head, batch).gradients, Step(again, batch).gradients) == 0


@HEADS
def test_the_registered_class_reads_its_settings_from_the_configuration(name):
    changes = {"topk": 4, "covariance_type": "full", "loss_cls.gamma": 1.5, "loss_bbox.loss_weight": 2.0}
    head = REGISTRY.build(head_config(f"Colad{name}", CLASSES, **changes, assign=dict(single_candidate="keep")))
    config = head.colad.config
    assert (config.topk, config.covariance, config.gamma, config.box_weight) == (4, "full", 1.5, 2.0)
    assert config.single_candidate == "keep" and config.box_cost == "giou"
    assert head.colad.losses.box_weighting == ("uniform" if name == "LADHead" else "iou")
    assert head.colad.losses.box_weight == 2.0


def test_a_head_that_only_predicts():
    head = REGISTRY.build(head_config("ColadPAAHead", CLASSES, train_cfg=None))
    with pytest.raises(ValueError, match="train_cfg"):
        head.loss_by_feat(*small_batch().arguments())


CHANGES = {
    "topk": {"topk": 3},
    "tied": {"covariance_type": "tied"},
    "focal": {"loss_cls.gamma": 1.5, "loss_cls.alpha": 0.4},
    "weights": {"loss_bbox.loss_weight": 2.0, "loss_centerness.loss_weight": 1.5},
    "threshold": {"train_cfg.assigner.pos_iou_thr": 0.3, "train_cfg.assigner.neg_iou_thr": 0.3},
    "no low quality": {"train_cfg.assigner.match_low_quality": False},
    "anchors inside the image": {"train_cfg.allowed_border": 0},
    "anchors near the image": {"train_cfg.allowed_border": 20},
    "deltas": {"bbox_coder.target_stds": [0.2, 0.1, 0.2, 0.3]},
}


@HEADS
@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_settings_of_the_head(name, changes, assigned):
    assert_equal_to_stock(build_head(name, CLASSES, **changes), small_batch(2), assigned)


@HEADS
def test_several_anchors_a_location(name, assigned):
    changes = {"anchor_generator.ratios": [0.5, 1.0, 2.0], "anchor_generator.scales_per_octave": 2}
    head, batch = build_head(name, CLASSES, **changes), small_batch()
    generator = torch.Generator().manual_seed(0)
    for maps in (batch.cls_scores, batch.bbox_preds, batch.iou_preds):
        maps[:] = [x.repeat(1, 6, 1, 1) + 0.3 * torch.randn(1, generator=generator) for x in maps]
        maps[:] = [x + 0.3 * torch.randn(x.shape, generator=generator) for x in maps]
    assert_equal_to_stock(head, batch, assigned)


@HEADS
def test_padding_takes_no_part(name, assigned):
    batch = small_batch(2)
    batch.metas = [
        dict(img_shape=(200, 300), pad_shape=(224, 320, 3)),
        dict(img_shape=(256, 150), pad_shape=(256, 160)),
    ]
    assert_equal_to_stock(build_head(name, CLASSES), batch, assigned)
    assert (assigned[-1] == -2).sum() > 100


@HEADS
@pytest.mark.parametrize("candidates", [True, False])
@pytest.mark.parametrize("threshold", [-1, 0.2, 0.5])
def test_ignored_regions_as_the_assigner_says(name, candidates, threshold, assigned):
    """Also in an image without objects, where the stock head makes ignored anchors background."""
    batch = small_batch(3, images=3)
    batch.objects[1] = instances([], [])
    batch.ignored = [instances([[0, 0, 120, 90], [200, 100, 320, 256]]), instances([[0, 0, 200, 200]]), instances([])]
    changes = {
        "train_cfg.assigner.ignore_iof_thr": threshold,
        "train_cfg.assigner.ignore_wrt_candidates": candidates,
    }
    assert_equal_to_stock(build_head(name, CLASSES, **changes), batch, assigned)
    assert ((assigned[-1] == -2).sum() > 100) == (threshold > 0)


def test_a_configuration_of_ones_own_has_its_own_ignored_regions(assigned):
    batch = small_batch(3)
    batch.ignored = [instances([[0, 0, 120, 90]]), instances([])]
    head = integration.patch(build_head("PAAHead", CLASSES), config=AssignConfig())
    assert head.colad.config == AssignConfig()
    Step(head, batch)
    assert (assigned[-1] == -2).any()
    integration.patch(head)
    Step(head, batch)
    assert not (assigned[-1] == -2).any()


@HEADS
def test_images_without_objects(name, assigned):
    head = build_head(name, CLASSES)
    for without in ((0,), (1,), (0, 1)):
        batch = small_batch(4)
        for image in without:
            batch.objects[image] = instances([], [])
        assert_equal_to_stock(head, batch, assigned)


@HEADS
def test_images_without_anchors_train(name):
    """The stock head raises where no anchor of an image is inside it."""
    batch = small_batch()
    batch.metas[1] = dict(img_shape=(10, 10), pad_shape=(32, 32))
    head = build_head(name, CLASSES, **{"train_cfg.allowed_border": 0})
    with pytest.raises(ValueError, match="no valid anchor inside"):
        Step(head, batch)
    step = Step(integration.patch(head), batch)
    assert all(x.isfinite().all() for x in (*step.losses.values(), *step.gradients))
    assert all(gradient[1].eq(0).all() for gradient in step.gradients)


@HEADS
def test_costs_that_scikit_learn_refuses_train(name, monkeypatch):
    """Where the fit of the stock head raises, as it may by cancellation in float32."""
    from sklearn.mixture import GaussianMixture

    def refuse(self, values):
        raise ValueError("Fitting the mixture model failed because some components have ill-defined covariance")

    monkeypatch.setattr(GaussianMixture, "fit", refuse)
    head, batch = build_head(name, CLASSES), small_batch()
    with pytest.raises(ValueError, match="ill-defined"):
        Step(head, batch)
    step = Step(integration.patch(head), batch)
    assert all(x.isfinite().all() for x in (*step.losses.values(), *step.gradients))


@HEADS
def test_autocast_trains(name):
    """bfloat16 maps: losses are float32, gradients bfloat16, except for the deltas, which the head makes float32."""
    torch.manual_seed(0)
    head = integration.patch(build_head(name, CLASSES)).train()
    batch = small_batch()
    pyramid = [torch.randn(2, 8, *x.shape[2:]) for x in batch.cls_scores]
    optimizer = torch.optim.SGD(head.parameters(), lr=0.01)
    totals = []
    for _ in range(8):
        with torch.autocast("cpu", torch.bfloat16):
            maps = head(pyramid)
            assert [x[0].dtype for x in maps] == [torch.bfloat16, torch.float32, torch.bfloat16]
            batch.cls_scores, batch.bbox_preds, batch.iou_preds = maps
            losses = _losses(head, batch, batch)
        assert {x.dtype for x in losses.values()} == {torch.float32}
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        totals.append(sum(losses.values()).item())
    assert totals[-1] < totals[0]


REFUSED = {
    "loss_cls.loss_weight": {"loss_cls.loss_weight": 2.0},
    "loss_bbox": {"loss_bbox": dict(type="CIoULoss", loss_weight=1.3)},
    "loss_centerness.use_sigmoid": {"loss_centerness.use_sigmoid": False},
    "bbox_coder.target_means": {"bbox_coder.target_means": [0.1, 0.0, 0.0, 0.0]},
    "bbox_coder.add_ctr_clamp": {"bbox_coder.add_ctr_clamp": True},
    "reg_decoded_bbox": {"reg_decoded_bbox": False},
    "train_cfg.pos_weight": {"train_cfg.pos_weight": 2.0},
    "assigner": {"train_cfg.assigner": dict(type="ATSSAssigner", topk=9)},
    "assigner.neg_iou_thr": {"train_cfg.assigner.neg_iou_thr": 0.05},
    "assigner.min_pos_iou": {"train_cfg.assigner.min_pos_iou": 0.2},
    "assigner.gt_max_assign_all": {"train_cfg.assigner.gt_max_assign_all": False},
    "sampler": {"train_cfg.sampler": dict(type="RandomSampler", num=256, pos_fraction=0.5)},
    "covariance should be": {"covariance_type": "spherical full"},
}


@pytest.mark.parametrize(("message", "changes"), REFUSED.items(), ids=REFUSED)
def test_settings_that_cannot_be_reproduced_are_named(message, changes):
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        integration.patch(build_head("PAAHead", CLASSES, **changes))


def test_a_configuration_of_ones_own_needs_no_setting_of_the_assignment():
    head = build_head("PAAHead", CLASSES, **{"train_cfg.assigner.min_pos_iou": 0.2, "loss_cls.loss_weight": 2.0})
    step = Step(integration.patch(head, config=AssignConfig()), small_batch())
    half = Step(integration.patch(build_head("PAAHead", CLASSES), config=AssignConfig()), small_batch())
    torch.testing.assert_close(step.losses["loss_cls"], 2 * half.losses["loss_cls"])


def test_a_subclass_keeps_what_it_adds():
    class Named(PAAHead):
        def loss_by_feat(self, *args, **kwargs):
            raise AssertionError

    class Added(PAAHead):
        def answer(self):
            return 42

    head = build_head("PAAHead", CLASSES)
    head.__class__ = Added
    assert integration.patch(head).answer() == 42
    assert isinstance(head, Added) and Step(head, small_batch()).losses["loss_cls"] > 0
    head.__class__ = Named
    with pytest.raises(ValueError, match="loss_by_feat should be that of PAAHead, got .*Named.loss_by_feat"):
        integration.patch(head)


def test_another_model_is_refused():
    with pytest.raises(TypeError, match="model should be a PAAHead"):
        integration.patch(nn.Linear(2, 2))


@HEADS
def test_the_loss_compiles_into_one_graph(name):
    """Another number of objects compiles nothing after the second batch."""
    torch._dynamo.reset()
    graphs = torch._dynamo.utils.counters["stats"]
    graphs.clear()
    head = integration.patch(build_head(name, CLASSES))
    compiled = copy.copy(head)
    compiled.loss_by_feat = torch.compile(head.loss_by_feat, fullgraph=True, backend="aot_eager")
    numbers = []
    for seed, objects in enumerate((5, 9, 14, 20, 7)):
        batch = make_batch(2, 128, 160, CLASSES, objects, seed)
        expected, found = Step(head, batch), Step(compiled, batch)
        assert largest_difference(expected.gradients, found.gradients) < 1e-5
        numbers.append(graphs["unique_graphs"])
    assert 1 <= numbers[1] == numbers[-1], f"graphs after each batch: {numbers}"
