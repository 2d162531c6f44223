"""Times one operator against the same computation in torch, by `torch.utils.benchmark`. Expected output of
`python examples/time_an_operator.py` (the figures depend on the machine):

    [ IoU of 58 objects and 22400 anchors ]
                       |  1 thread
    1 threads: -------------------
          colad_ops    |     0.5
          eager torch  |    23.4
"""

import torch
from torch.utils.benchmark import Compare, Timer

from colad_ops import box_iou


def eager_iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    overlap = (torch.minimum(a[:, None, 2:], b[:, 2:]) - torch.maximum(a[:, None, :2], b[:, :2])).clamp(min=0).prod(2)
    area_a, area_b = ((boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (a, b))
    return overlap / (area_a[:, None] + area_b - overlap)


def boxes(count: int) -> torch.Tensor:
    corner = torch.rand(count, 2) * 700
    return torch.cat([corner, corner + 20 + torch.rand(count, 2) * 100], dim=1)


def main(objects: int = 58, anchors: int = 22_400) -> None:
    torch.manual_seed(0)
    a, b = boxes(objects), boxes(anchors)
    torch.testing.assert_close(box_iou(a, b), eager_iou(a, b))
    results = []
    for name, function in {"colad_ops": box_iou, "eager torch": eager_iou}.items():
        timer = Timer(
            "function(a, b)",
            globals={"function": function, "a": a, "b": b},
            label=f"IoU of {objects} objects and {anchors} anchors",
            sub_label=name,
            description="1 thread",
            num_threads=1,
        )
        results.append(timer.blocked_autorange(min_run_time=0.5))
    Compare(results).print()


if __name__ == "__main__":
    main()
