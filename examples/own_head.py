"""PAA in a head of one's own: `HeadAssigner` gives it labels, boxes and the normaliser. Expected output of
`python examples/own_head.py` (the figures depend on the machine):

    step   0  loss_cls 0.973  loss_box 0.471  positives 60
    step  25  loss_cls 0.283  loss_box 0.437  positives 105
    step  50  loss_cls 0.216  loss_box 0.431  positives 97
"""

import torch
from squares import pictures
from torch import nn

from colad_ops import decode_boxes, sigmoid_focal_loss
from colad_ops.detection import AnchorGrid, HeadAssigner, flatten_maps


class OwnHead(nn.Module):
    def __init__(self, channels: int, classes: int, strides: tuple[int, ...]) -> None:
        super().__init__()
        self.classes, self.grid = classes, AnchorGrid(strides, scale=4)
        self.class_output, self.box_output = nn.Conv2d(channels, classes, 1), nn.Conv2d(channels, 4, 1)
        nn.init.constant_(self.class_output.bias, -4.0)
        self.assigner = HeadAssigner(classes)

    def loss(self, pyramid: list[torch.Tensor], targets: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        anchors = self.grid([features.shape[-2:] for features in pyramid], pyramid[0].device).boxes
        logits = flatten_maps([self.class_output(features) for features in pyramid], self.classes)
        boxes = decode_boxes(anchors, flatten_maps([self.box_output(features) for features in pyramid], 4))
        taught = self.assigner(logits, boxes, anchors, targets)
        levels = zip(logits, taught.per_level(taught.labels))
        loss_cls = sum(sigmoid_focal_loss(*level, reduction="sum", avg_factor=taught.num_pos) for level in levels)
        loss_box = ((1 - taught.iou(boxes, mode="giou")) * taught.positive).sum() / taught.num_pos
        return {"loss_cls": loss_cls, "loss_box": loss_box, "positives": taught.num_pos}


def main(steps: int = 51) -> None:
    torch.manual_seed(0)
    stem = nn.Sequential(nn.Conv2d(3, 32, 8, 8), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU())
    coarser = nn.Sequential(nn.Conv2d(32, 32, 2, 2), nn.ReLU())
    network = nn.ModuleList([stem, coarser, OwnHead(32, classes=4, strides=(8, 16))])
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for step in range(steps):
        images, targets = pictures(4, seed=step)
        fine = stem(torch.stack(images))
        losses = network[2].loss([fine, coarser(fine)], targets)
        optimizer.zero_grad()
        (losses["loss_cls"] + losses["loss_box"]).backward()
        optimizer.step()
        if step % 25 == 0:
            cls, box, positives = (value.item() for value in losses.values())
            print(f"step {step:3}  loss_cls {cls:.3f}  loss_box {box:.3f}  positives {positives:.0f}")


if __name__ == "__main__":
    main()
