"""Label assignment for object detectors, and its distillation, as fast, exact, batched operators.

=====================  =====================================================
``colad_ops``          this package
``libcolad_ops.so``    the compiled library: Python-free, CPU and CUDA code
``torch.ops.colad``    the namespace in which its operators are registered
=====================  =====================================================
"""

from colad_ops._library import build_info
from colad_ops.assignment import Assignment
from colad_ops.config import AssignConfig
from colad_ops.debug import set_debug
from colad_ops.ops.assign_cost import assign_cost
from colad_ops.ops.colad_assign import CoAssignment, colad_assign
from colad_ops.ops.decode_boxes import decode_boxes
from colad_ops.ops.focal_kl import focal_kl_loss
from colad_ops.ops.focal_loss import sigmoid_focal_loss
from colad_ops.ops.gmm_em import GaussianMixture2, gmm_em
from colad_ops.ops.iou import aligned_box_iou, box_iou
from colad_ops.ops.match_anchors import Match, match_anchors
from colad_ops.ops.matched_iou import matched_box_iou
from colad_ops.ops.nms import batched_nms
from colad_ops.ops.paa_assign import paa_assign
from colad_ops.ops.score_voting import VotedBoxes, score_voting
from colad_ops.ops.split_candidates import CostStatistics, cost_statistics, split_candidates
from colad_ops.ragged import ragged

__version__ = build_info()["version"]

__all__ = [
    "AssignConfig",
    "Assignment",
    "CoAssignment",
    "CostStatistics",
    "GaussianMixture2",
    "Match",
    "VotedBoxes",
    "aligned_box_iou",
    "assign_cost",
    "batched_nms",
    "box_iou",
    "build_info",
    "colad_assign",
    "cost_statistics",
    "decode_boxes",
    "focal_kl_loss",
    "gmm_em",
    "match_anchors",
    "matched_box_iou",
    "paa_assign",
    "ragged",
    "score_voting",
    "set_debug",
    "sigmoid_focal_loss",
    "split_candidates",
]
