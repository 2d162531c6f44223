"""The sigmoid focal loss of a batch, forward and backward."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

import colad_ops
from bench.cases.loss_training import close, training
from bench.measure.case import Case
from bench.measure.machine import EXP, LOG, Machine
from bench.peers.names import COMPILED, EAGER, PLAIN_BCE, TORCHVISION
from bench.peers.packages import compiled, package_peer, torch_peer
from bench.workload.batch import workload

VALUE, LABEL = 4, 8  # bytes


def focal_loss(logits: Tensor, labels: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """The usual code of detectors in torch, on one-hot labels."""
    classes = logits.shape[-1]
    target = F.one_hot(labels, classes + 1)[..., :classes].to(logits.dtype)
    p = logits.sigmoid()
    wrong = (1 - p) * target + p * (1 - target)
    weight = (alpha * target + (1 - alpha) * (1 - target)) * wrong.pow(gamma)
    return (F.binary_cross_entropy_with_logits(logits, target, reduction="none") * weight).sum()


def cases(sizes: dict[str, int], machine: Machine) -> list[Case]:
    w = workload(**sizes).to(machine.device)
    logits = torch.cat(w.logits(), dim=1).requires_grad_()  # (B, A, C)
    labels = colad_ops.paa_assign(*w.assign_arguments()).labels(w.classes)
    one_hot = F.one_hot(labels, w.classes + 1)[..., : w.classes].to(logits.dtype)
    bce = partial(F.binary_cross_entropy_with_logits, reduction="sum")
    peers = [
        torch_peer(EAGER, training(focal_loss, logits, labels)),
        torch_peer(COMPILED, training(compiled(focal_loss), logits, labels)),
        package_peer(
            TORCHVISION, "torchvision",
            lambda m: training(partial(m.ops.sigmoid_focal_loss, reduction="sum"), logits, one_hot),
        ),
        torch_peer(PLAIN_BCE, training(bce, logits, one_hot), same=False),
    ]  # fmt: skip
    n = logits.numel()
    lower_bound = machine.lower_bound(2 * n * VALUE + labels.numel() * LABEL, n * (EXP + LOG))
    what = f"{n / 1e6:.3g} M logits, forward and backward"
    return [
        Case(
            "sigmoid_focal_loss", what, training(colad_ops.sigmoid_focal_loss, logits, labels), peers, close,
            lower_bound, two_threads=True,
        )
    ]  # fmt: skip
