"""What a check works with, and what stops one that this machine cannot run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench.workload.batch import SMALL, Workload, make_workload
from gpu_checks.device import AnyDevice

FULL = {"images": 16, "objects": 117, "height": 800, "width": 1344, "classes": 80}


class CouldNotRun(Exception):
    """This machine cannot run the check; the message is the reason."""


@dataclass(frozen=True)
class Context:
    device: AnyDevice
    dry: bool
    folder: Path
    """Of the results."""

    @cached_property
    def workload(self) -> Workload:
        """Of 16 images, on the CPU; tiny in a dry run."""
        return make_workload(**self.sizes)

    @property
    def sizes(self) -> dict[str, int]:
        return SMALL if self.dry else FULL

    def sized(self, images: int, objects: int) -> Workload:
        """With so many images and objects; in a dry run only as many as fit into a moment."""
        if self.dry:
            images, objects = min(images, SMALL["images"]), min(objects, 5 * SMALL["objects"])
        return make_workload(**{**self.sizes, "images": images, "objects": objects})
