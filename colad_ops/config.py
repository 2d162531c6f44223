"""The options of an assignment, and presets that reproduce other codes."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

_CHOICES = {
    "low_quality": ("all", "own", "none"),
    "box_cost": ("iou", "giou", "diou", "ciou"),
    "covariance": ("full", "diag", "spherical", "tied"),
    "split": ("peak", "posterior", "band"),
    "single_candidate": ("keep", "drop"),
    "no_component0": ("all", "none"),
}


@dataclass(frozen=True)
class AssignConfig:
    """How :func:`colad_ops.paa_assign` assigns; the default is the paper with the known defects of the codes mended.

    Raises ValueError, naming the field and the value got, when constructed with a value that does not exist.
    """

    iou_threshold: float = 0.1
    """An anchor of at least this IoU with its best object is a candidate of it."""
    low_quality: str = "all"
    """Who gets an anchor that ties an object's best IoU: see :func:`colad_ops.match_anchors`."""
    ignore_iof: float = 0.5
    """An unmatched anchor with this share of it in an ignore (crowd) box is ignored."""
    topk: int = 9
    """Cheapest candidates kept of each object and level."""
    alpha: float = 0.25
    """Of the focal loss in the cost."""
    gamma: float = 2.0
    """Of the focal loss in the cost."""
    box_cost: str = "iou"
    """``1 - IoU``, or ``1 -`` another mode of :func:`colad_ops.box_iou`."""
    box_weight: float = 1.0
    """Of the box term in the cost."""
    covariance: str = "full"
    """Of the mixture; ``"tied"`` shares the variance, the others are the same in one dimension."""
    max_iter: int = 100
    tol: float = 1e-3
    reg_covar: float = 1e-6
    split: str = "peak"
    """``"peak"``: positives are the candidates from the cheapest up to the component-0 candidate of highest mixture
    likelihood (the first of equals). ``"posterior"``: every component-0 candidate. ``"band"``: as peak, and the
    remaining component-0 candidates are ignored (``-2``)."""
    single_candidate: str = "keep"
    """Whether an object's only candidate is positive (``"keep"``) or background (``"drop"``)."""
    no_component0: str = "all"
    """What is positive of an object without a component-0 candidate: all its candidates, or none."""
    prefix: bool = True
    """True: everything up to the cut is positive, and always the cheapest candidate. False: only component-0 candidates
    are."""
    claim_zero_overlap: bool = False
    """True: an object that overlaps no anchor takes every anchor of IoU 0 (a defect of other codes)."""
    inclusive_corners: bool = False
    """True: the IoU of matching reads ``x2, y2`` as the last pixel inside (width ``x2 - x1 + 1``)."""

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise ValueError(f"{name} should be one of {', '.join(choices)}, got {value!r}")
        if self.topk < 1:
            raise ValueError(f"topk should be >= 1, got {self.topk}")
        if self.max_iter < 1:
            raise ValueError(f"max_iter should be >= 1, got {self.max_iter}")
        if self.max_iter > 1_000_000:  # with tol=0 every fit runs to max_iter
            raise ValueError(f"max_iter should be <= 1000000, got {self.max_iter}")
        for name in ("gamma", "tol", "reg_covar"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} should be >= 0, got {getattr(self, name)}")
        if not self.alpha <= 1:
            raise ValueError(f"alpha should be <= 1 (negative: no weighting by class), got {self.alpha}")
        for name in ("gamma", "reg_covar", "box_weight"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} should be finite, got {getattr(self, name)}")
        for name in ("iou_threshold", "ignore_iof"):
            if math.isnan(getattr(self, name)):
                raise ValueError(f"{name} should be a number, got {getattr(self, name)}")

    def matching_options(self) -> dict[str, Any]:
        """The fields that :func:`colad_ops.match_anchors` takes."""
        return self._options("iou_threshold", "low_quality", "ignore_iof", "claim_zero_overlap", "inclusive_corners")

    def cost_options(self) -> dict[str, Any]:
        """The fields that :func:`colad_ops.assign_cost` takes."""
        return self._options("alpha", "gamma", "box_cost", "box_weight")

    def mixture_options(self) -> dict[str, Any]:
        """The fields that :func:`colad_ops.gmm_em` takes."""
        return self._options("covariance", "max_iter", "tol", "reg_covar")

    def split_options(self) -> dict[str, Any]:
        """The fields that ``torch.ops.colad.split_candidates`` takes, those of the mixture among them."""
        of_split = self._options("topk", "split", "single_candidate", "no_component0", "prefix")
        return of_split | self.mixture_options()

    def _options(self, *names: str) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names}

    @classmethod
    def mmdet(cls, **changes: Any) -> AssignConfig:
        """What mmdetection's ``PAAHead`` and ``LADHead`` (2.10 to 3.3) do with their COCO configurations, warts
        included:

        - the box cost is ``1.3 * (1 - GIoU)``; the default is the paper's ``1 - IoU``;
        - an object with a single candidate gets no positive; the default keeps it;
        - an object without a component-0 candidate gets no positive; the default keeps all its candidates;
        - component-1 candidates cheaper than the cut are background, the cheapest too; the default keeps the prefix;
        - an object that overlaps no anchor takes every anchor of IoU 0 from the objects before it; the default gives it
          none;
        - crowd boxes count for nothing (``ignore_iof_thr=-1``), anchors inside are background; the default ignores
          them.

        Not reproduced: scikit-learn fits float32 values there, whose cancellation raises or changes labels (here in
        float64); an image without objects or candidates, which is simply background here; areas of inverted boxes,
        which are not cut at 0 there, and the 1e-6 below which its IoU cuts a union or hull.

        ``changes`` override single fields, e.g. ``AssignConfig.mmdet(topk=20)``.
        """
        preset = cls(
            ignore_iof=math.inf,
            covariance="diag",
            box_cost="giou",
            box_weight=1.3,
            single_candidate="drop",
            no_component0="none",
            prefix=False,
            claim_zero_overlap=True,
        )
        return dataclasses.replace(preset, **changes)

    @classmethod
    def official_lad(cls, **changes: Any) -> AssignConfig:
        """What the LAD authors' code does (``PAA_LAD_Head`` at commit f21f89e, on mmdetection 2.10): all of
        :meth:`mmdet`'s warts, for the teacher's predictions. ``changes`` override single fields.

        Their ``StandardizedPAAHead``, the base of their other heads, keeps a single candidate:
        ``official_lad(single_candidate="keep")``.
        """
        return cls.mmdet(**changes)

    @classmethod
    def official_colad(cls, **changes: Any) -> AssignConfig:
        """What the LAD authors' ``PAA_CoLAD_StdMean_Head`` does (commit f21f89e), for :func:`colad_ops.colad_assign`
        with ``granularity="object_level"`` and ``predictions = (student, teacher)``: all of :meth:`mmdet`'s warts, and

        - each object and level is assigned by a network of its own, so that costs of both meet in one mixture (the
          ``granularity``; its default ``"iteration"`` is the paper's: one network for the whole batch);
        - one candidate on a level has no ``sigma``: the network of lower cost wins there.

        Not reproduced: a fit that raises from float32 cancellation leaves its object without positives there (here it
        is fitted in float64); an image without candidates, or with one a level at most, raises there (here its objects
        are assigned like any other's). ``changes`` override single fields.
        """
        return cls.mmdet(**changes)

    @classmethod
    def kkhoot(cls, **changes: Any) -> AssignConfig:
        """What the PAA authors' code does (``PAALossComputation`` at commit 13d5721) with its COCO configuration, warts
        included:

        - anchors and objects are matched with inclusive corners (width ``x2 - x1 + 1``); the default measures from edge
          to edge. The cost's GIoU measures from edge to edge there too, on the same corners;
        - the box cost is ``1 - GIoU``, without the 1.3 of their loss; the default is the paper's ``1 - IoU``;
        - an anchor below the threshold that ties an object's best IoU gets its own best object, maybe another; the
          default gives it to the object whose best it is;
        - an object that overlaps no anchor makes every anchor of IoU 0 with it a candidate of that anchor's own best
          object; the default gives none;
        - crowd boxes are never seen, anchors inside are background; the default ignores them.

        Like the default, a single candidate is kept, an object without a component-0 candidate keeps all, and all
        candidates up to the cut are positive. Not reproduced: scikit-learn's fit of float32 values (here in float64);
        an image without objects, which raises there. ``changes`` override single fields.
        """
        preset = cls(
            low_quality="own", ignore_iof=math.inf, box_cost="giou", claim_zero_overlap=True, inclusive_corners=True
        )
        return dataclasses.replace(preset, **changes)
