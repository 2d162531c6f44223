"""Detectors as plain modules.

Networks (backbone, neck, head) map pictures to predictions; methods (PAA, LAD, SoLAD, CoLAD) train them.
"""

from .anchors import AnchorGrid, Anchors
from .box_coder import DeltaCoder
from .build import NETWORK_NAMES, build_network
from .colad import CoLAD
from .fpn import FPN
from .head import PAAHead
from .head_assigner import HeadAssigner, HeadTargets, flatten_maps
from .lad import LAD, SoLAD
from .losses import PAALoss
from .method import Method
from .network import DetectionNetwork
from .paa import PAA
from .postprocess import Detections, PostProcess
from .predictions import Predictions
from .resnet import BasicBlock, Bottleneck, ResNet
from .soft_label import SoftLabelLoss
from .targets import Targets

__all__ = [
    "AnchorGrid",
    "Anchors",
    "BasicBlock",
    "Bottleneck",
    "CoLAD",
    "DeltaCoder",
    "DetectionNetwork",
    "Detections",
    "FPN",
    "HeadAssigner",
    "HeadTargets",
    "LAD",
    "Method",
    "NETWORK_NAMES",
    "PAA",
    "PAAHead",
    "PAALoss",
    "PostProcess",
    "Predictions",
    "ResNet",
    "SoLAD",
    "SoftLabelLoss",
    "Targets",
    "build_network",
    "flatten_maps",
]
