"""Digits on photos: the same for a seed, nothing shared between the splits, boxes tight around the ink."""

import json

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("sklearn", reason="the demo extra is not installed")

from colad_ops.data.digits import DigitsConfig, load_sources, make_picture, write_digits
from colad_ops.data.glyphs import LUMA, MIN_CONTRAST, contrasting_colour, render_digit

SMALL = DigitsConfig(train_pictures=40, val_pictures=15, seed=3)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("digits"), SMALL)


def test_equal_seeds_give_equal_files_and_others_do_not(written, tmp_path):
    again = write_digits(tmp_path / "again", SMALL)
    for name in ("train_json", "val_json"):
        assert getattr(written, name).read_bytes() == getattr(again, name).read_bytes()
    for picture in sorted(written.train_images.iterdir()):
        assert picture.read_bytes() == (again.train_images / picture.name).read_bytes()
    other = write_digits(tmp_path / "other", DigitsConfig(train_pictures=2, val_pictures=2, seed=4))
    assert (other.train_images / "00001.png").read_bytes() != (written.train_images / "00001.png").read_bytes()


def test_splits_share_no_digit():
    train, val = load_sources(DigitsConfig())
    assert len(train.digits) + len(val.digits) == 1797 and not set(train.digits) & set(val.digits)
    assert set(train.labels) == set(val.labels) == set(range(10))


def test_the_files_use_only_the_digits_of_their_split(written):
    sources = dict(zip(("train_json", "val_json"), load_sources(SMALL)))
    for name, source in sources.items():
        labels = dict(zip(source.digits.tolist(), source.labels.tolist()))
        for annotation in json.loads(getattr(written, name).read_text())["annotations"]:
            assert labels[annotation["digit"]] == annotation["category_id"] - 1


def test_splits_share_no_photo_region():
    for seed in (0, 1):
        train, val = load_sources(DigitsConfig(seed=seed))
        for photo in range(2):
            (first, last), (val_first, val_last) = train.columns[photo], val.columns[photo]
            assert 0 == first < last == val_first < val_last == 640
            assert train.photos[photo].shape == (427, last, 3) and val.photos[photo].shape == (427, 640 - last, 3)
            assert not np.shares_memory(train.photos[photo], val.photos[photo])


def test_pictures_are_as_configured(written):
    for images, path, count in (
        (written.train_images, written.train_json, 40),
        (written.val_images, written.val_json, 15),
    ):
        coco = json.loads(path.read_text())
        assert len(coco["images"]) == count == len(list(images.iterdir()))
        assert [category["name"] for category in coco["categories"]] == [str(digit) for digit in range(10)]
        of_image = {image["id"]: [] for image in coco["images"]}
        for annotation in coco["annotations"]:
            of_image[annotation["image_id"]].append(annotation["bbox"])
        assert all(2 <= len(boxes) <= 6 for boxes in of_image.values())
        assert all(15 <= max(w, h) <= 46 for boxes in of_image.values() for _, _, w, h in boxes)
        assert all(
            x >= 0 and y >= 0 and x + w <= 96 and y + h <= 96 for boxes in of_image.values() for x, y, w, h in boxes
        )
        for image in coco["images"]:
            assert Image.open(images / image["file_name"]).size == (96, 96)


def test_boxes_are_tight_around_every_pixel_that_a_digit_changes():
    # One digit a picture on a black photo: whatever is not black was painted.
    source, _ = load_sources(DigitsConfig())
    black = type(source)(source.digits, source.labels, source.glyphs, (np.zeros((200, 200, 3), np.uint8),), ((0, 200),))
    rng = np.random.default_rng(0)
    for _ in range(40):
        picture, [paste] = make_picture(black, DigitsConfig(digits=(1, 1)), rng)
        rows, columns = np.flatnonzero(picture.any((1, 2))), np.flatnonzero(picture.any((0, 2)))
        assert paste.box == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)


def test_ink_of_two_digits_never_overlaps_and_boxes_hardly():
    source, _ = load_sources(DigitsConfig())
    glyph_of = dict(zip(source.digits.tolist(), source.glyphs))
    rng = np.random.default_rng(1)
    for _ in range(30):
        _, pastes = make_picture(source, DigitsConfig(), rng)
        inked = np.zeros((96, 96), dtype=int)
        covered = np.zeros((len(pastes), 96, 96), dtype=bool)
        for index, paste in enumerate(pastes):
            x1, y1, x2, y2 = paste.box
            inked[y1:y2, x1:x2] += render_digit(glyph_of[paste.digit], max(x2 - x1, y2 - y1)) > 0
            covered[index, y1:y2, x1:x2] = True
        assert inked.max() == 1
        for i in range(len(pastes)):
            for j in range(i):
                assert (covered[i] & covered[j]).sum() <= 0.1 * min(covered[i].sum(), covered[j].sum())


def test_rendered_digits_have_the_asked_size_and_ink_on_every_side():
    source, _ = load_sources(DigitsConfig())
    for row in range(0, 200, 7):
        for side in (15, 23, 46):
            ink = render_digit(source.glyphs[row], side)
            assert max(ink.shape) == side and ink.min() >= 0 and ink.max() <= 1 and ink.max() > 0.9
            assert all(border.any() for border in (ink[0], ink[-1], ink[:, 0], ink[:, -1]))


def test_colours_stand_out_on_any_ground():
    rng = np.random.default_rng(2)
    ink = np.ones((5, 5))
    for ground in (0, 127, 255):
        under = np.full((5, 5, 3), float(ground))
        colours = [contrasting_colour(under, ink, rng) for _ in range(20)]
        assert all(abs(colour @ LUMA - ground) >= MIN_CONTRAST for colour in colours)
        assert len({tuple(colour) for colour in colours}) == 20
