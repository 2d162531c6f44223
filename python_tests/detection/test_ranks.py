"""Normalisers over all ranks: two processes with half a batch each learn what one process learns from the whole."""

from __future__ import annotations

import socket

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing

from colad_ops.detection import LAD, PAA, CoLAD, SoLAD, Targets
from colad_ops.detection.ranks import mean_over_ranks
from python_tests.support.detection_cases import pictures, targets_of, tiny_network, two_images

METHODS = {
    "paa": lambda: PAA(tiny_network(0, norm_eval=True)),
    "lad": lambda: LAD(tiny_network(0, norm_eval=True), tiny_network(1)),
    "solad": lambda: SoLAD(tiny_network(0, norm_eval=True), tiny_network(1)),
    "colad": lambda: CoLAD([tiny_network(0, norm_eval=True), tiny_network(1, norm_eval=True)]),
}


def half(rank: int) -> tuple[torch.Tensor, Targets]:
    """One image of ``two_images`` for each rank."""
    whole = two_images()
    first, last = whole.offsets[rank], whole.offsets[rank + 1]
    return pictures()[rank : rank + 1], Targets(
        whole.boxes[first:last], whole.labels[first:last], torch.tensor([0, last - first]), whole.image_sizes[:1]
    )


def gradients(name: str, images: torch.Tensor, targets: Targets) -> torch.Tensor:
    method = METHODS[name]().train()
    method.loss(images, targets)["loss"].backward()
    return torch.cat([parameter.grad.flatten() for parameter in method.parameters()])


def rank_main(rank: int, port: int, results: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    averaged = {}
    for name in METHODS:
        mine = gradients(name, *half(rank))
        dist.all_reduce(mine)
        averaged[name] = mine / 2  # what DistributedDataParallel does
    empty = targets_of([])
    alone = PAA(tiny_network(0)).loss(*half(0) if rank == 0 else (pictures(1), empty))[
        "loss"
    ]  # one rank without objects
    if rank == 0:
        torch.save({"gradients": averaged, "alone": alone.detach()}, results)
    dist.destroy_process_group()


def test_two_ranks_learn_what_one_process_does(tmp_path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    results = tmp_path / "results.pt"
    multiprocessing.spawn(rank_main, args=(port, str(results)), nprocs=2)
    found = torch.load(results)
    for name in METHODS:
        torch.testing.assert_close(
            found["gradients"][name],
            gradients(name, pictures(), two_images()),
            rtol=1e-4,
            atol=1e-6,
            msg=lambda text, name=name: f"{name}: {text}",
        )
    assert torch.isfinite(found["alone"])


def test_without_a_process_group_values_stay() -> None:
    values = torch.tensor([3.0, 4.0])
    assert mean_over_ranks(values) is values
