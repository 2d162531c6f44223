"""Means over all processes of a distributed run."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor


def mean_over_ranks(values: Tensor) -> Tensor:
    """The mean of ``values`` over the ranks of the default process group; ``values`` itself where none is initialised.

    Loss normalisers use the mean, not the sum, because DistributedDataParallel averages the gradients: each rank's loss
    divided by the mean normaliser gives the gradient of the whole batch's loss.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return values
    total = values.detach().clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()
