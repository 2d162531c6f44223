"""What the demo trains, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

from ..data.digits import DigitsConfig
from ..engine import OptimizerConfig, TrainConfig

FULL_ITERATIONS = 1000
# A step of the teacher takes almost three times as long as a student's, and the teacher learns much faster: the short
# version gives it fewer steps.
SHORT_ITERATIONS = 550
SHORT_TEACHER_ITERATIONS = 350


@dataclass(frozen=True)
class DemoSettings:
    """How long the trainings are; the rest of the recipe is the same for all of them."""

    iterations: int
    """Of each training except the teacher's."""
    teacher_iterations: int
    seed: int = 0
    """Decides the weights and the order of the pictures; the data set is the same for every seed."""
    batch: int = 16
    evaluations: int = 2
    """Evaluations of each training, the last one included."""
    data: DigitsConfig = DigitsConfig()
    processes: int = 2
    """2: two trainings at a time on the CPU. Two small networks on a core each are faster than one on both cores.
    1, or on a GPU: one training after the other."""

    def __post_init__(self) -> None:
        if self.processes not in (1, 2):
            raise ValueError(f"processes should be 1 or 2, got {self.processes}")

    def train_config(self, *, teacher: bool) -> TrainConfig:
        """AdamW with warm-up and cosine schedule. No mirroring: a mirrored 2 is not a digit."""
        iterations = self.teacher_iterations if teacher else self.iterations
        optimizer = OptimizerConfig("adamw", lr=3e-3, weight_decay=0.02, schedule="cosine", warmup=50)
        return TrainConfig(
            iterations,
            self.batch,
            optimizer,
            flip=0.0,
            seed=self.seed,
            eval_interval=-(-iterations // self.evaluations),
            checkpoint_interval=iterations,
        )


def demo_settings(
    *, full: bool, seed: int = DemoSettings.seed, processes: int = DemoSettings.processes
) -> DemoSettings:
    """The short version, or the full one."""
    if full:
        return DemoSettings(FULL_ITERATIONS, FULL_ITERATIONS, seed, evaluations=5, processes=processes)
    return DemoSettings(SHORT_ITERATIONS, SHORT_TEACHER_ITERATIONS, seed, processes=processes)
