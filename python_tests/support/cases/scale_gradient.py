"""Cases of ``scale_gradient_``."""

import torch

from colad_ops.ops.scale_gradient import scale_gradient_, scale_gradient_reference
from python_tests.support.loss_inputs import DTYPES, rows
from python_tests.support.op_contract import Case


def scaled(gradient, grad, aligned=True):
    """The operator on a copy. If it is not ``aligned``, its data start one element after the start of the memory."""
    if aligned:
        return scale_gradient_(gradient.clone(), grad)
    memory = gradient.new_empty(gradient.numel() + 1)[1:]
    return scale_gradient_(memory.view(gradient.shape).copy_(gradient), grad)


def scaled_reference(gradient, grad, aligned=True):
    return scale_gradient_reference(gradient.clone(), grad)


def number(value, gradient):
    return torch.tensor(value, dtype=torch.float64 if gradient.dtype == torch.float64 else torch.float32)


def with_odd_numbers(gradient):
    gradient[1, :3] = torch.tensor([torch.nan, torch.inf, -0.0], dtype=gradient.dtype)
    return gradient


class ScaleGradientCases:
    operator, reference = staticmethod(scaled), staticmethod(scaled_reference)

    @classmethod
    def cases(cls):
        for dtype in DTYPES:
            name = str(dtype)[6:]
            for factor in (1.0, 0.3, 0.0, -2.0, torch.inf, torch.nan):
                x = with_odd_numbers(rows(41, 5, dtype=dtype))
                yield Case(f"by_{factor}_{name}", x, number(factor, x), representative=dtype == torch.float32)
            for count in (0, 1, 3, 16, 4001):
                x = rows(count, dtype=dtype)
                yield Case(f"of_{count}_{name}", x, number(0.3, x))
                yield Case(f"of_{count}_misaligned_{name}", x, number(0.3, x), aligned=False)
        maps = rows(2, 5, 9).transpose(1, 2)
        yield Case("maps", maps, number(0.3, maps))
        yield Case("one_number", rows(1)[0], number(0.3, maps))
