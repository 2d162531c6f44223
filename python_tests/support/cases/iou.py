"""Cases of ``box_iou`` and ``aligned_box_iou``."""

import torch

from colad_ops import aligned_box_iou, box_iou
from colad_ops.ops.iou import MODES, aligned_box_iou_reference, box_iou_reference
from python_tests.support.op_contract import Case
from python_tests.support.scenes import random_boxes

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
# (n, m) of matrices that CUDA's backward cuts into several blocks: of columns, of rows, of both, and the same with more
# rows than columns.
SHAPES = ((5, 300), (300, 5), (20, 30), (30, 20), (40, 150), (150, 40))
BATCHED_SHAPES = ((20, 150), (40, 9))
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
    kinks = KINKS + tuple(f"{n}_x_{m}" for n, m in (*SHAPES, *BATCHED_SHAPES))

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
            *(
                Case(f"{n}_x_{m}", boxes(n, 5).to(dtype), boxes(m, 6).to(dtype), mode=mode)
                for (n, m), mode, dtype in zip(SHAPES, (*MODES, "iou"), (*DTYPES, *DTYPES))
            ),
            *(
                Case(f"{n}_x_{m}", boxes(3 * n, 7).view(3, n, 4), boxes(3 * m, 8).view(3, m, 4), mode="iou")
                for n, m in BATCHED_SHAPES
            ),
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
