"""Batches: padding, raggedness, and an order that only the seed and the iteration decide."""

import pytest
import torch

from colad_ops.data import CocoDetection, Collate, TrainingPicks, evaluation_loader, training_loader
from python_tests.support.coco_files import box_of, write_coco


@pytest.fixture
def dataset(tmp_path):
    sizes = [(40, 30), (33, 64), (20, 20)]
    annotations = [box_of(1, 1, (1, 1, 5, 5)), box_of(2, 3, (2, 2, 9, 9), 7), box_of(3, 3, (0, 0, 4, 4)),
                   box_of(4, 2, (0, 0, 8, 8), iscrowd=1)]  # fmt: skip
    return CocoDetection(*write_coco(tmp_path, sizes, annotations))


def test_a_batch_is_padded_right_and_below_with_zeros(dataset):
    batch = Collate(32)([dataset[index] for index in range(3)])
    assert batch.images.shape == (3, 3, 64, 64)
    assert batch.targets.image_sizes.tolist() == [[30, 40], [64, 33], [20, 20]]
    for index in range(3):
        height, width = batch.targets.image_sizes[index].tolist()
        assert torch.equal(batch.images[index, :, :height, :width], dataset[index].image)
        assert batch.images[index, :, height:].abs().sum() == 0 and batch.images[index, :, :, width:].abs().sum() == 0


def test_objects_are_ragged_and_pictures_without_any_own_no_row(dataset):
    batch = Collate()([dataset[index] for index in range(3)])
    assert batch.targets.offsets.tolist() == [0, 1, 1, 3] and batch.targets.labels.tolist() == [0, 1, 0]
    assert batch.targets.boxes.tolist() == [[1, 1, 6, 6], [2, 2, 11, 11], [0, 0, 4, 4]]
    assert batch.targets.ignore_offsets.tolist() == [0, 0, 1, 1] and batch.targets.ignore_boxes.tolist() == [
        [0, 0, 8, 8]
    ]
    assert batch.image_ids == (1, 2, 3)


def test_a_batch_without_any_object_and_an_empty_batch(dataset):
    batch = Collate()([dataset[1]])
    assert batch.targets.boxes.shape == (0, 4) and batch.targets.offsets.tolist() == [0, 0]
    with pytest.raises(ValueError, match="at least one sample"):
        Collate()([])


def picks_of(*arguments, **options):
    return [[tuple(pick) for pick in batch] for batch in TrainingPicks(*arguments, **options)]


def test_every_epoch_shows_each_sample_once_in_another_order():
    indices = [index for batch in picks_of(7, 3, 14, seed=5) for index, _ in batch]  # 42 samples: six epochs
    epochs = [indices[begin : begin + 7] for begin in range(0, 42, 7)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_seed_decides_and_resuming_sees_the_same():
    whole = picks_of(7, 3, 10, seed=5, flip=0.5)
    assert whole == picks_of(7, 3, 10, seed=5, flip=0.5) and whole != picks_of(7, 3, 10, seed=6, flip=0.5)
    assert picks_of(7, 3, 10, seed=5, flip=0.5, start=4) == whole[4:]
    assert len(TrainingPicks(7, 3, 10, start=4)) == 6


def test_flip_is_a_probability():
    flips = [flip for batch in picks_of(50, 10, 40, flip=0.3) for _, flip in batch]
    assert 0.2 < sum(flips) / len(flips) < 0.4  # 400 draws: the deviation is 0.023
    assert not any(flip for batch in picks_of(50, 10, 5) for _, flip in batch)
    with pytest.raises(ValueError, match="flip should be a probability, got 1.5"):
        TrainingPicks(50, 10, 5, flip=1.5)
    with pytest.raises(ValueError, match="at least one picture, got 0"):
        TrainingPicks(0, 10, 5)


def test_batches_are_the_same_for_any_number_of_workers(dataset):
    alone = list(training_loader(dataset, batch=2, iterations=4, seed=3, flip=0.5))
    helped = list(training_loader(dataset, batch=2, iterations=4, seed=3, flip=0.5, workers=2))
    assert len(alone) == len(helped) == 4
    for one, other in zip(alone, helped):
        assert torch.equal(one.images, other.images) and torch.equal(one.targets.boxes, other.targets.boxes)
        assert one.image_ids == other.image_ids


def test_evaluation_shows_every_picture_once_in_order(dataset):
    batches = list(evaluation_loader(dataset, batch=2))
    assert [batch.image_ids for batch in batches] == [(1, 2), (3,)]
