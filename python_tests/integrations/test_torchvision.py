"""PAA and LAD inside torchvision's own RetinaNet and FCOS."""

from __future__ import annotations

import copy
import io

import pytest
import torch

pytest.importorskip("torchvision", minversion="0.29")

from torchvision.models.detection import RetinaNet

from colad_ops import AssignConfig, paa_assign, ragged
from colad_ops.detection.head_assigner import HeadTargets, scaled
from colad_ops.integrations import torchvision as integration
from python_tests.integrations.stock_table import add_row, largest_difference, time_ratio
from python_tests.integrations.torchvision_models import CLASSES, TinyPyramid, batch, tiny_fcos, tiny_retinanet

MODELS = pytest.mark.parametrize("make", [tiny_retinanet, tiny_fcos])


def taught_by(model) -> list[HeadTargets]:
    """Collects what ``model`` learns in each step."""
    seen = []
    losses = model.compute_loss.losses

    def observe(head, outputs, boxes, anchors, taught):
        seen.append(taught)
        return losses(head, outputs, boxes, anchors, taught)

    model.compute_loss.losses = observe
    return seen


class Step:
    """One forward pass, with what torchvision gives to ``compute_loss`` and the labels of ``paa_assign`` on it."""

    def __init__(self, model, pictures, targets, config=AssignConfig()) -> None:
        given = []
        compute_loss = model.compute_loss
        model.compute_loss = lambda *args: given.append(args) or {}
        model(pictures, targets)
        model.compute_loss = compute_loss
        self.targets, outputs, self.anchors = given[0][:3]
        self.outputs = {name: output.detach().requires_grad_() for name, output in outputs.items()}
        logits, boxes = self.outputs["cls_logits"], self.stock_boxes(model)
        scale = 1 if isinstance(model, RetinaNet) else 8
        per_location = model.anchor_generator.num_anchors_per_location()[0]
        level_sizes = [16 * 20 * per_location, 8 * 10 * per_location]  # of 128 x 160 pixels
        objects, offsets = ragged([target["boxes"] for target in self.targets])
        labels = torch.cat([target["labels"] for target in self.targets])
        anchors = scaled(self.anchors[0], scale)
        with torch.no_grad():
            self.assignment = paa_assign(logits, boxes, anchors, level_sizes, objects, labels, offsets, config)
        first = offsets[:-1, None]
        self.matched = self.assignment.matched.where(self.assignment.matched < 0, self.assignment.matched - first)

    def stock_boxes(self, model):
        """Decoded by torchvision."""
        deltas = self.outputs["bbox_regression"].detach()
        if isinstance(model, RetinaNet):
            return torch.stack([model.box_coder.decode_single(d, a) for d, a in zip(deltas, self.anchors)])
        return model.box_coder.decode(deltas, self.anchors[0])

    def losses(self, compute_loss, *labels) -> tuple[dict[str, float], list[torch.Tensor]]:
        """The losses, and their gradients by the outputs of the head."""
        losses = compute_loss(self.targets, self.outputs, self.anchors, *labels)
        gradients = torch.autograd.grad(sum(losses.values()), list(self.outputs.values()))
        return {name: loss.item() for name, loss in losses.items()}, list(gradients)


@MODELS
def test_labels_of_paa_assign_and_losses_of_torchvision(make):
    model = make()
    # Stock FCOS has no centerness for a centre outside its object, so its positives are near the centre here.
    config = AssignConfig(iou_threshold=0.4, low_quality="none") if make is tiny_fcos else AssignConfig()
    stock_head = copy.deepcopy(model.head)
    integration.patch(model, config=config)
    seen = taught_by(model)
    step = Step(model, *batch(counts=(9, 0, 12)), config)
    adapted, gradients = step.losses(model.compute_loss)
    different = (seen[-1].assignment.matched != step.assignment.matched).sum().item()
    assert different == 0
    assert step.assignment.num_pos_total > 5
    stock, stock_gradients = step.losses(stock_head.compute_loss, list(step.matched))
    loss_difference = largest_difference(list(stock.values()), list(adapted.values()))
    gradient_difference = largest_difference(stock_gradients, gradients)
    name = f"torchvision {type(model).__name__}"
    add_row(name, loss_difference, gradient_difference, different, loss_time_ratio(make))
    assert list(adapted) == list(stock)
    assert loss_difference < 2e-6 and gradient_difference < 2e-5


def loss_time_ratio(make) -> float:
    """Of ``compute_loss`` with the matching, and its backward, for two pictures of 480 x 640 pixels and 91 classes."""
    models = [make(num_classes=91, min_size=480, max_size=640) for _ in range(2)]
    integration.patch(models[1])
    pictures, targets = batch(counts=(20, 20), size=(480, 640))
    given = []
    for model in models:  # the patched one notes the sizes of the levels
        compute_loss = model.compute_loss
        model.compute_loss = lambda *args: given.append(args) or {}
        model(pictures, targets)
        model.compute_loss = compute_loss
    objects, outputs, *anchors = given[0]
    leaves = {name: output.detach().requires_grad_() for name, output in outputs.items()}

    def step(model) -> None:
        losses = model.compute_loss(objects, leaves, *anchors)
        torch.autograd.grad(sum(losses.values()), list(leaves.values()))

    return time_ratio(lambda: step(models[0]), lambda: step(models[1]))


@pytest.mark.parametrize("loss_type", ["smooth_l1", "giou", "diou", "ciou"])
def test_every_box_loss_of_retinanet(loss_type):
    model = integration.patch(tiny_retinanet())
    model.head.regression_head._loss_type = loss_type
    step = Step(model, *batch())
    adapted, gradients = step.losses(model.compute_loss)
    stock, stock_gradients = step.losses(model.head.compute_loss, list(step.matched))
    assert largest_difference(list(stock.values()), list(adapted.values())) < 2e-6
    assert largest_difference(stock_gradients, gradients) < 2e-5


@MODELS
def test_only_the_losses_of_the_one_model_change(make):
    model, other = make(), make()
    pictures, targets = batch()
    before, names = other(pictures, targets), list(model.state_dict())
    assert integration.patch(model) is model
    assert list(model.state_dict()) == names
    model.load_state_dict(other.state_dict())
    changed, after = model(pictures, targets), other(pictures, targets)
    assert list(changed) == list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert any(not torch.equal(before[name], changed[name]) for name in before)
    with torch.no_grad():
        found, stock = model.eval()(pictures), other.eval()(pictures)
    for ours, theirs in zip(found, stock):
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@MODELS
def test_a_copy_and_a_saved_model_are_patched(make):
    model = integration.patch(make(), teacher=make(1))
    pictures, targets = batch()
    file = io.BytesIO()
    torch.save(model, file)
    loaded = torch.load(io.BytesIO(file.getvalue()), weights_only=False)
    for other in (copy.deepcopy(model), loaded):
        assert other.compute_loss.model is other
        assert _values(other(pictures, targets)) == _values(model(pictures, targets))


def test_the_last_patch_counts():
    model = integration.patch(integration.patch(tiny_fcos(), teacher=tiny_fcos(1)))
    assert _values(model(*batch())) == _values(integration.patch(tiny_fcos())(*batch()))
    assert len(model.anchor_generator._forward_pre_hooks) == 1


@MODELS
@pytest.mark.parametrize("counts", [(3, 0, 5), (0, 0)], ids=["objects", "no_object"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training(make, counts, precision):
    model = integration.patch(make())
    pictures, targets = batch(counts=counts)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    found = []
    for _ in range(6):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            losses = model(pictures, targets)
        assert all(loss.dtype == torch.float32 for loss in losses.values())
        total = sum(losses.values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        found.append(total.item())
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert found[-1] < found[0]


@MODELS
def test_anchors_are_float32_under_autocast(make):
    model, stock = integration.patch(make()), make()
    given = []
    seen = taught_by(model)
    inner = model.compute_loss.losses
    model.compute_loss.losses = lambda *args: given.append(args[3]) or inner(*args)
    pictures, targets = batch()
    with torch.autocast("cpu", torch.bfloat16):
        model(pictures, targets)
    stock(pictures, targets)
    exact = Step(stock, pictures, targets).anchors[0]
    assert given[0].dtype == torch.float32 and torch.equal(given[0], exact)
    assert seen[0].assignment.matched.ge(0).any()


@MODELS
def test_a_crowd_is_no_object(make):
    model = integration.patch(make())
    seen = taught_by(model)
    pictures, targets = batch(counts=(3, 2), iscrowd=True)
    model(pictures, targets)
    taught = seen[0]
    assert taught.assignment.num_pos.tolist()[0] == taught.assignment.num_pos.tolist()[3] == 0
    assert (taught.labels == -2).any()
    without = [{**target, "boxes": target["boxes"][1:], "labels": target["labels"][1:]} for target in targets]
    for target in without:
        del target["iscrowd"]
    model(pictures, without)
    assert torch.equal(taught.positive, seen[1].positive)
    assert torch.equal(taught.labels.where(taught.labels != -2, CLASSES), seen[1].labels)


@pytest.mark.parametrize(
    "student, teacher",
    [
        (tiny_retinanet, tiny_retinanet),
        (tiny_fcos, tiny_fcos),
        (tiny_fcos, lambda seed: tiny_retinanet(seed, single=True)),
    ],
)
def test_a_teacher_assigns(student, teacher):
    pictures, targets = batch()
    taught_model, teaching = integration.patch(student(), teacher=teacher(1)), integration.patch(teacher(1))
    if isinstance(teaching, RetinaNet) and student is tiny_fcos:
        integration.patch(teaching, anchor_scale=8)
    teaching.eval().train(False)
    labels, expected = taught_by(taught_model), taught_by(teaching)
    names = list(student().state_dict())
    losses = taught_model(pictures, targets)
    teaching.train()(pictures, targets)
    assert torch.equal(labels[0].labels, expected[0].labels)
    sum(losses.values()).backward()
    teacher_model = taught_model.compute_loss.teacher.teacher
    assert all(parameter.grad is None for parameter in teacher_model.parameters())
    assert not teacher_model.training and list(taught_model.state_dict()) == names
    assert taught_model.compute_loss.pictures is None


def test_a_function_as_teacher():
    teacher = tiny_fcos(1).eval()
    by_function, by_model = tiny_fcos(), tiny_fcos()
    integration.patch(by_function, teacher=lambda pictures: integration.predict(teacher, pictures))
    integration.patch(by_model, teacher=tiny_fcos(1))
    assert _values(by_function(*batch())) == _values(by_model(*batch()))


class PredictingModule(torch.nn.Module):
    """A module that is a function from pictures to logits and boxes."""

    def __init__(self) -> None:
        super().__init__()
        self.detector = tiny_fcos(1)

    def forward(self, pictures):
        assert not self.training
        return integration.predict(self.detector, pictures)


def test_a_module_as_teacher_is_frozen_and_in_eval_mode():
    teacher = PredictingModule().train()
    by_module = integration.patch(tiny_fcos(), teacher=teacher)
    assert _values(by_module(*batch())) == _values(integration.patch(tiny_fcos(), teacher=tiny_fcos(1))(*batch()))
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_what_the_last_batch_learned():
    model = integration.patch(tiny_fcos())
    assert model.compute_loss.taught is None
    seen = taught_by(model)
    model(*batch())
    assert model.compute_loss.taught is seen[0] and seen[0].num_pos > 0


@pytest.mark.parametrize(
    "returned, message",
    [
        ({"logits": 1}, "teacher should return a pair of tensors, logits and boxes, got dict"),
        ((torch.zeros(3, 400, 5),), "teacher should return a pair of tensors, logits and boxes, got tuple"),
        (
            (torch.zeros(3, 7, 5), torch.zeros(3, 7, 4)),
            r"logits of teacher should have shape \(3, 400, C\), .*\(3, 7, 5\)",
        ),
        (
            (torch.zeros(3, 400, 5), torch.zeros(3, 400)),
            r"boxes of teacher should have shape \(3, 400, 4\), .*\(3, 400\)",
        ),
    ],
)
def test_what_a_teacher_returns_is_checked(returned, message):
    model = integration.patch(tiny_fcos(), teacher=lambda pictures: returned)
    with pytest.raises((TypeError, ValueError), match=message):
        model(*batch())


def test_errors():
    with pytest.raises(TypeError, match="model should be torchvision's RetinaNet or FCOS, .*got Linear"):
        integration.patch(torch.nn.Linear(1, 1))
    with pytest.raises(ValueError, match="teacher should share no parameter with model"):
        model = tiny_fcos()
        integration.patch(model, teacher=model)
    with pytest.raises(ValueError, match=r"teacher should have the anchors of model, .*got "):
        integration.patch(tiny_fcos(), teacher=tiny_retinanet())
    with pytest.raises(ValueError, match=r"teacher should have the normalisation of model, .*got .*0\.9"):
        integration.patch(tiny_fcos(), teacher=tiny_fcos(image_std=[0.9, 0.9, 0.9]))

    with pytest.raises(ValueError, match="teacher should share no parameter with model"):
        student = tiny_fcos()
        student.backbone = model.backbone
        integration.patch(student, teacher=model)
    with pytest.raises(TypeError, match="teacher should be a model or a function of the pictures, got str"):
        integration.patch(tiny_fcos(), teacher="teacher.pt")
    with pytest.raises(TypeError, match="config should be an AssignConfig, got dict"):
        integration.patch(tiny_fcos(), config={"topk": 9})

    class OwnLosses(type(tiny_fcos().head)):
        def compute_loss(self, *args):
            return {}

    with pytest.raises(TypeError, match=r"model\.head should have the compute_loss of FCOSHead, got that of OwnLosses"):
        integration.patch(tiny_fcos(head=OwnLosses(TinyPyramid.out_channels, 1, CLASSES)))


@MODELS
def test_compiled_losses(make):
    """One graph; another number of objects compiles nothing after the second batch."""
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    model = integration.patch(make())
    steps = [
        Step(model, *batch(seed, counts))
        for seed, counts in enumerate([(3, 2), (4, 5), (2, 0), (1, 7), (0, 9), (1, 1)])
    ]
    compiled_model = integration.patch(make())
    compiled_model.compute_loss.level_sizes = model.compute_loss.level_sizes
    compiled_model.compute_loss.compile(fullgraph=True, backend="aot_eager")
    graphs = []
    for step in steps:
        expected, gradients = step.losses(model.compute_loss)
        found, compiled_gradients = step.losses(compiled_model.compute_loss)
        assert largest_difference(list(expected.values()), list(found.values())) < 1e-5
        assert largest_difference(gradients, compiled_gradients) < 1e-5
        graphs.append(counters["stats"]["unique_graphs"])
    assert 1 <= graphs[1] == graphs[-1], f"graphs after each batch: {graphs}"


def _values(losses) -> dict[str, float]:
    return {name: loss.item() for name, loss in losses.items()}
