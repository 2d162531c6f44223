"""Code that the golden sets of assignments (``paa_assign``, ``colad_assign``, ``kkhoot_assign``) share: the inputs as
tensors, the recorded outcome, and the reasons why an ill-conditioned object may differ."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from colad_ops import Assignment
from python_tests.golden import golden_sets

INPUTS = (
    ("strides", "feat_hw", "level_sizes", "num_classes", "topk", "covariance_type", "mode", "batch_hw", "pad_shape")
    + ("anchors", "valid", "cls_logits", "bbox_deltas", "iou_logits", "gt_boxes", "gt_labels", "gt_offsets", "gt_kind")
    + ("student_mode", "teacher_mode", "teacher_is_prob", "t_cls")
    + tuple(f"{network}_{key}" for network in "st" for key in ("cls_logits", "bbox_deltas", "iou_logits"))
)
"""Keys of the inputs of the references, in any of the sets."""


def decode(anchors: np.ndarray, deltas: np.ndarray) -> Tensor:
    """Decodes deltas ``(..., A, 4)`` with standard deviations (.1, .1, .2, .2) on anchors ``(A, 4)`` to xyxy boxes. The
    computation is in float64 and rounded to float32."""
    anchors, deltas = anchors.astype(np.float64), deltas.astype(np.float64) * (0.1, 0.1, 0.2, 0.2)
    size = anchors[:, 2:] - anchors[:, :2]
    centre = (anchors[:, 2:] + anchors[:, :2]) / 2 + size * deltas[..., :2]
    limit = abs(math.log(16 / 1000))
    half = size * np.exp(deltas[..., 2:].clip(-limit, limit)) / 2
    return torch.from_numpy(np.concatenate([centre - half, centre + half], axis=-1)).float()


class GoldenCase:
    """A file of one of the sets. ``case["key"]`` is a recorded array; attributes are the inputs of the operators."""

    def __init__(self, name: str) -> None:
        self.arrays = golden_sets.load(name)
        self.gt_boxes = torch.from_numpy(self["gt_boxes"])
        self.gt_labels = torch.from_numpy(self["gt_labels"]).long()
        self.gt_offsets = torch.from_numpy(self["gt_offsets"]).long()
        self.level_sizes = self["level_sizes"].tolist()
        self.objects = len(self.gt_boxes)

    def __getitem__(self, key: str) -> np.ndarray:
        return self.arrays[key]

    @staticmethod
    def inputs(arrays: dict[str, np.ndarray]) -> list[str]:
        """The keys of the inputs of the reference."""
        return [key for key in INPUTS if key in arrays]

    @property
    def ground_truth(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.gt_boxes, self.gt_labels, self.gt_offsets

    @cached_property
    def anchors(self) -> Tensor:
        return torch.from_numpy(self["anchors"])

    @cached_property
    def valid(self) -> Tensor:
        """``(B, A)``. If it was not recorded, every anchor is valid."""
        return torch.from_numpy(self.arrays.get("valid", np.ones(self["pre_gt_index"].shape, dtype=bool)))

    def global_rows(self, local: np.ndarray) -> np.ndarray:
        """Converts indices of objects within their image ``(B, A)``, -1 without an object, to rows over all images."""
        return np.where(local >= 0, local.astype(np.int64) + self["gt_offsets"][:-1, None], -1)

    def local_rows(self, rows: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`global_rows`."""
        return np.where(rows >= 0, rows - self["gt_offsets"][:-1, None], -1)

    def as_assignment(self, rows: np.ndarray) -> Assignment:
        """An assignment of the anchors ``(B, A)`` to these objects."""
        return Assignment(torch.from_numpy(rows), *[None] * 7, self.gt_boxes, self.gt_labels)

    @cached_property
    def matched(self) -> np.ndarray:
        """``(B, A)``: the recorded pre-assignment."""
        return self.global_rows(self["pre_gt_index"])

    def assigned(self, labels: np.ndarray) -> np.ndarray:
        """``(B, A)``: rows of the objects of the positives in the recorded final labels, -1 elsewhere."""
        return np.where((labels >= 0) & (labels != self["num_classes"]), self.matched, -1)

    @cached_property
    def candidates(self) -> tuple[np.ndarray, np.ndarray]:
        """Image and anchor ``(K,)`` of each candidate, as an index into ``(B, A)``."""
        images = np.repeat(np.arange(len(self["cand_offsets"]) - 1), np.diff(self["cand_offsets"]))
        return images, self["cand_anchor"]

    def spread(self, costs: np.ndarray) -> Tensor:
        """Converts the costs of the candidates ``(K,)`` to ``(B, A)``, infinite elsewhere."""
        spread = np.full(self.matched.shape, np.inf, dtype=np.float32)
        spread[self.candidates] = costs
        return torch.from_numpy(spread)

    def cost_tolerance(self, costs: np.ndarray) -> np.ndarray:
        """``(K,)``: 1e-5 absolute and relative. It is 1e-4 for boxes with a side under 12 pixels far from 0, because
        their corners are rounded."""
        boxes = self["gt_boxes"][self.matched[self.candidates]]
        thin = (boxes[:, 2:] - boxes[:, :2]).min(axis=1) < 12
        return np.where(thin & (boxes.max(axis=1) > 500), 1e-4, 1e-5) + 1e-5 * np.abs(costs)


@dataclass
class Outcome:
    """The recorded results of the reference for every object, for one loss."""

    case: GoldenCase
    rows: np.ndarray
    """``(B, A)``: object of each positive in the float32 run (in the float64 run where float32 raised), -1
    elsewhere."""
    rows_fp64: np.ndarray
    flip_eps: np.ndarray
    """``(G,)``: smallest relative noise on the costs that changed the object's positives; inf if none did."""
    prefix: str
    """Prefix of the keys of the recorded fits."""

    def differing(self, found: np.ndarray) -> dict[int, str]:
        """The objects that own other anchors in ``found (B, A)`` than in the float32 run, each with the reason why
        rounding allows this for an ill-conditioned object, or ``"unexplained"``."""
        as_float64 = ~_differing(found, self.rows_fp64, self.case.objects)
        count = np.bincount(found[found >= 0], minlength=self.case.objects)
        return {
            int(row): "as the float64 run" if as_float64[row] else self._why(row, int(count[row]))
            for row in np.flatnonzero(_differing(found, self.rows, self.case.objects))
        }

    def _why(self, row: int, num_pos: int) -> str:
        fits = np.flatnonzero(self.case[f"{self.prefix}gmm_gt"] == row)
        if len(fits) == 0:
            return "unexplained"
        at = slice(*self.case[f"{self.prefix}gmm_offsets"][fits[0] : fits[0] + 2])
        cheap = self.case[f"{self.prefix}gmm_component"][at] == 0
        recorded = self.case[f"{self.prefix}gmm_num_pos"][fits[0]]
        if cheap.sum() == 2 and abs(num_pos - recorded) <= 1:
            return "two samples make the component"
        likelihood = self.case[f"{self.prefix}gmm_score"][at][cheap]
        tie = 0 < num_pos <= len(likelihood) and likelihood.max() - likelihood[num_pos - 1] < 1e-8
        return "equal likelihoods" if tie else "unexplained"


def _differing(found: np.ndarray, wanted: np.ndarray, objects: int) -> np.ndarray:
    differs = np.zeros(objects + 1, dtype=bool)  # the last place is -1's
    at = found != wanted
    differs[found[at]] = differs[wanted[at]] = True
    return differs[:objects]
