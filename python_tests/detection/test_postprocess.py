"""Post-processing: what any result obeys, and its edge cases (mmdetection's: ``golden/test_postprocess.py``)."""

from __future__ import annotations

import torch

from colad_ops.detection import PostProcess
from python_tests.support.detection_cases import pictures, tiny_network


def test_boxes_stay_in_the_image_and_scores_above_the_threshold() -> None:
    network = tiny_network(0).eval()
    sizes = torch.tensor([[64, 96], [40, 50]])
    options = PostProcess(score_threshold=0.1, max_detections=7)
    for detections, (height, width) in zip(network.predict(pictures(), sizes, options), sizes.tolist()):
        assert 0 < len(detections) <= 7
        assert (detections.boxes >= 0).all() and (
            detections.boxes <= torch.tensor([width, height, width, height])
        ).all()
        assert (detections.scores > 0.1).all() and (detections.scores.diff() <= 0).all()
        assert detections.boxes.dtype == detections.scores.dtype == torch.float32
        assert detections.labels.dtype == torch.int64


def test_nothing_found_and_no_images() -> None:
    network = tiny_network(0).eval()
    empty = network.predict(pictures(), torch.tensor([[64, 96]] * 2), PostProcess(score_threshold=1.0))
    assert [len(detections) for detections in empty] == [0, 0]
    assert empty[0].boxes.shape == (0, 4)
    assert network.predict(pictures()[:0], torch.zeros(0, 2, dtype=torch.int64)) == []
