"""The focal-KL loss of a batch, forward and backward."""

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
from bench.report.goals import GOALS
from bench.workload.batch import views, workload

VALUE = 4  # bytes


def focal_kl(logits: Tensor, teacher: Tensor, gamma: float = 2.0) -> Tensor:
    """The usual code in torch: two cross-entropies and a weight."""
    p = teacher.sigmoid()
    divergence = F.binary_cross_entropy_with_logits(logits, p, reduction="none") - F.binary_cross_entropy(
        p, p, reduction="none"
    )
    return ((p - logits.sigmoid()).abs().pow(gamma) * divergence).sum()


def bce_with_teacher(logits: Tensor, teacher: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, teacher.sigmoid(), reduction="sum")


def cases(sizes: dict[str, int], machine: Machine) -> list[Case]:
    w = workload(**sizes).to(machine.device)
    logits = torch.cat(w.logits(), dim=1).requires_grad_()  # (B, A, C)
    teacher = torch.cat(views(w.teacher_maps), dim=1)
    probabilities = teacher.sigmoid()
    peers = [
        torch_peer(EAGER, training(focal_kl, logits, teacher)),
        torch_peer(COMPILED, training(compiled(focal_kl), logits, teacher)),
        package_peer(
            TORCHVISION, "torchvision",
            lambda m: training(partial(m.ops.sigmoid_focal_loss, reduction="sum"), logits, probabilities), same=False,
        ),
        torch_peer(PLAIN_BCE, training(bce_with_teacher, logits, teacher), same=False),
    ]  # fmt: skip
    n = logits.numel()
    # Student and teacher logits are read, the gradient is written. For each of the two, a sigmoid and a softplus share
    # one exponential.
    lower_bound = machine.lower_bound(3 * n * VALUE, n * 2 * (EXP + LOG))
    what = f"{n / 1e6:.3g} M logits, forward and backward"
    ours = training(colad_ops.focal_kl_loss, logits, teacher)
    return [Case("focal_kl_loss", what, ours, peers, close, lower_bound, GOALS["focal-KL"], two_threads=True)]
