"""The options of an assignment, and presets that reproduce other implementations ("codes")."""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import Any

import torch

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
    """How :func:`colad_ops.paa_assign` assigns. The default is the paper, without the known defects of other codes.

    The constructor raises ValueError for a value that is not allowed. The message names the field and the value.
    """

    iou_threshold: float = 0.1
    """An anchor is a candidate of its best object if their IoU is at least this."""
    low_quality: str = "all"
    """Which object gets an anchor whose IoU equals an object's best IoU: see :func:`colad_ops.match_anchors`."""
    ignore_iof: float = 0.5
    """An unmatched anchor is ignored if at least this share of its area lies in an ignore (crowd) box."""
    topk: int = 9
    """Number of cheapest candidates that are kept for each object and level."""
    alpha: float = 0.25
    """Alpha of the focal loss in the cost."""
    gamma: float = 2.0
    """Gamma of the focal loss in the cost."""
    box_cost: str = "iou"
    """Box term of the cost: ``1 - IoU``, or ``1 -`` another mode of :func:`colad_ops.box_iou`."""
    box_weight: float = 1.0
    """Weight of the box term in the cost."""
    covariance: str = "full"
    """Covariance type of the mixture. With ``"tied"`` both components share one variance. The other types are the same
    in one dimension."""
    max_iter: int = 100
    """Largest number of EM iterations of the mixture: see :func:`colad_ops.gmm_em`."""
    tol: float = 1e-3
    """EM stops when the mean log-likelihood changes by less than this."""
    reg_covar: float = 1e-6
    """Added to every variance of the mixture."""
    split: str = "peak"
    """``"peak"``: positives are the candidates from the cheapest up to the cut, which is the component-0 candidate of
    highest mixture likelihood (the first of equal ones). ``"posterior"``: positives are all component-0 candidates.
    ``"band"``: as ``"peak"``, and the remaining component-0 candidates are ignored (``-2``)."""
    single_candidate: str = "keep"
    """The only candidate of an object is positive (``"keep"``) or background (``"drop"``)."""
    no_component0: str = "all"
    """Positives of an object without a component-0 candidate: all its candidates (``"all"``) or none (``"none"``)."""
    prefix: bool = True
    """True: all candidates up to the cut are positive, so the cheapest candidate is always positive (also with
    ``split="posterior"``, which has no cut). False: only component-0 candidates can be positive."""
    claim_zero_overlap: bool = False
    """True: an object that overlaps no anchor takes every anchor with which its IoU is 0 (a defect of other codes)."""
    inclusive_corners: bool = False
    """True: matching reads ``x2, y2`` as the last pixel inside the box (width ``x2 - x1 + 1``)."""

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
        fields = self._options(tuple(_DEFAULTS))
        changed = {name: x for name, x in fields.items() if (type(x), x) != (type(_DEFAULTS[name]), _DEFAULTS[name])}
        object.__setattr__(self, "_changed", changed)

    def matching_options(self) -> dict[str, Any]:
        """The fields that :func:`colad_ops.match_anchors` takes."""
        return self._options(_MATCHING)

    def cost_options(self) -> dict[str, Any]:
        """The fields that :func:`colad_ops.assign_cost` takes."""
        return self._options(_COST)

    def mixture_options(self) -> dict[str, Any]:
        """The fields that :func:`colad_ops.gmm_em` takes."""
        return self._options(_MIXTURE)

    def split_options(self) -> dict[str, Any]:
        """The fields that ``torch.ops.colad.split_candidates`` takes. They include those of the mixture."""
        return self._options(_SPLIT)

    @property
    def changed_options(self) -> dict[str, Any]:
        """The fields that a call of ``torch.ops.colad.paa_assign`` has to name: those that differ from the defaults of
        its schema. torch takes about 0.3 us for each option that is named."""
        return dict(self._changed)  # type: ignore[attr-defined]

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy is made by the constructor: another version may have other defaults."""
        names = tuple(field.name for field in dataclasses.fields(self))
        return functools.partial(type(self), **self._options(names)), ()

    def _options(self, names: tuple[str, ...]) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names}

    @classmethod
    def mmdet(cls, **changes: Any) -> AssignConfig:
        """Reproduces mmdetection's ``PAAHead`` and ``LADHead`` (2.10 to 3.3) with their COCO configurations, including
        these known differences from the paper or defects ("warts"):

        - the box cost is ``1.3 * (1 - GIoU)``; the default is the paper's ``1 - IoU``;
        - an object with a single candidate gets no positive; the default keeps it;
        - an object without a component-0 candidate gets no positive; the default keeps all its candidates;
        - component-1 candidates cheaper than the cut are background, even the cheapest candidate; by default all
          candidates up to the cut are positive;
        - an object that overlaps no anchor takes every anchor with which its IoU is 0 from the objects before it; by
          default it gets no anchor;
        - crowd boxes have no effect (``ignore_iof_thr=-1``), so anchors inside them are background; by default these
          anchors are ignored.

        Not reproduced:

        - scikit-learn fits float32 values there, and cancellation makes it raise or changes labels; here the fit is in
          float64;
        - an image without objects or candidates is handled differently there; here it is background;
        - areas of inverted boxes are not clamped at 0 there, and its IoU clamps a union or hull to at least 1e-6.

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
        """Reproduces the LAD authors' code (``PAA_LAD_Head`` at commit f21f89e, on mmdetection 2.10). It has all the
        warts of :meth:`mmdet`, and assigns from the teacher's predictions. ``changes`` override single fields.

        The base of the authors' other heads, ``StandardizedPAAHead``, keeps a single candidate. This is
        ``official_lad(single_candidate="keep")``.
        """
        return cls.mmdet(**changes)

    @classmethod
    def official_colad(cls, **changes: Any) -> AssignConfig:
        """Reproduces the LAD authors' ``PAA_CoLAD_StdMean_Head`` (commit f21f89e). Use it in
        :func:`colad_ops.colad_assign` with ``granularity="object_level"`` and ``predictions = (student, teacher)``. It
        has all the warts of :meth:`mmdet`, and two more:

        - a network is chosen for each object and level, so one mixture may contain costs of both networks. (This is the
          ``granularity``. Its default ``"iteration"`` is the paper's: one network for the whole batch.)
        - a single candidate on a level has no ``sigma``; there the network of lower cost wins.

        Not reproduced:

        - if a fit raises from float32 cancellation, its object gets no positives there; here the fit is in float64;
        - an image without candidates, or with at most one on each level, raises there; here its objects are assigned
          like all others.

        ``changes`` override single fields.
        """
        return cls.mmdet(**changes)

    @classmethod
    def kkhoot(cls, **changes: Any) -> AssignConfig:
        """Reproduces the PAA authors' code (``PAALossComputation`` at commit 13d5721) with its COCO configuration,
        including these warts:

        - anchors and objects are matched with inclusive corners (width ``x2 - x1 + 1``); the default width is
          ``x2 - x1``. The GIoU of the cost uses ``x2 - x1`` there too, on the same corners;
        - the box cost is ``1 - GIoU``, without the factor 1.3 of their loss; the default is the paper's ``1 - IoU``;
        - an anchor below the threshold whose IoU equals an object's best IoU is matched to the anchor's own best
          object, which may be another one; by default it is matched to the object whose best anchor it is;
        - an object that overlaps no anchor makes every anchor with which its IoU is 0 a candidate of that anchor's own
          best object; by default it changes no anchor;
        - crowd boxes are not read, so anchors inside them are background; by default these anchors are ignored.

        As by default, a single candidate is kept, an object without a component-0 candidate keeps all its candidates,
        and all candidates up to the cut are positive.

        Not reproduced:

        - scikit-learn fits float32 values there; here the fit is in float64;
        - an image without objects raises there.

        ``changes`` override single fields.
        """
        preset = cls(
            low_quality="own", ignore_iof=math.inf, box_cost="giou", claim_zero_overlap=True, inclusive_corners=True
        )
        return dataclasses.replace(preset, **changes)


def _fields_of(operator: str) -> dict[str, Any]:
    """The fields that ``torch.ops.colad.<operator>`` takes, as its schema names them, with the defaults there."""
    fields = {field.name for field in dataclasses.fields(AssignConfig)}
    arguments = getattr(torch.ops.colad, operator).default._schema.arguments
    return {argument.name: argument.default_value for argument in arguments if argument.name in fields}


_MATCHING = tuple(_fields_of("match_anchors"))
_COST = tuple(_fields_of("assign_cost"))
_MIXTURE = tuple(_fields_of("gmm_em"))
_SPLIT = tuple(_fields_of("split_candidates"))
_DEFAULTS = _fields_of("paa_assign")
