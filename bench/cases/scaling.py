"""The axes of the scaling bench: the number of anchors, objects, classes and images grows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

import colad_ops
from bench.cases.loss_training import training
from bench.measure.scaling import Axis
from bench.workload.batch import SMALL, make_workload, views
from bench.workload.candidates import cheapest_candidates, repeated

SIDES = (224, 704, 2208, 6944)  # pictures of about 1e3, 1e4, 1e5 and 1e6 anchors
OBJECTS = (1, 16, 100, 1_000, 10_000, 75_000)
CLASSES = (1, 8, 80, 365, 1_203)
BATCH = (1, 2, 4, 8, 16, 32)
MIXTURES = (58, 1_000, 10_000, 75_000)
OBJECTS_AN_IMAGE = 7
FEW_CLASSES = 16  # where they are not what grows


def assign_axis(against: str, size_of: Callable, workloads: Sequence[dict[str, int]]) -> Axis:
    def points():
        for sizes in workloads:
            w = make_workload(**sizes)
            yield size_of(w), lambda w=w: colad_ops.paa_assign(*w.assign_arguments())

    return Axis("paa_assign", against, points)


def axes(small: bool) -> list[Axis]:
    def first(sizes: Sequence[int]) -> Sequence[int]:
        return sizes[:2] if small else sizes

    picture = {k: SMALL[k] for k in ("height", "width")} if small else {"height": 800, "width": 1344}

    def mixtures():
        values, offsets = cheapest_candidates(make_workload(**{**SMALL, **picture}))
        for count in first(MIXTURES):
            yield count, lambda v=repeated(values, offsets, count): colad_ops.gmm_em(*v)

    def losses():
        for classes in first(CLASSES):
            w = make_workload(images=1, objects=OBJECTS_AN_IMAGE, classes=classes, **picture)
            logits, teacher = torch.cat(w.logits(), dim=1).requires_grad_(), torch.cat(views(w.teacher_maps), dim=1)
            yield classes, training(colad_ops.focal_kl_loss, logits, teacher)

    one = {"images": 1, "objects": OBJECTS_AN_IMAGE}
    sides = [{**one, "height": side, "width": side, "classes": 80} for side in first(SIDES)]
    objects = [{"images": 16, "objects": n, "classes": FEW_CLASSES, **picture} for n in first(OBJECTS)]
    classes = [{**one, "classes": n, **picture} for n in first(CLASSES)]
    batch = [{"images": n, "objects": OBJECTS_AN_IMAGE * n, "classes": 80, **picture} for n in first(BATCH)]
    return [
        assign_axis("anchors, one image of 7 objects", lambda w: len(w.anchors), sides),
        assign_axis("objects, 16 images", lambda w: len(w.gt_boxes), objects),
        assign_axis("classes, one image", lambda w: w.classes, classes),
        assign_axis("images of 7 objects", lambda w: w.images, batch),
        Axis("gmm_em", "objects", mixtures),
        Axis("focal_kl_loss", "classes, one image", losses),
    ]
