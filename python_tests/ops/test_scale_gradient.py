import pytest
import torch

from colad_ops.ops.scale_gradient import scale_gradient_
from python_tests.support.cases.scale_gradient import ScaleGradientCases
from python_tests.support.loss_inputs import rows
from python_tests.support.op_contract import NoSyncContract

ONE = torch.tensor(1.0)


class TestScaleGradient(ScaleGradientCases, NoSyncContract):
    @classmethod
    def cases_of(cls, law):
        # Gaps are refused, and the result is the argument itself.
        others = ("test_does_not_depend_on_strides", "test_results_have_memory_of_their_own")
        return [] if law in others else super().cases_of(law)


@pytest.mark.parametrize(
    ("gradient", "grad", "message"),
    [
        (rows(3, 4)[:, :2], ONE, "gradient should have no gaps in memory, got shape (3, 2)"),
        (rows(3, 1).expand(3, 4), ONE, "gradient should have no gaps in memory, got shape (3, 4)"),
        (rows(3, 4).long(), ONE, "gradient should be float32, float64, float16 or bfloat16, got Long"),
        (rows(3, 4), torch.ones(1), "grad should have shape (), got (1,)"),
        (rows(3, 4), ONE.double(), "grad should have dtype Float, got Double"),
        (rows(3, 4).double(), ONE, "grad should have dtype Double, got Float"),
    ],
)
def test_the_error_is(gradient, grad, message):
    with pytest.raises(RuntimeError) as error:
        scale_gradient_(gradient, grad)
    assert str(error.value).startswith(message)


def test_returns_the_gradient_itself():
    gradient = rows(3, 4)
    assert scale_gradient_(gradient, torch.tensor(2.0)) is gradient
    assert gradient.equal(2 * rows(3, 4))


def test_dimensions_of_one_element_have_any_stride():
    gradient = rows(4, 3).as_strided((1, 4, 1, 3), (7, 3, 0, 1))
    assert scale_gradient_(gradient, torch.tensor(2.0)).equal(2 * rows(4, 3).view(1, 4, 1, 3))
