import pytest
import torch
from op_contract import Case, GradientContract, RecordOperators

import colad_ops
from colad_ops import focal_kl_loss, sigmoid_focal_loss
from colad_ops.ops.focal_kl import focal_kl_loss_reference
from colad_ops.ops.focal_loss import sigmoid_focal_loss_reference

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def rows(*shape, seed=0, dtype=torch.float32, scale=3.0):
    return (torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale).to(dtype)


def labels(*shape, classes, seed=0):
    return torch.randint(-2, classes + 1, shape, generator=torch.Generator().manual_seed(seed))


def maps(images, columns, anchors, seed=0, dtype=torch.float32):
    """(images, anchors, columns) as it lies in an NCHW map."""
    return rows(images, columns, anchors, seed=seed, dtype=dtype).transpose(1, 2)


def weights_of_maps(kind, columns, anchors, dtype):
    """A weight of rows, or of elements that lie as the maps do; some are 0."""
    weight = rows(2, anchors) if kind == "rows" else maps(2, columns, anchors)
    return weight.clamp(min=0).to(torch.float64 if dtype == torch.float64 else torch.float32)


def misaligned(tensor):
    """The same values and order in memory, but off by one element from where the allocator begins."""
    memory = tensor.new_empty(tensor.untyped_storage().nbytes() // tensor.element_size() + 1)
    return memory.as_strided(tensor.shape, tensor.stride(), 1).copy_(tensor)


def some_labels(logits):
    return labels(*logits.shape[:-1], classes=logits.shape[-1])


def other_logits(logits):
    """Laid out alike, but aligned."""
    return torch.empty_like(logits).copy_(rows(*logits.shape, seed=1))


MAPS = ((16, 24, "rows"), (16, 24, "elements"), (5, 24, "rows"), (7, 13, "rows"), (8, 13, "rows"))
"""Columns, anchors, what the weight is of: whole packs and not, in either direction."""


def layout_cases(second):
    """How logits may lie in memory, which decides how a kernel walks them: on CUDA packs of 16 bytes, with and without a
    rest, within a row and across rows. ``second(logits)`` is the other argument."""
    for dtype in DTYPES:
        name = str(dtype)[6:]
        for reduction in ("none", "sum"):
            for shape in ((37, 16), (41, 5), (3, 1)):
                x = rows(*shape, dtype=dtype)
                yield Case(f"{reduction}_of_packs_{shape[0]}x{shape[1]}_{name}", x, second(x), reduction=reduction)
            for columns, anchors, kind in MAPS:
                x = maps(2, columns, anchors, dtype=dtype)
                yield Case(
                    f"{reduction}_of_maps_{columns}x{anchors}_{kind}_{name}",
                    x,
                    second(x),
                    weight=weights_of_maps(kind, columns, anchors, dtype),
                    reduction=reduction,
                )
        x = misaligned(rows(41, 5, dtype=dtype))
        yield Case(f"misaligned_{name}", x, second(x))
    x = rows(2, 24, 16)[:, :12]
    yield Case("part_of_every_image", x, second(x))
    x = maps(2, 16, 1800)
    yield Case("sum_of_maps_of_many_chunks", x, second(x))
    x = rows(2001, 5).double()
    yield Case("sum_of_packs_and_a_rest_of_many_chunks", x, second(x))
    x = rows(41, 5)
    yield Case("packs_weight_of_rows", x, second(x), weight=rows(41).abs())
    yield Case("packs_weight_of_elements", x, second(x), weight=rows(41, 5).abs())


class LossContract(GradientContract):
    # A sum adds in the order of memory: that of a map may differ from that of rows in its last bits. The many elements
    # of these cases would be slow to differentiate one by one, in double whatever their dtype.
    not_for = {
        "test_does_not_depend_on_strides": ("sum_of_maps",),
        "test_gradcheck_in_double": ("_of_maps", "_of_packs"),
    }

    @classmethod
    def cases_of(cls, law):
        return [case for case in super().cases_of(law) if not any(x in case.name for x in cls.not_for.get(law, ()))]


class TestSigmoidFocalLoss(LossContract):
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
            Case("more_than_a_chunk", rows(2000, 5), labels(2000, classes=5)),
            Case("one_class", rows(6, 1), labels(6, classes=1)),
            Case("empty", rows(0, 5), labels(0, classes=5), representative=True),
            *layout_cases(some_labels),
        ]


class TestFocalKlLoss(LossContract):
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
            Case("more_than_a_chunk", rows(2000, 5), rows(2000, 5, seed=1)),
            Case("empty", rows(0, 5), rows(0, 5), representative=True),
            *layout_cases(other_logits),
            Case("weight_in_another_order", maps(2, 16, 24), maps(2, 16, 24, seed=1), weight=rows(2, 24, 16).abs()),
            Case("teacher_in_another_order", rows(24, 16), rows(16, 24, seed=1).t()),
            Case("misaligned_teacher", rows(41, 5), misaligned(rows(41, 5, seed=1))),
            Case("misaligned_weight", rows(41, 5), rows(41, 5, seed=1), weight=misaligned(rows(41, 5).abs())),
        ]


def test_a_one_hot_teacher_makes_it_the_focal_loss_without_alpha():
    x, y = rows(20, 5, dtype=torch.float64), torch.arange(20) % 5
    teacher = torch.nn.functional.one_hot(y, 5).double()
    kl = focal_kl_loss(x, teacher, teacher_is_logits=False, reduction="none")
    torch.testing.assert_close(kl, sigmoid_focal_loss(x, y, alpha=-1.0, reduction="none"), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("teacher_is_logits", [True, False])
def test_focal_kl_is_finite_where_it_is_hard(gamma, teacher_is_logits):
    """Huge logits, certain teachers, and students that agree exactly."""
    logits = torch.tensor([-1e4, -200.0, -30.0, -1.0, 0.0, 1e-6, 2.0, 88.0, 1e4])
    x = logits[:, None].expand(9, 9).clone().requires_grad_()
    teacher = logits if teacher_is_logits else logits.sigmoid()
    loss = focal_kl_loss(x, teacher.expand(9, 9), gamma=gamma, teacher_is_logits=teacher_is_logits, reduction="none")
    loss.sum().backward()
    assert loss.isfinite().all() and (loss >= 0).all() and x.grad.isfinite().all()
    assert (loss.diagonal()[3:7] == 0).all() or not teacher_is_logits


def test_weight_zero_silences_nan():
    x, weight = rows(4, 5), torch.ones(4)
    x[1, 2], weight[1] = torch.nan, 0
    for loss in (
        lambda x: sigmoid_focal_loss(x, labels(4, classes=5), weight=weight),
        lambda x: focal_kl_loss(x, rows(4, 5, seed=1), weight=weight),
    ):
        leaf = x.clone().requires_grad_()
        loss(leaf).backward()
        assert leaf.grad.isfinite().all() and (leaf.grad[1] == 0).all()


def test_ignored_and_background_labels():
    x = rows(3, 4)
    loss = sigmoid_focal_loss(x, torch.tensor([-2, -1, 4]), reduction="none")
    assert (loss[0] == 0).all()
    assert loss[1].equal(sigmoid_focal_loss(x[1:2], torch.tensor([4]), reduction="none")[0])


@pytest.mark.parametrize("loss", ["sigmoid_focal_loss", "focal_kl_loss"])
def test_a_map_seen_as_rows_is_not_copied(loss):
    """(B, H, W, C) as a permuted NCHW map: read in place, and the same value."""
    logits = torch.randn(2, 5, 4, 6).permute(0, 2, 3, 1)
    other = (
        torch.randint(-2, 6, (2, 4, 6)) if loss == "sigmoid_focal_loss" else torch.randn(2, 5, 4, 6).permute(0, 2, 3, 1)
    )
    with RecordOperators() as record:
        found = getattr(colad_ops, loss)(logits, other)
    (func, args, _), *_ = record.calls
    assert args[0].data_ptr() == logits.data_ptr()
    torch.testing.assert_close(found, getattr(colad_ops, loss)(logits.contiguous(), other.contiguous()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_device_scalar_of_another_dtype_leaves_the_loss_float32(dtype):
    logits, labels = torch.randn(6, 3), torch.zeros(6, dtype=torch.int64)
    factor = torch.tensor(3.0, dtype=dtype, requires_grad=True)
    loss = sigmoid_focal_loss(logits, labels, avg_factor=factor)
    assert loss.dtype == torch.float32 and not loss.requires_grad


@pytest.mark.parametrize("loss", ["sigmoid_focal_loss", "focal_kl_loss"])
def test_a_second_derivative_is_refused(loss):
    logits = torch.randn(4, 3, requires_grad=True)
    other = torch.zeros(4, dtype=torch.int64) if loss == "sigmoid_focal_loss" else torch.randn(4, 3)
    total = getattr(colad_ops, loss)(logits, other, reduction="none").square().sum()
    (gradient,) = torch.autograd.grad(total, logits, create_graph=True)
    with pytest.raises(RuntimeError, match=f"{loss} is differentiable once, got a request for its second derivative"):
        gradient.square().sum().backward()


@pytest.mark.parametrize("loss", ["sigmoid_focal_loss", "focal_kl_loss"])
def test_a_gradient_of_another_shape_is_named(loss):
    logits = torch.zeros(100, 8)
    other = torch.zeros(100, dtype=torch.int64) if loss == "sigmoid_focal_loss" else logits
    options = (0.25, 2.0) if loss == "sigmoid_focal_loss" else (2.0, True, 0.0)
    backward = getattr(torch.ops.colad, f"{loss}_backward")
    with pytest.raises(RuntimeError, match=r"grad should have shape \(\) or that of the logits, got \(1, 1\)"):
        backward(torch.ones(1, 1), logits, other, None, *options)
