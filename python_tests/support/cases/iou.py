"""Cases of ``box_iou`` and ``aligned_box_iou``."""

import torch

from colad_ops import aligned_box_iou, box_iou
from colad_ops.ops.iou import MODES, aligned_box_iou_reference, box_iou_reference
from python_tests.support.op_contract import Case
from python_tests.support.scenes import random_boxes

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
# Differences do not give the derivative at tied corners, nor for CIoU: its alpha is a constant in the derivative, but
# not in differences.
KINKS = tuple(f"special_{mode}" for mode in MODES) + tuple(f"ciou_{str(dtype)[6:]}" for dtype in DTYPES)


def boxes(count, seed, size=100.0):
    return random_boxes(torch.Generator().manual_seed(seed), count, size)


def special() -> torch.Tensor:
    """Identical, touching, nested, empty, inverted and far apart boxes."""
    rows = [
        (0, 0, 10, 10),
        (0, 0, 10, 10),
        (10, 0, 20, 10),
        (2, 2, 5, 5),
        (3, 3, 3, 3),
        (3, 3, 3, 9),
        (9, 9, 1, 1),
        (500, 0, 510, 9),
    ]
    return torch.tensor(rows, dtype=torch.float32)


class BoxIouCases:
    operator, reference = staticmethod(box_iou), staticmethod(box_iou_reference)
    differentiable = (0, 1)
    kinks = KINKS

    @classmethod
    def cases(cls):
        yield_cases = [
            Case(
                f"{mode}_{str(dtype)[6:]}",
                boxes(9, 1).to(dtype),
                boxes(7, 2).to(dtype),
                mode=mode,
                representative=dtype == torch.float32,
            )
            for mode in MODES
            for dtype in DTYPES
        ]
        yield_cases += [Case(f"special_{mode}", special(), special(), mode=mode) for mode in MODES]
        yield_cases += [
            Case("batched", boxes(12, 3).view(3, 4, 4), boxes(15, 4).view(3, 5, 4), mode="giou", representative=True),
            Case("broadcast", boxes(8, 3).view(2, 1, 4, 4), boxes(15, 4).view(3, 5, 4), mode="iou"),
            Case("no_rows", boxes(0, 1), boxes(3, 2), mode="giou", representative=True),
            Case("no_columns", boxes(3, 1), boxes(0, 2), mode="giou"),
        ]
        return yield_cases


class AlignedBoxIouCases:
    operator, reference = staticmethod(aligned_box_iou), staticmethod(aligned_box_iou_reference)
    differentiable = (0, 1)
    kinks = KINKS

    @classmethod
    def cases(cls):
        pairs = [(a, b) for a in range(8) for b in range(8)]
        first, second = special()[[a for a, _ in pairs]], special()[[b for _, b in pairs]]
        return [
            *(
                Case(
                    f"{mode}_{str(dtype)[6:]}",
                    boxes(20, 1).to(dtype),
                    boxes(20, 2).to(dtype),
                    mode=mode,
                    representative=dtype == torch.float32,
                )
                for mode in MODES
                for dtype in DTYPES
            ),
            *(Case(f"special_{mode}", first, second, mode=mode) for mode in MODES),
            Case("batched", boxes(12, 3).view(3, 4, 4), boxes(12, 4).view(3, 4, 4), mode="diou", representative=True),
            Case("broadcast", boxes(4, 3), boxes(12, 4).view(3, 4, 4), mode="iou"),
            Case("empty", boxes(0, 1), boxes(0, 2), mode="ciou"),
        ]
