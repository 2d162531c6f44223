"""The losses of the methods in one graph, and of a model in an exported program."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from colad_ops import aligned_box_iou, paa_assign, sigmoid_focal_loss
from colad_ops.detection import LAD, PAA, AnchorGrid, CoLAD, SoLAD, Targets, flatten_maps
from python_tests.support.detection_cases import pictures, targets_of, tiny_network

METHODS = {
    "paa": lambda: PAA(tiny_network(0)),
    "lad": lambda: LAD(tiny_network(0), tiny_network(1)),
    "solad": lambda: SoLAD(tiny_network(0), tiny_network(1)),
    "colad": lambda: CoLAD([tiny_network(0), tiny_network(1)]),
}


def targets(*counts: int) -> Targets:
    """Targets with so many objects in each image."""
    objects = [(4, 4, 30, 34, 0), (40, 8, 76, 56, 1), (70, 2, 92, 24, 2), (10, 20, 60, 60, 2), (62, 6, 90, 30, 0)]
    return targets_of(*(objects[:count] for count in counts))


def gradients(losses: dict[str, Tensor], module: nn.Module) -> list[Tensor]:
    return list(
        torch.autograd.grad(losses["loss"], list(module.parameters()), allow_unused=True, materialize_grads=True)
    )


@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
@pytest.mark.parametrize("name", METHODS)
def test_the_loss_of_a_method_is_one_graph(name):
    """Another number of objects compiles nothing after the second batch."""
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    method = METHODS[name]().train()
    images = pictures()
    compiled = torch.compile(method.loss, fullgraph=True, backend="aot_eager")
    graphs = []
    for counts in [(2, 3), (3, 4), (5, 0), (1, 1), (5, 5)]:
        expected = method.loss(images, targets(*counts))
        expected_gradients = gradients(expected, method)  # before the other call writes to the buffers of the norms
        found = compiled(images, targets(*counts))
        assert list(found) == list(expected)
        for figure, value in expected.items():
            torch.testing.assert_close(found[figure], value, rtol=1e-4, atol=1e-5, msg=figure)
        for ours, theirs in zip(gradients(found, method), expected_gradients):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
        graphs.append(counters["stats"]["unique_graphs"])
    assert 1 <= graphs[1] == graphs[-1], f"graphs after each batch: {graphs}"


class HeadWithLoss(nn.Module):
    """A small network whose forward pass is its loss: conv maps, ``paa_assign`` and ``sigmoid_focal_loss``."""

    def __init__(self, anchors: Tensor) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.class_output, self.box_output = nn.Conv2d(3, 3, 8, stride=8), nn.Conv2d(3, 4, 8, stride=8)
        self.register_buffer("anchors", anchors)

    def forward(self, images: Tensor, boxes: Tensor, labels: Tensor, offsets: Tensor) -> Tensor:
        (logits,), (deltas,) = flatten_maps([self.class_output(images)], 3), flatten_maps([self.box_output(images)], 4)
        found = self.anchors + 4 * deltas
        with torch.no_grad():
            assigned = paa_assign(logits, found, self.anchors, [self.anchors.shape[0]], boxes, labels, offsets)
        loss_box = ((1 - aligned_box_iou(found, assigned.boxes(), "giou")) * (assigned.matched >= 0)).sum()
        loss_cls = sigmoid_focal_loss(logits, assigned.labels(3), reduction="sum", avg_factor=assigned.num_pos_total)
        return loss_cls + loss_box / assigned.num_pos_total.clamp(min=1)


def test_export_of_a_model_whose_loss_assigns():
    """One exported program takes every number of objects."""
    anchors = AnchorGrid((8,), 3)([(8, 12)], torch.device("cpu")).boxes
    model, images = HeadWithLoss(anchors), pictures()

    def objects(*counts: int) -> tuple[Tensor, Tensor, Tensor]:
        of = targets(*counts)
        return of.boxes, of.labels, of.offsets

    rows = torch.export.Dim("objects")
    dynamic = {"images": None, "boxes": {0: rows}, "labels": {0: rows}, "offsets": None}
    program = torch.export.export(model, (images, *objects(2, 3)), dynamic_shapes=dynamic)
    graphs = [module.graph for module in program.graph_module.modules() if hasattr(module, "graph")]
    called = {node.target for graph in graphs for node in graph.nodes if node.op == "call_function"}
    assert torch.ops.colad.paa_assign.default in called
    for counts in [(2, 3), (5, 4), (0, 1)]:
        loss = model(images, *objects(*counts))
        torch.testing.assert_close(program.module()(images, *objects(*counts)), loss)
        assert loss > 0
