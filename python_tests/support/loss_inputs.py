"""Logits, labels and weights for the losses, in every memory layout for which a kernel has its own loop."""

import torch

from python_tests.support.op_contract import Case

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def rows(*shape, seed=0, dtype=torch.float32, scale=3.0):
    return (torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale).to(dtype)


def labels(*shape, classes, seed=0):
    return torch.randint(-2, classes + 1, shape, generator=torch.Generator().manual_seed(seed))


def maps(images, columns, anchors, seed=0, dtype=torch.float32):
    """A tensor (images, anchors, columns) with the strides of an NCHW map."""
    return rows(images, columns, anchors, seed=seed, dtype=dtype).transpose(1, 2)


def weights_of_maps(kind, columns, anchors, dtype):
    """A weight for rows, or for elements in the layout of the maps. Some weights are 0."""
    weight = rows(2, anchors) if kind == "rows" else maps(2, columns, anchors)
    return weight.clamp(min=0).to(torch.float64 if dtype == torch.float64 else torch.float32)


def misaligned(tensor):
    """The same values and strides, but the data starts one element after the start of the allocation."""
    memory = tensor.new_empty(tensor.untyped_storage().nbytes() // tensor.element_size() + 1)
    return memory.as_strided(tensor.shape, tensor.stride(), 1).copy_(tensor)


def some_labels(logits):
    return labels(*logits.shape[:-1], classes=logits.shape[-1])


def other_logits(logits):
    """Other logits in the same layout, but aligned."""
    return torch.empty_like(logits).copy_(rows(*logits.shape, seed=1))


MAPS = ((16, 24, "rows"), (16, 24, "elements"), (5, 24, "rows"), (7, 13, "rows"), (8, 13, "rows"))
"""Columns, anchors, and whether the weight is for rows or elements. Packs fit exactly or leave a rest, in both
directions."""


def layout_cases(second):
    """Cases for all memory layouts of logits. The layout decides which loop a kernel runs: on CUDA packs of 16 bytes,
    with and without a rest, within a row and across rows. ``second(logits)`` is the other argument."""
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
