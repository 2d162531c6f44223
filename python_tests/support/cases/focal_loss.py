"""Cases of ``sigmoid_focal_loss``."""

import torch

from colad_ops import sigmoid_focal_loss
from colad_ops.ops.focal_loss import sigmoid_focal_loss_reference
from python_tests.support.loss_inputs import DTYPES, labels, layout_cases, rows, some_labels
from python_tests.support.op_contract import Case


class SigmoidFocalLossCases:
    operator, reference = staticmethod(sigmoid_focal_loss), staticmethod(sigmoid_focal_loss_reference)
    differentiable = (0,)

    @classmethod
    def cases(cls):
        x, y = rows(7, 5), labels(7, classes=5)
        return [
            *(Case(f"sum_{str(d)[6:]}", x.to(d), y, representative=d == torch.float32) for d in DTYPES),
            *(
                Case(f"none_{str(d)[6:]}", x.to(d), y, reduction="none", representative=d == torch.float32)
                for d in DTYPES
            ),
            Case("mean", x, y, reduction="mean"),
            Case("avg_factor", x, y, reduction="mean", avg_factor=torch.tensor(3.5), representative=True),
            Case("avg_factor_clamped", x, y, avg_factor=torch.tensor(0.0)),
            Case("weight_of_rows", x, y, weight=rows(7).abs(), representative=True),
            Case("weight_of_elements", x, y, weight=rows(7, 5).abs(), reduction="none"),
            Case("images", rows(2, 9, 5), labels(2, 9, classes=5), weight=rows(2, 9).abs()),
            Case("maps", rows(2, 5, 9).transpose(1, 2), labels(2, 9, classes=5), reduction="none", representative=True),
            Case(
                "four_dimensions",
                rows(2, 3, 4, 5),
                labels(2, 3, 4, classes=5),
                weight=rows(2, 3, 4).abs(),
                reduction="none",
            ),
            Case("gamma", x, y, gamma=0.7, alpha=0.6),
            Case("no_alpha", x, y, gamma=0.0, alpha=-1.0),
            Case("avg_factor_int64", x, y, avg_factor=torch.tensor(3)),
            Case("avg_factor_float64", x, y, avg_factor=torch.tensor(3.5, dtype=torch.float64), reduction="mean"),
            Case("avg_factor_float16", x, y, avg_factor=torch.tensor(3.5, dtype=torch.float16)),
            Case("avg_factor_inf", rows(41, 5), labels(41, classes=5), avg_factor=torch.inf),
            Case("more_than_a_chunk", rows(2000, 5), labels(2000, classes=5)),
            Case("one_class", rows(6, 1), labels(6, classes=1)),
            Case("empty", rows(0, 5), labels(0, classes=5), representative=True),
            *layout_cases(some_labels),
        ]
