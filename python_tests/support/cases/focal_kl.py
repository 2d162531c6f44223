"""Cases of ``focal_kl_loss``."""

import torch

from colad_ops import focal_kl_loss
from colad_ops.ops.focal_kl import focal_kl_loss_reference
from python_tests.support.loss_inputs import DTYPES, layout_cases, maps, misaligned, other_logits, rows
from python_tests.support.op_contract import Case


class FocalKlLossCases:
    operator, reference = staticmethod(focal_kl_loss), staticmethod(focal_kl_loss_reference)
    differentiable = (0,)

    @classmethod
    def cases(cls):
        x, t = rows(7, 5), rows(7, 5, seed=1)
        p = t.sigmoid()
        return [
            *(Case(f"sum_{str(d)[6:]}", x.to(d), t.to(d), representative=d == torch.float32) for d in DTYPES),
            *(
                Case(f"none_{str(d)[6:]}", x.to(d), t.to(d), reduction="none", representative=d == torch.float32)
                for d in DTYPES
            ),
            Case("probabilities", x, p, teacher_is_logits=False, representative=True),
            *(Case(f"gamma_{g}", x, t, gamma=g) for g in (0.0, 0.5, 1.0, 1.7, 3.0)),
            Case("smooth", x, t, gamma=0.5, smooth=1e-6),
            Case("mean", x, t, reduction="mean"),
            Case("avg_factor", x, t, reduction="mean", avg_factor=13.5),
            Case("weight_of_rows", x, t, weight=rows(7).abs(), representative=True),
            Case("weight_of_elements", x, t, weight=rows(7, 5).abs(), reduction="none"),
            Case("maps", rows(2, 5, 9).transpose(1, 2), rows(2, 9, 5, seed=1), reduction="none", representative=True),
            Case(
                "four_dimensions",
                rows(2, 3, 4, 5),
                rows(2, 3, 4, 5, seed=1),
                weight=rows(2, 3, 4, 5).abs(),
                reduction="none",
            ),
            Case("avg_factor_int64", x, t, avg_factor=torch.tensor(3)),
            Case("avg_factor_float64", x, t, avg_factor=torch.tensor(3.5, dtype=torch.float64), reduction="mean"),
            Case("avg_factor_float16", x, t, avg_factor=torch.tensor(3.5, dtype=torch.float16)),
            Case("avg_factor_inf", rows(41, 5), rows(41, 5, seed=1), avg_factor=torch.inf),
            Case("more_than_a_chunk", rows(2000, 5), rows(2000, 5, seed=1)),
            Case("empty", rows(0, 5), rows(0, 5), representative=True),
            *layout_cases(other_logits),
            Case("weight_in_another_order", maps(2, 16, 24), maps(2, 16, 24, seed=1), weight=rows(2, 24, 16).abs()),
            Case("teacher_in_another_order", rows(24, 16), rows(16, 24, seed=1).t()),
            Case("misaligned_teacher", rows(41, 5), misaligned(rows(41, 5, seed=1))),
            Case("misaligned_weight", rows(41, 5), rows(41, 5, seed=1), weight=misaligned(rows(41, 5).abs())),
        ]
