"""The loss step of a head on a card: decoding, assignment, losses and backward, from its NCHW maps."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.measure.launches import NO_KERNEL
from colad_ops import AssignConfig, ragged
from colad_ops.detection import AnchorGrid, DeltaCoder, PAALoss, Predictions, Targets
from colad_ops.detection.assigners import assign_labels
from colad_ops.detection.losses import total_loss
from python_tests.simt.card import Card
from python_tests.support.op_contract import assert_same

HEIGHT, WIDTH, CLASSES = 64, 96, 5
GRID = AnchorGrid((8, 16, 32, 64, 128))


class TorchOperators(TorchDispatchMode):
    """Counts the operators of torch that compute something: each is one launch or more on a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.split("::")[1]
        result = func(*args, **(kwargs or {}))
        computes = func.namespace == "aten" and not func.is_view and not name.startswith(NO_KERNEL)
        if computes and any(isinstance(x, Tensor) for x in tree_leaves(result)):
            self.counts[name] += 1
        return result


def maps_and_targets(device: torch.device) -> tuple[list[list[Tensor]], Targets]:
    generator = torch.Generator().manual_seed(0)
    sizes = GRID.feature_sizes(HEIGHT, WIDTH)
    maps = [
        [torch.randn(2, channels, *size, generator=generator).to(device).requires_grad_() for size in sizes]
        for channels in (CLASSES, 4, 1)
    ]
    boxes, offsets = ragged([torch.tensor([[8.0, 8.0, 60.0, 50.0], [50.0, 20.0, 90.0, 60.0]]), torch.zeros(0, 4)])
    targets = Targets(boxes, torch.tensor([1, 3]), offsets, torch.tensor([[HEIGHT, WIDTH], [48, 96]]))
    return maps, targets.to(device)


def head_step(maps: list[list[Tensor]], targets: Targets) -> list[Tensor]:
    """The losses of ``colad_ops.detection.PAA``, and the gradients of the maps."""
    anchors = GRID([(x.shape[2], x.shape[3]) for x in maps[0]], maps[0][0].device)
    predictions = Predictions.from_maps(*maps, anchors, DeltaCoder())
    valid = anchors.valid(targets.image_sizes)
    assignment = assign_labels(predictions, targets, valid, AssignConfig())
    losses = total_loss(PAALoss()(predictions, assignment, valid))
    gradients = torch.autograd.grad(losses["loss"], [x for level in maps for x in level])
    return [losses["loss"].detach(), *gradients]


def test_it_equals_the_cpu(card: Card) -> None:
    found = head_step(*maps_and_targets(card.cards[1]))
    assert_same(found, head_step(*maps_and_targets(torch.device("cpu"))), rtol=2e-5, atol=1e-6)


def test_the_host_never_waits(card: Card) -> None:
    inputs = maps_and_targets(card.cards[0])
    head_step(*inputs)  # lays the anchors
    with card.waiting_is_an_error():
        head_step(*inputs)


def test_launches(card: Card, capsys: pytest.CaptureFixture) -> None:
    """At most 20 launches of ours, for five levels and any number of images: 4 for the assignment, 2 for the decoding,
    3 for the overlaps, and for each level 1 for the focal loss and 1 that finds its gradient final. Torch's are counted
    apart."""
    inputs = maps_and_targets(card.cards[0])
    head_step(*inputs)
    card.begin()
    with TorchOperators() as torchs:
        head_step(*inputs)
    ours = Counter(line[1].partition("<")[0] for line in card.log() if line[0] == "launch")
    with capsys.disabled():
        for who, counts in (("of ours", ours), ("operators of torch", torchs.counts)):
            each = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
            print(f"\nhead step: {counts.total()} {who}: {each}")
    assert ours.total() <= 20
