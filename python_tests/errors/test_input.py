"""Bad input that concerns several operators: tensors on two devices, ragged lists, configurations. The rows of single
operators are in test_input_boxes.py, _assign.py and _losses.py. Bad values that do not raise are in test_data.py."""

import math
from dataclasses import fields

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten_with_path, tree_map_with_path

from colad_ops import AssignConfig, ragged
from python_tests.errors.valid_calls import BOXES, LABELS, SCALAR, VALID, assert_raises


def one_tensor_elsewhere():
    """Every function with the position of each tensor in its arguments, also inside the pairs of networks."""
    for function, valid in VALID.items():
        for path, value in tree_flatten_with_path(valid)[0]:
            if isinstance(value, Tensor):
                name = "".join(str(key) for key in path).replace("'", "")
                yield pytest.param(function, valid, path, id=f"{function.__name__}{name}")


@pytest.mark.parametrize(("function", "valid", "path"), list(one_tensor_elsewhere()))
def test_a_tensor_without_data_among_others_is_named(function, valid, path):
    """If a call mixes a meta tensor and tensors with data, torch runs the fake kernel. Its result would be
    uninitialised."""
    assert_device_is_named(function, valid, path, torch.device("meta"), torch.device("cpu"))


@pytest.mark.parametrize(("function", "valid", "path"), list(one_tensor_elsewhere()))
def test_a_cuda_tensor_among_others_is_named(function, valid, path, cuda):
    assert_device_is_named(function, valid, path, cuda, torch.device("cpu"))


@pytest.mark.parametrize(("function", "valid", "path"), list(one_tensor_elsewhere()))
def test_a_tensor_among_cuda_tensors_is_named(function, valid, path, cuda):
    """A kernel that got a pointer to memory of the host would spoil every later CUDA call of the process."""
    assert_device_is_named(function, valid, path, torch.device("cpu"), cuda)


def assert_device_is_named(function, valid, path, device, device_of_others):
    def place(at, value):
        return value.to(device if at == path else device_of_others) if isinstance(value, Tensor) else value

    with pytest.raises(RuntimeError) as error:
        function(**tree_map_with_path(place, valid))
    names = {str(path[0].key), *(("logits", "boxes")[key.idx] for key in path[2:])}
    message = str(error.value)
    assert "should be on the same device, got " in message and ("meta" if device.type == "meta" else "cpu") in message
    assert any(name in message for name in names)


def test_all_tensors_without_data_give_shapes():
    for function, valid in VALID.items():
        if function.__name__ != "batched_nms":  # its size depends on the data
            meta = tree_map_with_path(lambda _, value: value.to("meta") if isinstance(value, Tensor) else value, valid)
            real = [x for x in tree_flatten_with_path(function(**valid))[0] if isinstance(x[1], Tensor)]
            fake = [x for x in tree_flatten_with_path(function(**meta))[0] if isinstance(x[1], Tensor)]
            assert [x.shape for _, x in fake] == [x.shape for _, x in real]
            assert all(x.is_meta for _, x in fake)


@pytest.mark.parametrize(
    ("error", "tensors", "message"),
    [
        (ValueError, [], "tensors should hold at least one tensor..."),
        (ValueError, BOXES, "tensors should be a list, one tensor an image, got a tensor of shape (3, 4)"),
        (ValueError, [BOXES, SCALAR], "tensors[1] should have shape (n, ...), got ()"),
        (
            ValueError,
            [BOXES, BOXES.double()],
            "tensors[1] should be torch.float32 on cpu as tensors[0], got torch.float64 on cpu",
        ),
        (
            ValueError,
            [LABELS, torch.tensor([])],
            "tensors[1] should be torch.int64 on cpu as tensors[0], got torch.float32 on cpu",
        ),
        (
            ValueError,
            [BOXES, BOXES.to("meta")],
            "tensors[1] should be torch.float32 on cpu as tensors[0], got torch.float32 on meta",
        ),
        (
            RuntimeError,
            [BOXES, BOXES[:, :3]],
            "Sizes of tensors must match except in dimension 0. Expected size 4 but got size 3 for tensor number 1...",
        ),
    ],
)
def test_ragged_names_what_cannot_be_joined(error, tensors, message):
    assert_raises(error, ragged, {"tensors": tensors}, message)


def test_ragged_joins_images_without_rows():
    rows, offsets = ragged([torch.tensor([]), BOXES, torch.zeros(0, 4)])
    assert rows.equal(BOXES) and offsets.tolist() == [0, 0, 3, 3]


CONFIG = [
    ("low_quality", "most", "low_quality should be one of all, own, none, got 'most'"),
    ("box_cost", "l1", "box_cost should be one of iou, giou, diou, ciou, got 'l1'"),
    ("covariance", "round", "covariance should be one of full, diag, spherical, tied, got 'round'"),
    ("split", "half", "split should be one of peak, posterior, band, got 'half'"),
    ("single_candidate", None, "single_candidate should be one of keep, drop, got None"),
    ("no_component0", True, "no_component0 should be one of all, none, got True"),
    ("topk", 0, "topk should be >= 1, got 0"),
    ("topk", -(2**70), f"topk should be >= 1, got {-(2**70)}"),
    ("max_iter", 0, "max_iter should be >= 1, got 0"),
    ("gamma", -1.0, "gamma should be >= 0, got -1.0"),
    ("gamma", math.nan, "gamma should be >= 0, got nan"),
    ("tol", math.nan, "tol should be >= 0, got nan"),
    ("tol", -math.inf, "tol should be >= 0, got -inf"),
    ("reg_covar", -1.0, "reg_covar should be >= 0, got -1.0"),
    ("max_iter", 2**62, f"max_iter should be <= 1000000, got {2**62}"),
    ("gamma", math.inf, "gamma should be finite, got inf"),
    ("reg_covar", math.inf, "reg_covar should be finite, got inf"),
    ("alpha", math.nan, "alpha should be <= 1 (negative: no weighting by class), got nan"),
    ("alpha", 1.5, "alpha should be <= 1 (negative: no weighting by class), got 1.5"),
    ("box_weight", math.nan, "box_weight should be finite, got nan"),
    ("box_weight", -math.inf, "box_weight should be finite, got -inf"),
    ("iou_threshold", math.nan, "iou_threshold should be a number, got nan"),
    ("ignore_iof", math.nan, "ignore_iof should be a number, got nan"),
]


@pytest.mark.parametrize(("field", "value", "message"), CONFIG)
def test_a_bad_config_is_named(field, value, message):
    assert_raises(ValueError, AssignConfig, {field: value}, message)


def test_every_field_that_can_be_bad_has_a_row():
    flags = {"prefix", "claim_zero_overlap", "inclusive_corners"}  # bool fields accept any value
    assert {field.name for field in fields(AssignConfig)} == {field for field, *_ in CONFIG} | flags
