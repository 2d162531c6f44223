"""Cases of ``gmm_em``."""

import torch

from colad_ops import gmm_em
from colad_ops.ops.gmm_em import gmm_em_reference
from python_tests.support.op_contract import Case


def segments(lengths, seed=0, dtype=torch.float32):
    """Costs as in an assignment: a cheap group and an expensive group."""
    generator = torch.Generator().manual_seed(seed)
    values = [
        torch.randn(n, generator=generator) * 0.2 + torch.randint(0, 2, (n,), generator=generator) * 1.5 + 1
        for n in lengths
    ]
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    return torch.cat(values).to(dtype) if lengths else torch.zeros(0, dtype=dtype), offsets


def with_last(lengths, value):
    """Segments of one group, in which the last value is another one. The last segment is as it was."""
    values, offsets = segments(lengths, 4)
    values = 1 + 0.1 * (values - values.round())
    values[offsets[1:-1] - 1] = value
    return values, offsets


class GmmEmCases:
    operator, reference = staticmethod(gmm_em), staticmethod(gmm_em_reference)

    @classmethod
    def cases(cls):
        exact = {"tolerance": 1e-8}  # computed in float64 for every dtype; iterations amplify the last digits
        lengths = [20, 0, 1, 2, 3, 45, 200, 19]
        return [
            # opcheck does not accept NaN, and an empty segment gives NaN.
            Case("nothing_empty", *segments([20, 1, 9]), covariance="tied", representative=True, **exact),
            *(
                Case(f"{c}_{str(d)[6:]}", *segments(lengths, dtype=d), covariance=c, **exact)
                for c in ("full", "diag", "spherical", "tied")
                for d in (torch.float32, torch.float64, torch.float16, torch.bfloat16)
            ),
            Case("few_iterations", *segments(lengths, 1), max_iter=2, **exact),
            Case("many_iterations", *segments(lengths, 2), tol=1e-7, max_iter=60, tolerance=1e-6),
            # One value a lane, two a lane, more.
            Case("around_a_warp", *segments([31, 32, 33, 63, 64, 65, 96, 97], 3), **exact),
            Case("outlier", *with_last([20, 40, 70], 9.0), **exact),
            *(Case(f"a_value_is_{bad}", *with_last([20, 40, 70, 9], float(bad))) for bad in ("nan", "inf", "-inf")),
            Case("values_of_no_segment", segments([60])[0], torch.tensor([7, 30, 51]), **exact),
            Case("no_segments", torch.zeros(0), torch.tensor([0]), representative=True),
            Case("empty_segments", torch.zeros(0), torch.tensor([0, 0, 0])),
        ]
