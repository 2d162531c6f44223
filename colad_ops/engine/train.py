"""The training loop: it trains any ``Method`` on any ``CocoDetection``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..data import CocoDetection, training_loader
from ..detection import Method, Targets
from .checkpoint import load_checkpoint, save_checkpoint
from .evaluate import CocoMetrics
from .log import JsonlLog, progress_bar
from .loss_window import LossWindow
from .schedule import OptimizerConfig, build_optimizer, learning_rate

Evaluator = Callable[[Method], Mapping[str, CocoMetrics]]


@dataclass(frozen=True)
class TrainConfig:
    """Length, batches and intervals of a training. Raises ValueError, naming the field and the value got."""

    iterations: int = 90000
    """Steps. With 16 pictures a step, 90,000 are about 12 epochs of COCO, detection's "1x"."""
    batch: int = 16
    """Pictures a step."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    flip: float = 0.5
    """Probability of mirroring a picture."""
    seed: int = 0
    """Decides the order of the pictures and which are mirrored."""
    workers: int = 0
    divisor: int = 32
    """Padded sides are a multiple of this many pixels."""
    channels_last: bool = True
    log_interval: int = 10
    """Iterations between readings of the losses; only they wait for the device."""
    eval_interval: int = 0
    """Iterations between evaluations; 0: only at the end."""
    checkpoint_interval: int = 1000
    """Iterations between checkpoints; one is always written at the end."""

    def __post_init__(self) -> None:
        for name, least in (
            ("iterations", 1),
            ("batch", 1),
            ("log_interval", 1),
            ("eval_interval", 0),
            ("checkpoint_interval", 1),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} should be >= {least}, got {getattr(self, name)}")


@dataclass(frozen=True)
class TrainResult:
    """``metrics`` of each network after the last iteration (empty without an evaluator), the ``records`` of the log,
    and the ``seconds`` this call spent in training steps, evaluations not counted."""

    metrics: dict[str, CocoMetrics]
    records: list[dict[str, Any]]
    seconds: float


def train(
    method: Method,
    dataset: CocoDetection,
    config: TrainConfig,
    *,
    device: torch.device | str = "cpu",
    evaluator: Evaluator | None = None,
    output: str | Path | None = None,
    resume: bool = False,
    description: Mapping[str, Any] | None = None,
    name: str = "train",
    line: int = 0,
) -> TrainResult:
    """Train ``method`` on ``dataset``.

    Args:
        method: what to train; moved to ``device``, in training mode.
        dataset: the training set.
        config: see ``TrainConfig``.
        evaluator: called with the method; returns the metrics of each of its networks.
        output: folder for ``log.jsonl`` and ``last.pt``; None: nothing is written.
        resume: continue from ``output/last.pt``; the result equals that of a run that was never interrupted.
        description: written to the checkpoint as it is.
        name: shown beside the progress bar.
        line: of the progress bar, see ``progress_bar``.

    Raises:
        TrainingDiverged: a loss is NaN or infinite; names the first iteration and part. No checkpoint is written
            after it.
        FileNotFoundError, ValueError: ``resume`` without a checkpoint, with one of another description, or with one
            that is already past the last iteration.
    """
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    # torch documents memory_format as an argument of ``to``; its type annotations leave it out.
    method.to(device=device, memory_format=layout).train()  # type: ignore[call-overload]
    optimizer = build_optimizer(method.parameters(), config.optimizer)
    output = None if output is None else Path(output)
    start = _resume(output, method, optimizer, config, dict(description or {})) if resume else 0
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
    log = JsonlLog(None if output is None else output / "log.jsonl", resume_at=start if resume else None)
    loader = training_loader(
        dataset,
        batch=config.batch,
        iterations=config.iterations,
        seed=config.seed,
        flip=config.flip,
        start=start,
        divisor=config.divisor,
        workers=config.workers,
        pin_memory=torch.device(device).type == "cuda",
    )
    window = LossWindow()
    metrics: dict[str, CocoMetrics] = {}
    paused, began = 0.0, time.perf_counter()  # paused: seconds spent in evaluations
    with progress_bar(name, config.iterations, start=start, line=line) as bar:
        for done, batch in enumerate(loader, start + 1):  # ``done``: iterations finished when this one is
            lr = learning_rate(config.optimizer, done - 1, config.iterations)
            batch = batch.to(device)
            window.add(
                done, _step(method, optimizer, batch.images.contiguous(memory_format=layout), batch.targets, lr, config)
            )
            bar.update()
            last = done == config.iterations
            evaluate_now = evaluator if last or _due(done, config.eval_interval) else None
            save_now = output if last or _due(done, config.checkpoint_interval) else None
            if last or evaluate_now is not None or save_now is not None or _due(done, config.log_interval):
                means = window.read()  # before anything is written: raises when a loss is not finite
                log.write(kind="train", iteration=done, lr=lr, seconds=time.perf_counter() - began - paused, **means)
                bar.set_postfix_str(_postfix(means, metrics), refresh=False)
            if evaluate_now is not None:
                pause = time.perf_counter()
                metrics = dict(evaluate_now(method))
                paused += time.perf_counter() - pause
                for network, scores in metrics.items():
                    log.write(kind="eval", iteration=done, network=network, **scores.as_dict())
                bar.set_postfix_str(_postfix(means, metrics))
            if save_now is not None:
                save_checkpoint(
                    save_now / "last.pt",
                    method,
                    iteration=done,
                    description=dict(description or {}),
                    optimizer=optimizer,
                )
    return TrainResult(metrics, log.records, time.perf_counter() - began - paused)


def _step(
    method: Method,
    optimizer: torch.optim.Optimizer,
    images: torch.Tensor,
    targets: Targets,
    lr: float,
    config: TrainConfig,
) -> dict[str, torch.Tensor]:
    """One update. Returns the loss and its parts, detached, on the device; nothing here waits for the device."""
    for group in optimizer.param_groups:
        group["lr"] = lr
    losses = method.loss(images, targets)
    optimizer.zero_grad(set_to_none=True)
    losses["loss"].backward()
    if config.optimizer.clip_grad is not None:
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        nn.utils.clip_grad_norm_(parameters, config.optimizer.clip_grad)
    optimizer.step()
    return {part: value.detach() for part, value in losses.items()}


def _due(done: int, interval: int) -> bool:
    return interval > 0 and done % interval == 0


def _resume(
    output: Path | None,
    method: Method,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    description: dict[str, Any],
) -> int:
    """Load the method and the optimiser; returns the iterations done."""
    if output is None:
        raise ValueError("resume needs output, the folder of the run to go on with")
    state = load_checkpoint(output / "last.pt")
    if state["description"] != description:
        raise ValueError(
            f"{output / 'last.pt'} is of another run: it says {state['description']}, this one is {description}"
        )
    if state["iteration"] >= config.iterations:
        raise ValueError(
            f"{output / 'last.pt'} has done {state['iteration']} iterations; iterations should be more, "
            f"got {config.iterations}"
        )
    method.load_state_dict(state["method"])
    optimizer.load_state_dict(state["optimizer"])
    return state["iteration"]


def _postfix(means: Mapping[str, float], metrics: Mapping[str, CocoMetrics]) -> str:
    """``loss 1.23, AP network0 34.5`` for the progress bar."""
    parts = [f"loss {means['loss']:.3f}"]
    parts += [f"AP {name} {100 * scores.ap:.1f}" for name, scores in metrics.items() if scores.ap is not None]
    return ", ".join(parts)
