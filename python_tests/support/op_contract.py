"""Laws that every operator obeys. A class in ``support/cases`` names the operator, its reference and a factory of
cases. A test class adds the laws.

class BoxIouCases:
    operator, reference = staticmethod(box_iou), staticmethod(box_iou_reference)

    @classmethod
    def cases(cls): return [Case("pairs", boxes1, boxes2, mode="giou"), ...]

class TestBoxIou(BoxIouCases, GradientContract):
    pass
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

from python_tests.support.heap import bytes_left_behind


class Case:
    """Arguments of one call. The slow laws (compile, opcheck) run only on ``representative`` cases."""

    def __init__(
        self, case_name: str, *args: Any, representative: bool = False, tolerance: float | None = None, **kwargs: Any
    ):
        self.name, self.args, self.kwargs = case_name, args, kwargs
        self.representative, self.tolerance = representative, tolerance

    def map(self, function: Callable[[Tensor], Tensor]) -> Case:
        args, kwargs = tree_map_only(Tensor, function, (self.args, self.kwargs))
        return Case(self.name, *args, representative=self.representative, tolerance=self.tolerance, **kwargs)

    def call(self, function: Callable) -> Any:
        return function(*self.args, **self.kwargs)

    def tensors(self) -> list[Tensor]:
        return [x for x in tree_flatten((self.args, self.kwargs))[0] if isinstance(x, Tensor)]


class RecordOperators(TorchDispatchMode):
    """Collects the ``torch.ops.colad`` calls that a public function makes."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple, dict]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "colad":
            self.calls.append((func, args, kwargs or {}))
        return func(*args, **(kwargs or {}))


def tensors_of(result: Any) -> list[Tensor]:
    return [x for x in tree_flatten(result)[0] if isinstance(x, Tensor)]


def strided(tensor: Tensor) -> Tensor:
    """The same values with gaps between them: every second element of the last dimension of a wider tensor."""
    if tensor.dim() == 0:
        return tensor
    wide = torch.zeros((*tensor.shape, 2), dtype=tensor.dtype)
    wide[..., 0] = tensor
    return wide[..., 0]


def copy_of_storage(tensor: Tensor) -> Tensor:
    """A copy with the same strides and the same distance from the start of the allocation."""
    copy = tensor.untyped_storage().clone()
    return tensor.new_empty(0).set_(copy, tensor.storage_offset(), tensor.shape, tensor.stride())


def assert_same(actual: Any, expected: Any, rtol: float = 0.0, atol: float = 0.0) -> None:
    actual, expected = tensors_of(actual), tensors_of(expected)
    for i, (a, e) in enumerate(zip(actual, expected, strict=True)):
        torch.testing.assert_close(
            a.cpu(), e.cpu(), rtol=rtol, atol=atol, equal_nan=True, msg=lambda m, i=i: f"output {i}: {m}"
        )


# Results may differ from the reference by rounding: a few units in the last place of the compute dtype, or one unit in
# the last place of a half type.
TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}


class OpContract:
    operator: Callable
    reference: Callable

    @classmethod
    def cases(cls) -> list[Case]:
        raise NotImplementedError

    @classmethod
    def cases_of(cls, law: str) -> list[Case]:
        """The cases for a law: all cases, or a few if the law is slow to test."""
        slow = (
            "test_leaves_no_memory_behind",
            "test_opcheck",
            "test_compiles_with_fullgraph",
            "test_no_host_sync_with_fake_tensors",
            "test_no_host_sync_on_cuda",
        )
        return [case for case in cls.cases() if case.representative or law not in slow]

    def tolerance(self, case: Case) -> float:
        if case.tolerance is not None:
            return case.tolerance
        dtypes = {x.dtype for x in case.tensors() if x.is_floating_point()}
        return max((TOLERANCE[dtype] for dtype in dtypes), default=0.0)

    def requires_grad(self, tensor: Tensor) -> bool:
        return False

    def test_equals_reference(self, case: Case) -> None:
        tolerance = self.tolerance(case)
        assert_same(case.call(self.operator), case.call(self.reference), rtol=tolerance, atol=tolerance)

    def test_does_not_depend_on_strides(self, case: Case) -> None:
        assert_same(case.map(strided).call(self.operator), case.call(self.operator))

    def test_leaves_inputs_alone_and_repeats_bit_for_bit(self, case: Case) -> None:
        copy = case.map(torch.clone)
        threads = torch.get_num_threads()
        first = case.call(self.operator)
        try:
            torch.set_num_threads(1 if threads > 1 else 2)
            assert_same(case.call(self.operator), first)
        finally:
            torch.set_num_threads(threads)
        assert_same(case.tensors(), copy.tensors())

    def test_results_have_memory_of_their_own(self, case: Case) -> None:
        """A result that is kept or saved to a file takes no other memory with it."""
        inputs = {x.untyped_storage().data_ptr() for x in case.tensors()}
        results = [x for x in tensors_of(case.call(self.operator)) if x.numel() > 0]
        made = [x for x in results if x.untyped_storage().data_ptr() not in inputs]
        assert len({x.untyped_storage().data_ptr() for x in made}) == len(made)
        assert [x.untyped_storage().nbytes() for x in made] == [x.numel() * x.element_size() for x in made]

    def exercise(self, case: Case) -> None:
        case.call(self.operator)

    def test_leaves_no_memory_behind(self, case: Case) -> None:
        assert bytes_left_behind(lambda: self.exercise(case)) < 16  # the smallest piece that malloc gives has 24

    def test_opcheck(self, case: Case) -> None:
        with RecordOperators() as record:
            case.call(self.operator)
        assert record.calls
        for func, args, kwargs in record.calls:
            args = tree_map_only(Tensor, lambda x: x.detach().clone().requires_grad_(self.requires_grad(x)), args)
            torch.library.opcheck(func, args, kwargs)

    def test_cuda_equals_cpu(self, case: Case, cuda: torch.device) -> None:
        tolerance = self.tolerance(case)
        on_device = case.map(lambda x: x.to(cuda))
        assert_same(on_device.call(self.operator), case.call(self.operator), rtol=tolerance, atol=tolerance)
        assert_same(on_device.call(self.operator), on_device.call(self.operator))


class NoSyncContract(OpContract):
    """Laws of every operator except ``batched_nms``, whose output size depends on the data."""

    def test_compiles_with_fullgraph(self, case: Case) -> None:
        torch._dynamo.reset()
        compiled = torch.compile(self.operator, fullgraph=True, dynamic=True, backend="aot_eager")
        assert_same(case.call(compiled), case.call(self.operator))

    def test_no_host_sync_with_fake_tensors(self, case: Case) -> None:
        """Fake tensors have no data to read, so a host sync in Python code raises here."""
        with FakeTensorMode() as mode:
            fake = case.map(mode.from_tensor).call(self.operator)
        real = case.call(self.operator)
        for f, r in zip(tensors_of(fake), tensors_of(real), strict=True):
            assert f.shape == r.shape and f.dtype == r.dtype

    def test_no_host_sync_on_cuda(self, case: Case, cuda: torch.device) -> None:
        on_device = case.map(lambda x: x.to(cuda))
        torch.cuda.set_sync_debug_mode("error")
        try:
            on_device.call(self.operator)
        finally:
            torch.cuda.set_sync_debug_mode("default")


class GradientContract(NoSyncContract):
    """Laws of the differentiable operators."""

    differentiable: tuple[int, ...]
    """Indices of the arguments that have a gradient."""
    kinks: tuple[str, ...] = ()
    """Cases for which differences are no reference for gradients: the function has no derivative there, or there are
    too many values."""

    @classmethod
    def cases_of(cls, law: str) -> list[Case]:
        cases = super().cases_of(law)
        return [case for case in cases if case.name not in cls.kinks] if law == "test_gradcheck_in_double" else cases

    def requires_grad(self, tensor: Tensor) -> bool:
        return tensor.is_floating_point()

    def gradients(self, case: Case, function: Callable) -> tuple[Tensor, ...]:
        leaves = [case.args[i].clone().requires_grad_() for i in self.differentiable]
        args = list(case.args)
        for i, leaf in zip(self.differentiable, leaves, strict=True):
            args[i] = leaf
        result = function(*args, **case.kwargs)
        # Every output has a different weight, so that exchanged gradients are detected.
        weights = torch.linspace(0.5, 1.5, result.numel(), dtype=torch.float64).to(result.dtype).view(result.shape)
        return torch.autograd.grad((result * weights).sum(), leaves)

    def exercise(self, case: Case) -> None:
        self.gradients(case, self.operator)

    def test_gradient_equals_reference(self, case: Case) -> None:
        tolerance = self.tolerance(case)
        ours, reference = self.gradients(case, self.operator), self.gradients(case, self.reference)
        assert_same(ours, reference, rtol=tolerance, atol=4 * tolerance)

    def test_gradcheck_in_double(self, case: Case) -> None:
        args = [x.double() if isinstance(x, Tensor) and x.is_floating_point() else x for x in case.args]
        for i in self.differentiable:
            args[i] = args[i].clone().requires_grad_()
        assert torch.autograd.gradcheck(lambda *a: self.operator(*a, **case.kwargs), args, atol=1e-5, rtol=1e-4)
