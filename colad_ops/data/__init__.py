"""Reads pictures and COCO json into padded batches."""

from .annotations import Annotations, ImageRecord, read_annotations
from .coco import CocoDetection, Pick, Sample
from .loader import Batch, Collate, TrainingPicks, evaluation_loader, training_loader
from .pictures import IMAGENET_MEAN, IMAGENET_STD, denormalise, normalise, open_picture, resize_picture

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Annotations",
    "Batch",
    "CocoDetection",
    "Collate",
    "ImageRecord",
    "Pick",
    "Sample",
    "TrainingPicks",
    "denormalise",
    "evaluation_loader",
    "normalise",
    "open_picture",
    "read_annotations",
    "resize_picture",
    "training_loader",
]
