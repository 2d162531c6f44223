"""PAA and LAD in torchvision's own RetinaNet: a teacher learns with PAA's labels, then it assigns the labels of a
student with another backbone. Expected output of `python examples/torchvision_lad.py` (the figures depend on the
machine; with real pictures both start from ImageNet weights and train for longer):

    teacher (PAA)  step  0  classification 1.128  bbox_regression 0.878
    teacher (PAA)  step 20  classification 0.522  bbox_regression 0.870
    student (LAD)  step  0  classification 1.128  bbox_regression 0.980
    student (LAD)  step 20  classification 0.745  bbox_regression 0.690
"""

import torch
from squares import pictures
from torchvision.models.detection import RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from colad_ops.integrations.torchvision import patch

ANCHORS = {"sizes": ((16,), (32,), (64,)), "aspect_ratios": ((1.0,),) * 3}


def detector(backbone: str) -> RetinaNet:
    """Levels of stride 4, 8 and 16. Teacher and student have the same anchors."""
    features = resnet_fpn_backbone(
        backbone_name=backbone,
        weights=None,
        trainable_layers=5,
        returned_layers=[1, 2, 3],
        norm_layer=torch.nn.BatchNorm2d,
    )
    del features.fpn.extra_blocks  # no level of stride 32 from pooling
    features.fpn.extra_blocks = None
    return RetinaNet(features, num_classes=4, min_size=128, max_size=128, anchor_generator=AnchorGenerator(**ANCHORS))


def train(name: str, model: RetinaNet, steps: int) -> None:
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=2e-4)
    for step in range(steps):
        losses = model(*pictures(2, seed=step))
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        if step % 20 == 0:
            print(f"{name}  step {step:2}  " + "  ".join(f"{part} {value:.3f}" for part, value in losses.items()))


def main(steps: int = 21) -> None:
    torch.manual_seed(0)
    teacher = patch(detector("resnet34"))
    train("teacher (PAA)", teacher, steps)
    student = patch(detector("resnet18"), teacher=teacher)
    train("student (LAD)", student, steps)


if __name__ == "__main__":
    main()
