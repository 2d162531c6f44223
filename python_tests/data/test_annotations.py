"""Annotation files: what is read, and that every complaint names the file and the record."""

import json

import pytest

from colad_ops.data import read_annotations
from python_tests.support.coco_files import box_of, write_coco


def test_categories_become_class_indices_in_the_order_of_their_ids(tmp_path):
    annotations = [box_of(1, 1, (2, 3, 10, 12), 7), box_of(2, 1, (5, 5, 4, 4), 3)]
    _, path = write_coco(tmp_path, [(40, 30)], annotations)
    read = read_annotations(path)
    assert read.category_ids == (3, 7) and read.class_names == ("dark", "bright") and read.num_classes == 2
    assert read.images[0].labels == (1, 0)
    assert [read.category_ids[label] for label in read.images[0].labels] == [7, 3]
    assert read.images[0].boxes == ((2, 3, 12, 15), (5, 5, 9, 9))


def test_crowds_are_ignore_boxes_and_images_without_objects_stay(tmp_path):
    annotations = [box_of(1, 1, (0, 0, 20, 20), iscrowd=1), box_of(2, 1, (1, 1, 5, 5))]
    _, path = write_coco(tmp_path, [(40, 30), (20, 20)], annotations)
    read = read_annotations(path)
    assert read.images[0].ignore_boxes == ((0, 0, 20, 20),) and read.images[0].boxes == ((1, 1, 6, 6),)
    assert len(read.images) == 2 and read.images[1].boxes == () and read.images[1].labels == ()


@pytest.mark.parametrize(
    "bbox, complaint",
    [
        ((5, 5, 0, 4), "no area"),
        ((5, 5, 4, -1), "no area"),
        ((41, 5, 4, 4), "outside"),
        ((-9, 5, 4, 4), "outside"),
        ((5, 5, 4), "four numbers"),
        ((5, 5, float("nan"), 4), "finite"),
        ((5, 5, "4", 4), "finite"),
    ],
)
def test_a_degenerate_box_is_an_error_that_names_it_or_is_counted(tmp_path, bbox, complaint):
    annotations = [box_of(1, 1, (1, 1, 5, 5)), {**box_of(17, 1, (0, 0, 1, 1)), "bbox": list(bbox)}]
    _, path = write_coco(tmp_path, [(40, 30)], annotations)
    with pytest.raises(ValueError, match=f"boxes.json: annotation 17: .*{complaint}"):
        read_annotations(path)
    read = read_annotations(path, degenerate="drop")
    assert read.dropped == 1 and read.images[0].boxes == ((1, 1, 6, 6),)


def test_a_box_that_partly_leaves_the_picture_is_kept_as_it_is(tmp_path):
    _, path = write_coco(tmp_path, [(40, 30)], [box_of(1, 1, (-3, 20, 10, 20))])
    assert read_annotations(path).images[0].boxes == ((-3, 20, 7, 40),)


@pytest.mark.parametrize(
    "change, complaint",
    [
        (lambda coco: coco.pop("categories"), "boxes.json: missing categories"),
        (lambda coco: coco["categories"].clear(), "boxes.json: categories is empty"),
        (lambda coco: coco["categories"].append({"id": 3, "name": "again"}), "category id appears twice"),
        (lambda coco: coco["images"].append(coco["images"][0]), "image id 1 appears twice"),
        (lambda coco: coco["images"][0].pop("width"), "image 1: missing width"),
        (lambda coco: coco["annotations"][0].pop("bbox"), "annotation 5: missing bbox"),
        (lambda coco: coco["annotations"][0].update(image_id=99), "annotation 5: image_id 99"),
        (lambda coco: coco["annotations"][0].update(category_id=1), "annotation 5: category_id 1"),
    ],
)
def test_broken_files_are_named_with_the_record(tmp_path, change, complaint):
    _, path = write_coco(tmp_path, [(40, 30)], [box_of(5, 1, (1, 1, 5, 5))])
    coco = json.loads(path.read_text())
    change(coco)
    path.write_text(json.dumps(coco))
    with pytest.raises(ValueError, match=complaint):
        read_annotations(path)


def test_a_file_that_is_missing_or_no_json_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.json"):
        read_annotations(tmp_path / "nothing.json")
    (tmp_path / "text.json").write_text("not json")
    with pytest.raises(ValueError, match="text.json: not a json file"):
        read_annotations(tmp_path / "text.json")
    with pytest.raises(ValueError, match="degenerate should be one of .* got 'repair'"):
        read_annotations(tmp_path / "text.json", degenerate="repair")
