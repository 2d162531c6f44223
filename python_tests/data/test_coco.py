"""The data set: from picture files and a json to samples."""

import numpy as np
import pytest
import torch
from PIL import Image

from colad_ops.data import IMAGENET_MEAN, IMAGENET_STD, CocoDetection, Pick, denormalise, normalise
from python_tests.support.coco_files import box_of, write_coco


def make(folder, sizes=((40, 30),), annotations=(), **options):
    return CocoDetection(*write_coco(folder, sizes, list(annotations)), **options)


def test_a_sample_holds_the_pixels_and_boxes_of_the_files(tmp_path):
    dataset = make(tmp_path, annotations=[box_of(1, 1, (2, 3, 10.5, 12), 7), box_of(2, 1, (0, 0, 9, 9), iscrowd=1)])
    sample = dataset[0]
    pixels = np.array(Image.open(dataset.folder / "1.png"))
    assert np.array_equal(denormalise(sample.image), pixels)
    expected = (pixels / 255 - IMAGENET_MEAN) / IMAGENET_STD
    np.testing.assert_allclose(sample.image.permute(1, 2, 0).numpy(), expected, atol=1e-5)
    assert sample.boxes.tolist() == [[2, 3, 12.5, 15]] and sample.labels.tolist() == [1]
    assert sample.ignore_boxes.tolist() == [[0, 0, 9, 9]]
    assert sample.image_id == 1 and sample.factors == (1, 1)


def test_a_picture_without_objects_has_empty_boxes_of_the_right_shape(tmp_path):
    sample = make(tmp_path)[0]
    assert sample.boxes.shape == (0, 4) and sample.boxes.dtype == torch.float32
    assert sample.labels.shape == (0,) and sample.labels.dtype == torch.int64 and sample.ignore_boxes.shape == (0, 4)


@pytest.mark.parametrize(
    "size, resize, expected",
    [
        ((40, 30), (60, 1000), (80, 60)),
        ((40, 30), (60, 70), (70, 53)),
        ((30, 50), (15, 90), (15, 25)),
        ((41, 30), (45, 900), (62, 45)),
    ],
)
def test_resizing_keeps_the_ratio_and_moves_boxes_along(tmp_path, size, resize, expected):
    dataset = make(tmp_path, [size], [box_of(1, 1, (3, 6, 12, 9))], resize=resize)
    sample = dataset[0]
    assert (sample.image.shape[2], sample.image.shape[1]) == expected
    fx, fy = expected[0] / size[0], expected[1] / size[1]
    torch.testing.assert_close(sample.boxes, torch.tensor([[3 * fx, 6 * fy, 15 * fx, 15 * fy]]))
    assert sample.factors == (fx, fy)


def test_mirroring_moves_pixels_and_boxes_together(tmp_path):
    annotations = [box_of(1, 1, (3, 6, 12, 9)), box_of(2, 1, (30, 1, 10, 4), iscrowd=1)]
    dataset = make(tmp_path, annotations=annotations)
    plain, mirrored = dataset[Pick(0)], dataset[Pick(0, flip=True)]
    assert torch.equal(mirrored.image, plain.image.flip(2))
    assert mirrored.boxes.tolist() == [[25, 6, 37, 15]] and mirrored.ignore_boxes.tolist() == [[0, 1, 10, 5]]
    x1, y1, x2, y2 = (int(value) for value in plain.boxes[0])
    mx1, my1, mx2, my2 = (int(value) for value in mirrored.boxes[0])
    assert torch.equal(mirrored.image[:, my1:my2, mx1:mx2], plain.image[:, y1:y2, x1:x2].flip(2))


def test_normalise_of_the_mean_colour_is_zero():
    colour = tuple(round(255 * value) for value in IMAGENET_MEAN)
    image = normalise(Image.new("RGB", (3, 2), colour))
    assert image.shape == (3, 2, 3) and image.abs().max() < 0.02


def test_broken_pictures_are_named(tmp_path):
    dataset = make(tmp_path, [(40, 30)] * 4)
    (dataset.folder / "1.png").unlink()
    (dataset.folder / "2.png").write_text("no picture")
    whole = (dataset.folder / "3.png").read_bytes()
    (dataset.folder / "3.png").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (41, 30)).save(dataset.folder / "4.png")
    with pytest.raises(FileNotFoundError, match="1.png"):
        dataset[0]
    with pytest.raises(ValueError, match="2.png"):
        dataset[1]
    with pytest.raises(ValueError, match="3.png"):
        dataset[2]
    with pytest.raises(ValueError, match="4.png is 41x30 pixels, but image 4 .* says 40x30"):
        dataset[3]


def test_wrong_arguments_are_named(tmp_path):
    folder, path = write_coco(tmp_path, [(40, 30)], [])
    with pytest.raises(FileNotFoundError, match="elsewhere"):
        CocoDetection(tmp_path / "elsewhere", path)
    with pytest.raises(ValueError, match=r"resize should be .* got \(60, 50\)"):
        CocoDetection(folder, path, resize=(60, 50))


def test_grey_and_palette_pictures_are_read_as_rgb(tmp_path):
    dataset = make(tmp_path, [(4, 3)] * 2)
    Image.new("L", (4, 3), 77).save(dataset.folder / "1.png")
    Image.new("P", (4, 3), 0).save(dataset.folder / "2.png")
    assert (denormalise(dataset[0].image) == 77).all()
    assert dataset[1].image.shape == (3, 3, 4)
