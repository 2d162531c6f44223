"""Average precision: 1 for a perfect prediction, 0 for a wrong one, in the pixels of the files."""

import pytest
import torch

from colad_ops.data import CocoDetection, Collate
from colad_ops.detection import Detections
from colad_ops.engine import coco_metrics, coco_results, detect, evaluate
from python_tests.support.coco_files import box_of, squares_dataset, write_coco
from python_tests.support.detection_cases import tiny_network

# Small, medium and large objects (areas below 32^2, up to 96^2, above).
ANNOTATIONS = [box_of(1, 1, (5, 5, 20, 20), 3), box_of(2, 1, (30, 30, 50, 60), 7), box_of(3, 2, (10, 10, 150, 150), 3)]
SIZES = [(200, 200), (200, 200), (50, 60)]


@pytest.fixture
def dataset(tmp_path):
    return CocoDetection(*write_coco(tmp_path, SIZES, ANNOTATIONS))


def results_of(annotations, **changes):
    return [
        {"image_id": row["image_id"], "category_id": row["category_id"], "bbox": row["bbox"], "score": 0.9, **changes}
        for row in annotations
    ]


def test_a_perfect_prediction_scores_one(dataset):
    metrics = coco_metrics(dataset.annotations.raw, results_of(ANNOTATIONS))
    assert list(metrics.as_dict().values()) == pytest.approx([1.0] * 6)


def test_wrong_places_wrong_classes_and_nothing_score_zero(dataset):
    raw = dataset.annotations.raw
    swapped = [{**row, "category_id": 10 - row["category_id"]} for row in results_of(ANNOTATIONS)]
    for results in (results_of(ANNOTATIONS, bbox=[180, 180, 10, 10]), swapped, []):
        assert list(coco_metrics(raw, results).as_dict().values()) == [0.0] * 6


def test_a_box_of_iou_two_thirds_counts_at_half_but_not_at_three_quarters(dataset):
    x, y, w, h = ANNOTATIONS[2]["bbox"]
    results = results_of(ANNOTATIONS[:2]) + results_of(ANNOTATIONS[2:], bbox=[x, y, w, h * 2 / 3])
    metrics = coco_metrics(dataset.annotations.raw, results)
    # Category 3 has a small and a large object: with the large one missed, precision is 1 up to recall 0.5 (51 of 101
    # points).
    assert metrics.ap50 == pytest.approx(1.0) and metrics.ap75 == pytest.approx((1 + 51 / 101) / 2)
    assert metrics.ap_large == pytest.approx(4 / 10)  # IoU 0.667 passes .50, .55, .60, .65


def test_sizes_without_objects_have_no_value(tmp_path):
    dataset = CocoDetection(*write_coco(tmp_path, SIZES, ANNOTATIONS[:1]))
    metrics = coco_metrics(dataset.annotations.raw, results_of(ANNOTATIONS[:1]))
    assert metrics.ap == pytest.approx(1.0) and metrics.ap_medium is None and metrics.ap_large is None


def test_a_detection_on_a_crowd_is_no_mistake(tmp_path):
    crowd = box_of(4, 1, (100, 100, 90, 90), 3, iscrowd=1)
    dataset = CocoDetection(*write_coco(tmp_path, SIZES, [*ANNOTATIONS, crowd]))
    on_crowd = {"image_id": 1, "category_id": 3, "bbox": [110, 110, 40, 40], "score": 0.99}
    assert coco_metrics(dataset.annotations.raw, [on_crowd, *results_of(ANNOTATIONS)]).ap == pytest.approx(1.0)
    assert (
        coco_metrics({**dataset.annotations.raw, "annotations": ANNOTATIONS}, [on_crowd, *results_of(ANNOTATIONS)]).ap
        < 1
    )


def test_the_annotations_are_not_written_to_and_nothing_is_printed(dataset, capsys):
    before = [dict(row) for row in dataset.annotations.raw["annotations"]]
    coco_metrics(dataset.annotations.raw, results_of(ANNOTATIONS))
    assert dataset.annotations.raw["annotations"] == before
    assert capsys.readouterr().out == ""


def test_results_of_unknown_images_are_an_error(dataset):
    with pytest.raises(ValueError, match="image_id 99"):
        coco_metrics(dataset.annotations.raw, results_of(ANNOTATIONS[:1], image_id=99))


def test_detections_go_back_to_the_pixels_and_categories_of_the_files(tmp_path):
    dataset = CocoDetection(*write_coco(tmp_path, SIZES, ANNOTATIONS), resize=(70, 90))
    samples = [dataset[index] for index in range(3)]
    batch = Collate()(samples)
    found = [Detections(sample.boxes, torch.full((len(sample.boxes),), 0.8), sample.labels) for sample in samples]
    results = coco_results(batch, found, dataset.annotations.category_ids)
    assert [result["category_id"] for result in results] == [3, 7, 3]
    for result, annotation in zip(results, ANNOTATIONS):
        assert result["bbox"] == pytest.approx(annotation["bbox"], abs=1e-3)
    assert coco_metrics(dataset.annotations.raw, results).ap == pytest.approx(1.0)


def test_evaluating_leaves_the_network_in_the_mode_it_was_in(tmp_path):
    dataset = squares_dataset(tmp_path)
    network = tiny_network(0, num_classes=2)
    network.train()
    network.backbone.layer1.eval()  # a frozen stage
    modes = [module.training for module in network.modules()]
    buffers = {name: value.clone() for name, value in network.named_buffers()}
    evaluate(network, dataset, batch=3)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, buffers[name]) for name, value in network.named_buffers())


def test_batches_do_not_matter(tmp_path):
    dataset = squares_dataset(tmp_path)
    network = tiny_network(0, num_classes=2)
    by_one, by_many = (
        detect(network, [Collate()([dataset[i] for i in rows]) for rows in split], (3, 7))
        for split in ([[i] for i in range(8)], [range(8)])
    )
    assert len(by_one) == len(by_many) > 0
    assert [row["image_id"] for row in by_one] == [row["image_id"] for row in by_many]


def test_another_number_of_classes_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="network has 3 classes, .*boxes.json has 2"):
        evaluate(tiny_network(0, num_classes=3), squares_dataset(tmp_path))
