"""The gradient that the losses compute in the forward pass equals the gradient from backward, for every use of it, and
takes one tensor."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from colad_ops import focal_kl_loss, sigmoid_focal_loss
from colad_ops.ops.focal_kl import focal_kl_loss_reference
from colad_ops.ops.focal_loss import sigmoid_focal_loss_reference
from python_tests.support.op_contract import RecordOperators, assert_same

CLASSES = 5


def inputs(rows: int = 41, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, logits of a teacher, labels."""
    generator = torch.Generator().manual_seed(0)
    x, teacher = (torch.randn(rows, CLASSES, generator=generator, dtype=torch.float64).to(dtype) for _ in range(2))
    return x.requires_grad_(), teacher, torch.randint(-2, CLASSES + 1, (rows,), generator=generator)


def focal_kl(x: Tensor, teacher: Tensor, labels: Tensor, reference: bool = False, **options) -> Tensor:
    return (focal_kl_loss_reference if reference else focal_kl_loss)(x, teacher, **options)


def focal(x: Tensor, teacher: Tensor, labels: Tensor, reference: bool = False, **options) -> Tensor:
    return (sigmoid_focal_loss_reference if reference else sigmoid_focal_loss)(x, labels, **options)


LOSSES = pytest.mark.parametrize("loss", [focal_kl, focal])
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
SUMS = [
    {},
    {"reduction": "mean"},
    {"avg_factor": 7.3},
    {"avg_factor": torch.tensor(41.0)},
    {"avg_factor": torch.tensor(11.0, dtype=torch.float64), "reduction": "mean"},
    {"avg_factor": torch.tensor(7)},
    {"avg_factor": 0.2},
    {"gamma": 1.3},
]


def operators_of(function: Callable[[], object]) -> list[str]:
    with RecordOperators() as record:
        function()
    return [func._schema.name.partition("::")[2] for func, _, _ in record.calls]


@LOSSES
@DTYPES
@pytest.mark.parametrize("options", SUMS, ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_the_backward_of_every_element_and_the_reference(loss, dtype, options, weighted):
    x, teacher, labels = inputs(dtype=dtype)
    options = {**options, "weight": torch.arange(len(x)) % 4 / 2} if weighted else options
    total = loss(x, teacher, labels, **options)
    assert operators_of(total.backward) == ["scale_gradient_"]  # by 1: backward had nothing to compute
    rest = {key: value for key, value in options.items() if key not in ("reduction", "avg_factor")}
    y = x.detach().clone().requires_grad_()
    every = loss(y, teacher, labels, **rest, reduction="none")
    scale = float(total.detach() / every.detach().sum())
    every.sum().backward()
    eps = torch.finfo(dtype).eps
    assert_same(x.grad, scale * y.grad, rtol=64 * eps, atol=eps)
    z = x.detach().clone().requires_grad_()
    reference = loss(z, teacher, labels, reference=True, **options)
    reference.backward()
    assert_same((total, x.grad), (reference, z.grad), rtol=2e-5, atol=2e-5)
    assert_same(loss(x.detach(), teacher, labels, **options), total)


@LOSSES
@pytest.mark.parametrize("options", SUMS, ids=str)
@pytest.mark.parametrize("factor", [2.0, -0.3, 0.0, 1.0])
def test_a_gradient_of_the_loss_that_was_not_expected(loss, options, factor):
    x, teacher, labels = inputs()
    (expected,) = torch.autograd.grad(loss(x, teacher, labels, **options), x)
    (found,) = torch.autograd.grad(factor * loss(x, teacher, labels, **options), x)
    assert_same(found, factor * expected, rtol=1e-6, atol=1e-9)


@LOSSES
def test_no_gradient_is_computed_without_need(loss):
    x, teacher, labels = inputs()
    plain = ["focal_kl_loss"] if loss is focal_kl else ["sigmoid_focal_loss"]
    assert operators_of(lambda: loss(x.detach(), teacher, labels)) == plain
    with torch.no_grad():
        assert operators_of(lambda: loss(x, teacher, labels)) == plain
    assert operators_of(lambda: loss(x, teacher, labels, reduction="none")) == plain
    assert operators_of(lambda: loss(x.bfloat16(), teacher.bfloat16(), labels)) == plain  # it might round to 0


@LOSSES
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_on_a_device_bfloat16_is_saved_too(loss, dtype):
    """Tensors without data stand for those of a device: their values cannot be known, so nothing may wait for one."""
    x, teacher, labels = (t.detach().to("meta", dtype if t.is_floating_point() else None) for t in inputs())
    name = "focal_kl_loss" if loss is focal_kl else "sigmoid_focal_loss"
    saved = dtype != torch.float16
    factor = torch.tensor(3, device="meta")
    x.requires_grad_()
    with RecordOperators() as record:
        loss(x, teacher, labels, avg_factor=factor).backward()
    found = [func._schema.name.partition("::")[2] for func, _, _ in record.calls]
    assert found == ([f"{name}_and_gradient", "scale_gradient_"] if saved else [name, f"{name}_backward"])
    assert x.grad.dtype == dtype and x.grad.shape == x.shape


@LOSSES
def test_a_divisor_on_another_device_divides_afterwards(loss):
    """A kernel on a device cannot read a scalar of the host; torch's division can."""
    x, teacher, labels = (t.detach().to("meta") for t in inputs())
    names = operators_of(lambda: loss(x.requires_grad_(), teacher, labels, avg_factor=torch.tensor(3.0)).backward())
    assert names[1:] == ["scale_gradient_"]


@LOSSES
def test_a_graph_may_be_walked_again_and_its_gradient_changed(loss):
    """The receiver of the gradient owns it. An optimizer may change it in place, and this must not affect the next
    backward."""
    x, teacher, labels = inputs()
    total = loss(x, teacher, labels, avg_factor=3.0)
    total.backward(retain_graph=True)
    once = x.grad.clone()
    for times in (2, 3, 4):
        total.backward(retain_graph=True)
        assert_same(x.grad, times * once, rtol=1e-6)
    x.grad.zero_()
    total.backward(retain_graph=True)
    assert_same(x.grad, once, rtol=1e-6)
    x.grad = None
    total.backward()
    assert_same(x.grad, once, rtol=1e-6)


@LOSSES
def test_a_loss_used_twice_and_two_losses(loss):
    x, teacher, labels = inputs()
    (once,) = torch.autograd.grad(loss(x, teacher, labels), x)
    total = loss(x, teacher, labels)
    assert_same(torch.autograd.grad(total + 3 * total, x)[0], 4 * once, rtol=1e-6)
    both = loss(x, teacher, labels) + loss(x, teacher, labels)
    assert_same(torch.autograd.grad(both, x)[0], 2 * once, rtol=1e-6)
    batch = torch.autograd.grad(loss(x, teacher, labels), x, torch.tensor([1.0, 0.5]), is_grads_batched=True)
    assert_same(batch[0], torch.stack([once, once / 2]), rtol=1e-6)


@LOSSES
def test_a_logit_that_is_not_a_leaf_and_one_changed_in_place(loss):
    x, teacher, labels = inputs()
    (once,) = torch.autograd.grad(loss(x, teacher, labels), x)
    assert_same(torch.autograd.grad(loss(2 * x / 2, teacher, labels), x)[0], once, rtol=1e-6)
    y = x.detach().clone().requires_grad_()
    z = y * 1
    total = loss(z, teacher, labels)
    z.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(total, y, retain_graph=True)
        torch.autograd.grad(total, y)


@LOSSES
def test_a_second_derivative_of_the_sum_is_refused(loss):
    x, teacher, labels = inputs()
    (gradient,) = torch.autograd.grad(loss(x, teacher, labels), x, create_graph=True)
    with pytest.raises(RuntimeError, match="is differentiable once, got a request for its second derivative"):
        gradient.square().sum().backward()


@LOSSES
@pytest.mark.parametrize("options", SUMS, ids=str)
def test_compiles_with_its_backward(loss, options):
    x, teacher, labels = inputs()

    def step(x: Tensor) -> Tensor:
        return 0.5 * loss(x, teacher, labels, **options)

    (expected,) = torch.autograd.grad(step(x), x)
    torch._dynamo.reset()
    compiled = torch.compile(step, fullgraph=True, dynamic=True, backend="aot_eager")
    assert_same(torch.autograd.grad(compiled(x), x)[0], expected, rtol=1e-6, atol=1e-9)


@LOSSES
def test_weight_zero_silences_nan(loss):
    x, teacher, labels = inputs()
    weight = torch.ones(len(x))
    weight[3] = 0
    (expected,) = torch.autograd.grad(loss(x, teacher, labels, weight=weight), x)
    spoilt = x.detach().clone()
    spoilt[3] = torch.nan
    spoilt.requires_grad_()
    assert_same(torch.autograd.grad(loss(spoilt, teacher, labels, weight=weight), spoilt)[0], expected)


@LOSSES
@pytest.mark.parametrize("maps", [False, True])
def test_same_bits_at_any_number_of_threads(loss, maps):
    """There are enough elements for several threads."""
    x, teacher, labels = (t.detach() for t in inputs(rows=60_000))
    if maps:
        x, teacher = (t.t().contiguous().t() for t in (x, teacher))
    x.requires_grad_()
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            total = loss(x, teacher, labels)
            results.append((total, *torch.autograd.grad(total, x)))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert_same(other, results[0])


@LOSSES
@pytest.mark.parametrize("grad", [None, torch.tensor(0.25)])
def test_opcheck(loss, grad):
    x, teacher, labels = inputs(rows=6)
    with RecordOperators() as record:
        loss(x, teacher, labels, weight=torch.rand(6))
    ((func, args, _),) = record.calls
    logits, *others = [a.detach().clone() for a in args[:3]]  # and the target and the weight
    torch.library.opcheck(func, (logits.requires_grad_(), *others, copy.copy(grad)))


@LOSSES
def test_a_divisor_of_every_element_is_refused(loss):
    x, teacher, labels = inputs()
    with RecordOperators() as record:
        loss(x, teacher, labels)
    ((func, args, _),) = record.calls
    with pytest.raises(RuntimeError, match=r"avg_factor should have shape \(\), got \(41, 5\)"):
        func(*args[:2], avg_factor_tensor=torch.ones_like(teacher))


def peak_of_allocations(function: Callable[[], object]) -> int:
    """Largest increase of allocated bytes, from the profiler's record of every allocation and release."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        kept = function()
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    del kept
    return peak


@LOSSES
@pytest.mark.parametrize("options", SUMS[:5], ids=str)
def test_forward_and_backward_take_one_tensor(loss, options):
    """The one tensor of the size of the logits is the gradient itself."""
    x, teacher, labels = inputs(rows=20_000)
    loss(x, teacher, labels, **options).backward()
    x.grad = None
    peak = peak_of_allocations(lambda: loss(x, teacher, labels, **options).backward())
    size = x.numel() * x.element_size()
    assert size <= peak <= 1.01 * size, peak / size
