"""Training, evaluation, checkpoints, logs."""

from .checkpoint import load_checkpoint, network_state, save_checkpoint
from .evaluate import CocoMetrics, coco_metrics, coco_results, detect, evaluate, evaluate_networks
from .log import JsonlLog, progress_bar
from .loss_window import LossWindow, TrainingDiverged
from .schedule import OptimizerConfig, build_optimizer, learning_rate
from .train import TrainConfig, TrainResult, train

__all__ = [
    "CocoMetrics",
    "JsonlLog",
    "LossWindow",
    "OptimizerConfig",
    "TrainConfig",
    "TrainResult",
    "TrainingDiverged",
    "build_optimizer",
    "coco_metrics",
    "coco_results",
    "detect",
    "evaluate",
    "evaluate_networks",
    "learning_rate",
    "load_checkpoint",
    "network_state",
    "progress_bar",
    "save_checkpoint",
    "train",
]
