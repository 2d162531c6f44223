"""The whole demo: data, four trainings, the table, the pictures."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from ..data import Batch, CocoDetection, Collate
from ..data.digits import write_digits
from .settings import DemoSettings
from .table import Row, format_table, note_of, table_rows
from .trainings import Trainings, runs_in_parallel, train_all


def run_demo(output: str | Path, settings: DemoSettings, *, device: torch.device | str = "cpu") -> list[Row]:
    """Write the data, train, print the table, draw; everything goes under ``output``.

    Args:
        output: folder; made if missing. Files of an earlier demo are overwritten.
        settings: length of the trainings and seed (``demo_settings``).
        device: to train on.

    Returns:
        The table's rows.

    Raises:
        ModuleNotFoundError: the ``demo`` extra is not installed.
    """
    require_demo_extra()
    began = time.perf_counter()
    output = Path(output)
    print(f"writing digits on photos to {output / 'data'}", flush=True)
    paths = write_digits(output / "data", settings.data)
    train_set = CocoDetection(paths.train_images, paths.train_json)
    val_set = CocoDetection(paths.val_images, paths.val_json)
    print(
        f"{len(train_set)} training and {len(val_set)} validation pictures; four trainings",
        flush=True,
    )
    trainings = train_all(paths, settings, output, device)
    rows = table_rows(trainings)
    pictures = _draw(trainings, train_set, val_set, output)
    seconds = time.perf_counter() - began
    results = {
        "settings": asdict(settings),
        "rows": [asdict(row) for row in rows],
        "note": note_of(rows),
        "seconds": round(seconds, 1),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "metrics": {
            trained.title: {name: scores.as_dict() for name, scores in trained.metrics.items()} for trained in trainings
        },
    }
    (output / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    print("\n" + format_table(rows, parallel=runs_in_parallel(settings, device)) + "\n")
    print(f"pictures: {', '.join(str(path) for path in pictures)}")
    print(f"everything took {seconds / 60:.1f} minutes; the numbers are in {output / 'results.json'}")
    return rows


def require_demo_extra() -> None:
    try:
        import matplotlib  # noqa: F401
        import sklearn  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"the demo needs {error.name}: pip install 'colad_ops[demo]'") from error


def _draw(trainings: Trainings, train_set: CocoDetection, val_set: CocoDetection, output: Path) -> list[Path]:
    from .assignment_picture import draw_assignment
    from .curves_picture import draw_curves
    from .detections_picture import draw_detections_picture
    from .mixture_picture import draw_mixtures

    seen = _batch(train_set, range(3))
    return [
        draw_assignment(trainings, seen, output / "assignment.png"),
        draw_mixtures(trainings.baseline.method, _batch(train_set, range(8)), output / "mixture.png"),
        draw_detections_picture(trainings, _batch(val_set, range(6)), output / "detections.png"),
        draw_curves(trainings, output / "curves.png"),
    ]


def _batch(dataset: CocoDetection, indices: Sequence[int]) -> Batch:
    return Collate()([dataset[index] for index in indices])
