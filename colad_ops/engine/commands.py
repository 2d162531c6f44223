"""What each command of the command line does with its options."""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path

import torch

from ..data import CocoDetection
from ..detection import DetectionNetwork, build_network
from .evaluate import CocoMetrics, evaluate, evaluate_networks
from .methods import build_method, describe, load_network, require_same_categories
from .predict import find_pictures, predict
from .schedule import OptimizerConfig
from .train import TrainConfig, train


def run_train(options: argparse.Namespace) -> None:
    _set_up(options)
    torch.manual_seed(options.seed)
    resize = None if tuple(options.resize) == (0, 0) else tuple(options.resize)
    dataset = CocoDetection(*options.data_train, resize=resize, degenerate=options.degenerate)
    if dataset.annotations.dropped:
        print(f"{dataset.annotations.path}: {dataset.annotations.dropped} degenerate boxes dropped", file=sys.stderr)
    val = None
    if options.data_val is not None:
        val = CocoDetection(*options.data_val, resize=resize, degenerate=options.degenerate)
        if val.annotations.category_ids != dataset.annotations.category_ids:
            raise ValueError(
                "--data-train and --data-val should have the same categories, got "
                f"{list(dataset.annotations.category_ids)} and {list(val.annotations.category_ids)}"
            )
    network = _new_network(options.network, dataset.num_classes, options.backbone_weights)
    other, names = _second_network(options, dataset)
    method = build_method(options.method, network, other)
    description = describe(
        options.method, dict(zip(method.networks, [options.network, *names])), dataset.annotations, resize
    )

    evaluator = None
    if val is not None:
        evaluator = partial(
            evaluate_networks, dataset=val, batch=options.batch, device=options.device, workers=options.workers
        )
    result = train(
        method,
        dataset,
        train_config(options),
        device=options.device,
        evaluator=evaluator,
        output=options.output,
        resume=options.resume,
        description=description,
        name=options.method,
    )
    for name, metrics in result.metrics.items():
        print(f"{name}: {_in_words(metrics)}")
    print(f"wrote {options.output / 'last.pt'} and {options.output / 'log.jsonl'}")


def train_config(options: argparse.Namespace) -> TrainConfig:
    """The options of ``colad train`` that the training loop takes."""
    optimizer = OptimizerConfig(
        options.optimizer,
        options.lr,
        options.weight_decay,
        schedule=options.schedule,
        warmup=options.warmup,
        clip_grad=options.clip_grad,
    )
    return TrainConfig(
        options.iterations,
        options.batch,
        optimizer,
        flip=options.flip,
        seed=options.seed,
        workers=options.workers,
        log_interval=options.log_interval,
        eval_interval=options.eval_interval,
        checkpoint_interval=options.checkpoint_interval,
    )


def _second_network(options: argparse.Namespace, dataset: CocoDetection) -> tuple[DetectionNetwork | None, list[str]]:
    """The teacher or CoLAD's second network; and in a list, if it learns, its name for ``build_network``."""
    if options.method in ("lad", "solad"):
        if options.teacher_checkpoint is None:
            raise ValueError(f"--method {options.method} needs --teacher-checkpoint")
        teacher = load_network(options.teacher_checkpoint, options.teacher_name)
        require_same_categories(teacher.category_ids, dataset.annotations.category_ids, options.teacher_checkpoint)
        if options.teacher_network not in (None, teacher.network_name):
            raise ValueError(
                f"--teacher-network is {options.teacher_network}, but {options.teacher_checkpoint} holds a "
                f"{teacher.network_name}"
            )
        return teacher.network, []
    if options.teacher_checkpoint is not None:
        raise ValueError(f"--teacher-checkpoint goes with --method lad or solad, got --method {options.method}")
    if options.method == "colad":
        name = options.teacher_network or options.network
        return _new_network(name, dataset.num_classes, options.teacher_backbone_weights), [name]
    if options.teacher_network is not None:
        raise ValueError("--teacher-network goes with --method colad, lad or solad, got --method paa")
    return None, []


def _new_network(name: str, num_classes: int, weights: Path | None) -> DetectionNetwork:
    if weights is None:
        return build_network(name, num_classes)
    if not weights.is_file():
        raise FileNotFoundError(f"no such file of backbone weights: {weights}")
    try:
        return build_network(name, num_classes, torch.load(weights, map_location="cpu", weights_only=True))
    except RuntimeError as error:
        reasons = " ".join(str(error).split())  # torch's message has several lines
        raise ValueError(f"{weights} does not fit the backbone of {name}: {reasons}") from error


def run_eval(options: argparse.Namespace) -> None:
    _set_up(options)
    trained = load_network(options.checkpoint, options.network_name)
    dataset = CocoDetection(
        *options.data, resize=trained.resize, degenerate="drop"
    )  # pycocotools reads the file itself
    require_same_categories(trained.category_ids, dataset.annotations.category_ids, options.checkpoint)
    metrics = evaluate(
        trained.network.to(options.device),
        dataset,
        batch=options.batch,
        device=options.device,
        workers=options.workers,
        progress=True,
    )
    print(_in_words(metrics))
    if options.json is not None:
        options.json.write_text(json.dumps(metrics.as_dict(), indent=1) + "\n")


def _in_words(metrics: CocoMetrics) -> str:
    values = {name: "none" if value is None else f"{100 * value:.1f}" for name, value in metrics.as_dict().items()}
    return "AP {ap}, AP50 {ap50}, AP75 {ap75}, small {ap_small}, medium {ap_medium}, large {ap_large}".format(**values)


def run_predict(options: argparse.Namespace) -> None:
    _set_up(options)
    trained = load_network(options.checkpoint, options.network_name)
    records = predict(
        trained,
        find_pictures(options.pictures),
        options.output,
        score_threshold=options.score_threshold,
        device=options.device,
    )
    for record in records:
        print(f"{record['file']}: {len(record['objects'])} objects, drawn in {record['drawn']}")


def run_demo_command(options: argparse.Namespace) -> None:
    _set_up(options)
    from ..demo.run import run_demo
    from ..demo.settings import demo_settings

    run_demo(
        options.output,
        demo_settings(full=options.full, seed=options.seed, processes=options.processes),
        device=options.device,
    )


def _set_up(options: argparse.Namespace) -> None:
    """Device and threads, checked before anything is read or built."""
    if options.threads is not None:
        if options.threads < 1:
            raise ValueError(f"--threads should be at least 1, got {options.threads}")
        torch.set_num_threads(options.threads)
    try:
        torch.empty(0, device=options.device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {options.device} cannot be used: {str(error).splitlines()[0]}") from error
