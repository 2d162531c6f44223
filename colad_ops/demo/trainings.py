"""The four trainings of the demo, with the usual loader and training loop, two at a time on the CPU."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ..data import CocoDetection
from ..data.digits import DigitsPaths
from ..detection import DetectionNetwork, Method, build_network
from ..engine import CocoMetrics, TrainResult, evaluate_networks, train
from ..engine.methods import build_method, describe, load_network
from .settings import DemoSettings

SMALL, LARGE = "digits_student", "digits_teacher"


@dataclass(frozen=True)
class Training:
    """A training to be done.

    Attributes:
        name: folder of its checkpoint and log.
        title: its name in the table and the pictures.
        method: name for ``build_method``.
        networks: names for ``build_network`` of the networks that learn.
        seeds: of their initial weights.
        teacher: name of the training whose network assigns the labels; None: no teacher.
    """

    name: str
    title: str
    method: str
    networks: tuple[str, ...]
    seeds: tuple[int, ...]
    teacher: str | None = None


# The baseline, the LAD student and CoLAD's first network start from the same weights and see the same pictures in the
# same order: only the network that assigns the labels differs.
BASELINE = Training("paa", "PAA baseline", "paa", (SMALL,), (0,))
TEACHER = Training("teacher", "PAA teacher", "paa", (LARGE,), (1,))
STUDENT = Training("lad", "LAD student", "lad", (SMALL,), (0,), teacher="teacher")
PAIR = Training("colad", "CoLAD pair", "colad", (SMALL, SMALL), (0, 2))
LANES = ((TEACHER, STUDENT), (BASELINE, PAIR))  # a lane runs in its order; lanes do not wait for each other


@dataclass(frozen=True)
class Trained:
    """A finished training."""

    title: str
    method: Method  # on the CPU, in eval mode
    metrics: dict[str, CocoMetrics]  # of each network
    records: list[dict[str, Any]]  # of the log
    seconds: float  # of training, evaluations not counted


@dataclass(frozen=True)
class Trainings:
    """All four."""

    baseline: Trained
    teacher: Trained
    lad: Trained
    colad: Trained

    def __iter__(self) -> Iterator[Trained]:
        return iter((self.baseline, self.teacher, self.lad, self.colad))


def runs_in_parallel(settings: DemoSettings, device: torch.device | str) -> bool:
    """Whether two trainings run at a time."""
    return settings.processes > 1 and torch.device(device).type == "cpu"


def train_all(
    paths: DigitsPaths, settings: DemoSettings, output: Path, device: torch.device | str = "cpu"
) -> Trainings:
    """Train on the data set at ``paths``; checkpoints and logs go to ``output/<name>``."""
    if not runs_in_parallel(settings, device):
        results = run_lane([training for lane in LANES for training in lane], paths, settings, output, device)
    else:
        context = multiprocessing.get_context("spawn")  # forking a process that has computed with OpenMP may hang
        threads = max(1, torch.get_num_threads() // len(LANES))
        with ProcessPoolExecutor(len(LANES), context, tqdm.set_lock, (context.RLock(),)) as pool:
            lanes = [
                pool.submit(run_lane, lane, paths, settings, output, device, line, threads)
                for line, lane in enumerate(LANES)
            ]
            results = {name: result for lane in lanes for name, result in lane.result().items()}
    return Trainings(
        *(_restore(training, results[training.name], output) for training in (BASELINE, TEACHER, STUDENT, PAIR))
    )


def run_lane(
    lane: Sequence[Training],
    paths: DigitsPaths,
    settings: DemoSettings,
    output: Path,
    device: torch.device | str,
    line: int = 0,
    threads: int | None = None,
) -> dict[str, TrainResult]:
    """Do trainings one after the other, with ``threads`` threads, the progress on ``line`` of the terminal."""
    if threads is not None:
        torch.set_num_threads(threads)
    train_set = CocoDetection(paths.train_images, paths.train_json)
    val_set = CocoDetection(paths.val_images, paths.val_json)
    results = {}
    for training in lane:
        method = _new_method(training, train_set.num_classes, settings.seed, output)
        about = describe(
            training.method, dict(zip(method.networks, training.networks, strict=True)), train_set.annotations, None
        )
        results[training.name] = train(
            method,
            train_set,
            settings.train_config(teacher=training == TEACHER),
            device=device,
            evaluator=partial(evaluate_networks, dataset=val_set, device=device),
            output=output / training.name,
            description=about,
            name=training.title,
            line=line,
        )
    return results


def _new_method(training: Training, num_classes: int, seed: int, output: Path) -> Method:
    networks = []
    for name, offset in zip(training.networks, training.seeds, strict=True):
        torch.manual_seed(100 * seed + offset)
        networks.append(build_network(name, num_classes))
    return build_method(training.method, *networks, *_teacher_of(training, output))


def _restore(training: Training, result: TrainResult, output: Path) -> Trained:
    """The trained method from its checkpoint, since another process may have trained it."""
    networks = [load_network(output / training.name / "last.pt", name).network for name in result.metrics]
    method = build_method(training.method, *networks, *_teacher_of(training, output)).eval()
    return Trained(training.title, method, result.metrics, result.records, result.seconds)


def _teacher_of(training: Training, output: Path) -> list[DetectionNetwork]:
    return [] if training.teacher is None else [load_network(output / training.teacher / "last.pt").network]
