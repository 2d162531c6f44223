"""The command line: ``colad train|eval|predict|demo``, also ``python -m colad_ops``.

Exit codes: 0 done; 1 an error, printed in one line (a file, a value, a loss that is not finite); 2 wrong usage; 130
interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from .data.annotations import DEGENERATE_POLICIES
from .data.pictures import PAPER_RESIZE
from .demo.settings import FULL_ITERATIONS, DemoSettings
from .detection import NETWORK_NAMES
from .engine.commands import run_demo_command, run_eval, run_predict, run_train
from .engine.loss_window import TrainingDiverged
from .engine.methods import METHOD_NAMES
from .engine.schedule import OPTIMIZERS, SCHEDULES, OptimizerConfig
from .engine.train import TrainConfig


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    options = build_parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError, TrainingDiverged, ModuleNotFoundError) as error:
        print(f"colad {options.command}: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"colad {options.command}: interrupted", file=sys.stderr)
        return 130
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="colad", description="Detectors that learn by (distilled) label assignment.")
    commands = parser.add_subparsers(dest="command", required=True)
    for add in (_add_train, _add_eval, _add_predict, _add_demo):
        add(commands)
    return parser


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", help="default: %(default)s here"
    )
    command.add_argument("--threads", type=int, help="CPU threads of the computation; default: torch's choice")


def _add_data(command: argparse.ArgumentParser, flag: str, *, required: bool, what: str) -> None:
    command.add_argument(
        flag,
        nargs=2,
        metavar=("IMAGES", "JSON"),
        required=required,
        help=f"{what}: a folder of pictures and a COCO json",
    )


def _add_train(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "train", help="train a detector", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    command.set_defaults(run=run_train)
    _add_data(command, "--data-train", required=True, what="training set")
    _add_data(command, "--data-val", required=False, what="validation set")
    command.add_argument("--output", required=True, type=Path, help="folder for last.pt and log.jsonl")
    command.add_argument("--method", choices=METHOD_NAMES, default="paa", help="how labels are assigned")
    command.add_argument("--network", choices=NETWORK_NAMES, default="r50", help="the network that learns")
    command.add_argument(
        "--teacher-network",
        choices=NETWORK_NAMES,
        help="CoLAD's second network (default: as --network); with LAD and SoLAD the checkpoint decides",
    )
    command.add_argument(
        "--teacher-checkpoint", type=Path, help="LAD and SoLAD: the teacher's checkpoint, written by colad train"
    )
    command.add_argument("--teacher-name", help="which network of the teacher's checkpoint; default: its first")
    command.add_argument(
        "--backbone-weights", type=Path, help="state dict of torchvision's classifier, for the backbone of --network"
    )
    command.add_argument("--teacher-backbone-weights", type=Path, help="the same for CoLAD's second network")
    command.add_argument("--iterations", type=int, default=TrainConfig.iterations, help="steps")
    command.add_argument("--batch", type=int, default=TrainConfig.batch, help="pictures a step")
    command.add_argument("--optimizer", choices=OPTIMIZERS, default=OptimizerConfig.name)
    command.add_argument("--lr", type=float, default=OptimizerConfig.lr, help="after the warm-up")
    command.add_argument("--weight-decay", type=float, default=OptimizerConfig.weight_decay)
    command.add_argument(
        "--schedule",
        choices=SCHEDULES,
        default=OptimizerConfig.schedule,
        help="step: /10 after 8/12 and 11/12 of the run",
    )
    command.add_argument(
        "--warmup",
        type=int,
        default=OptimizerConfig.warmup,
        help="iterations of linear warm-up, at most a tenth of all",
    )
    command.add_argument(
        "--clip-grad", type=float, default=OptimizerConfig.clip_grad, help="largest norm of all gradients together"
    )
    command.add_argument(
        "--resize",
        type=int,
        nargs=2,
        metavar=("SHORT", "LONG"),
        default=PAPER_RESIZE,
        help="shorter side, and what the longer one may not exceed; 0 0 leaves pictures as they are",
    )
    command.add_argument("--flip", type=float, default=TrainConfig.flip, help="probability of mirroring a picture")
    command.add_argument(
        "--degenerate",
        choices=DEGENERATE_POLICIES,
        default=DEGENERATE_POLICIES[0],
        help="boxes without area or outside their picture",
    )
    command.add_argument(
        "--eval-interval",
        type=int,
        default=TrainConfig.eval_interval,
        help="iterations between evaluations; 0: at the end only",
    )
    command.add_argument("--checkpoint-interval", type=int, default=TrainConfig.checkpoint_interval)
    command.add_argument("--log-interval", type=int, default=TrainConfig.log_interval)
    command.add_argument("--workers", type=int, default=TrainConfig.workers, help="processes that read pictures")
    command.add_argument("--seed", type=int, default=TrainConfig.seed)
    command.add_argument(
        "--resume", action="store_true", help="continue from OUTPUT/last.pt, with the other options as before"
    )
    _add_common(command)


def _add_eval(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("eval", help="average precision of a trained detector")
    command.set_defaults(run=run_eval)
    command.add_argument("--checkpoint", type=Path, required=True, help="written by colad train")
    command.add_argument(
        "--network-name", help="which network of the checkpoint (student, network1 ...); default: its first"
    )
    _add_data(command, "--data", required=True, what="data set")
    command.add_argument("--batch", type=int, default=16)
    command.add_argument("--workers", type=int, default=0)
    command.add_argument("--json", type=Path, help="file to write the metrics to")
    _add_common(command)


def _add_predict(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("predict", help="draw what a trained detector finds")
    command.set_defaults(run=run_predict)
    command.add_argument("pictures", nargs="+", type=Path, help="picture files, or folders of them")
    command.add_argument("--checkpoint", type=Path, required=True, help="written by colad train")
    command.add_argument("--network-name", help="which network of the checkpoint; default: its first")
    command.add_argument("--output", type=Path, required=True, help="folder for the drawn pictures and detections.json")
    command.add_argument("--score-threshold", type=float, default=0.3)
    _add_common(command)


def _add_demo(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("demo", help="watch PAA, LAD and CoLAD learn handwritten digits")
    command.set_defaults(run=run_demo_command)
    command.add_argument(
        "--full", action="store_true", help=f"{FULL_ITERATIONS:,} iterations a training instead of the short version"
    )
    command.add_argument("--output", type=Path, default=Path("runs/demo"), help="default: %(default)s")
    command.add_argument("--seed", type=int, default=DemoSettings.seed)
    command.add_argument(
        "--processes",
        type=int,
        choices=(1, 2),
        default=DemoSettings.processes,
        help="trainings at a time on a CPU; default: %(default)s",
    )
    _add_common(command)
