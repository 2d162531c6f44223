"""The README's Python is run as it stands there."""

import re
from pathlib import Path

import pytest
import torch

from python_tests.support.scenes import make_scene

README = Path(__file__).resolve().parents[2] / "README.md"


@pytest.mark.skipif(not README.is_file(), reason="not run from the source tree")
def test_the_readmes_code_runs_and_its_two_ways_agree():
    scene = make_scene([3, 0, 2])
    sides = [12, 6, 3]
    names = {
        "class_maps": [
            level.transpose(1, 2).reshape(3, 5, side, side)
            for level, side in zip(scene.logits.split(scene.level_sizes, dim=1), sides, strict=True)
        ],
        "boxes": scene.boxes,
        "anchors": scene.anchors,
        "level_sizes": scene.level_sizes,
        "num_classes": 5,
        "targets": [
            {"boxes": scene.gt_boxes[a:b], "labels": scene.gt_labels[a:b]}
            for a, b in zip(scene.gt_offsets[:-1], scene.gt_offsets[1:], strict=True)
        ],
    }
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(block, names)
    assert names["positive"].equal(names["assignment"].matched)
    assert torch.isfinite(names["loss_cls"] + names["loss_box"])
