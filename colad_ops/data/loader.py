"""Padded batches of samples, in an order that a seed and an iteration number determine.

``TrainingPicks`` makes all random choices (order, mirroring), in the main process: batches are the same for any number
of workers, and a run resumed at iteration i sees what the uninterrupted run would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch.utils.data import DataLoader, Sampler

from .. import ragged
from ..detection import Targets
from .coco import CocoDetection, Pick, Sample


@dataclass(frozen=True)
class Batch:
    """The input of a training step or a prediction, and what maps its boxes back to the COCO file."""

    images: torch.Tensor  # (B, 3, H, W) float32
    targets: Targets
    image_ids: tuple[int, ...]
    factors: torch.Tensor  # (B, 2) float64: pixels of the file * (x, y) = pixels of ``images``

    def to(self, device: torch.device | str) -> Batch:
        return replace(self, images=self.images.to(device, non_blocking=True), targets=self.targets.to(device))

    def pin_memory(self) -> Batch:
        """A copy in page-locked memory, which ``to`` moves without waiting; for ``DataLoader(pin_memory=True)``."""
        return replace(self, images=self.images.pin_memory(), targets=self.targets.pin_memory())


@dataclass(frozen=True)
class Collate:
    """Makes a ``Batch`` of a list of ``Sample``.

    Pictures are padded at the right and at the bottom with zeros (the mean colour) to the largest of the batch,
    rounded up to a multiple of ``divisor`` pixels.
    """

    divisor: int = 32

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        if not samples:
            raise ValueError("a batch needs at least one sample, got none")
        height, width = (max(sample.image.shape[axis] for sample in samples) for axis in (1, 2))
        height, width = (-(-side // self.divisor) * self.divisor for side in (height, width))
        images = samples[0].image.new_zeros(len(samples), 3, height, width)  # (B, 3, H, W)
        for row, sample in zip(images, samples):
            row[:, : sample.image.shape[1], : sample.image.shape[2]] = sample.image
        boxes, offsets = ragged([sample.boxes for sample in samples])
        ignore_boxes, ignore_offsets = ragged([sample.ignore_boxes for sample in samples])
        sizes = torch.tensor([sample.image.shape[1:] for sample in samples], dtype=torch.int64)  # (B, 2) h, w
        targets = Targets(
            boxes, torch.cat([sample.labels for sample in samples]), offsets, sizes, ignore_boxes, ignore_offsets
        )
        factors = torch.tensor([sample.factors for sample in samples], dtype=torch.float64)
        return Batch(images, targets, tuple(sample.image_id for sample in samples), factors)


class TrainingPicks(Sampler[list[Pick]]):
    """Batches of ``Pick`` for iterations ``start`` .. ``iterations - 1``; epochs are shuffled and follow without a gap.

    Args:
        size: samples in the data set.
        batch: samples in a batch.
        iterations: where to stop.
        seed: decides the order and the mirroring.
        flip: probability of mirroring a sample.
        start: first iteration; above 0 to resume.
    """

    def __init__(self, size: int, batch: int, iterations: int, *, seed: int = 0, flip: float = 0.0, start: int = 0):
        if size < 1:
            raise ValueError(f"the training set should hold at least one picture, got {size}")
        if batch < 1:
            raise ValueError(f"batch should be at least 1, got {batch}")
        if not 0 <= flip <= 1:
            raise ValueError(f"flip should be a probability, got {flip}")
        self.size, self.batch, self.iterations, self.seed, self.flip, self.start = (
            size,
            batch,
            iterations,
            seed,
            flip,
            start,
        )

    def __len__(self) -> int:
        return max(0, self.iterations - self.start)

    def __iter__(self) -> Iterator[list[Pick]]:
        epoch = -1
        for iteration in range(self.start, self.iterations):
            picks = []
            for position in range(iteration * self.batch, (iteration + 1) * self.batch):
                if position // self.size != epoch:
                    epoch = position // self.size
                    order, flips = self._epoch(epoch)
                picks.append(Pick(order[position % self.size], flips[position % self.size]))
            yield picks

    def _epoch(self, epoch: int) -> tuple[list[int], list[bool]]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)  # no two seeds share an epoch
        order = torch.randperm(self.size, generator=generator).tolist()
        flips = (torch.rand(self.size, generator=generator) < self.flip).tolist()
        return order, flips


def training_loader(
    dataset: CocoDetection,
    *,
    batch: int,
    iterations: int,
    seed: int = 0,
    flip: float = 0.0,
    start: int = 0,
    divisor: int = 32,
    workers: int = 0,
    pin_memory: bool = False,
) -> DataLoader[Sample]:
    """Loader of the ``Batch`` of each iteration from ``start`` on; see ``TrainingPicks`` and ``Collate``."""
    picks = TrainingPicks(len(dataset), batch, iterations, seed=seed, flip=flip, start=start)
    return DataLoader(
        dataset, batch_sampler=picks, collate_fn=Collate(divisor), num_workers=workers, pin_memory=pin_memory
    )


def evaluation_loader(dataset: CocoDetection, *, batch: int, divisor: int = 32, workers: int = 0) -> DataLoader[Sample]:
    """Loader of every sample once, in the order of the json, unmirrored; the last batch may be smaller."""
    return DataLoader(dataset, batch_size=batch, shuffle=False, collate_fn=Collate(divisor), num_workers=workers)
