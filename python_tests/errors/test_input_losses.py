"""Wrong arguments of the losses.

Each row is a change of a valid call and the exact error message, which names argument and value. A message that ends in
`...` is the beginning of a message of torch."""

import math

import pytest
import torch

from colad_ops import focal_kl_loss, sigmoid_focal_loss
from python_tests.errors.valid_calls import FLOATS, LABELS, LEAST, LOGITS, SCALAR, assert_error_is, integers, rows

LOSSES = [
    ("gamma", {"gamma": -1}, "gamma should be >= 0, got -1"),
    ("gamma_nan", {"gamma": math.nan}, "gamma should be >= 0, got nan"),
    ("gamma_inf", {"gamma": math.inf}, "gamma should be finite, got inf"),
    ("reduction", {"reduction": "avg"}, "reduction should be none, sum or mean, got avg"),
    ("reduction_none", {"reduction": None}, "reduction should be none, sum or mean, got None"),
    ("weight_shape", {"weight": torch.ones(4)}, "weight should have shape (3, 5) or (3,), got (4,)"),
    ("weight_complex", {"weight": torch.ones(3) * 1j}, "weight should be real, got torch.complex64"),
    (
        "avg_factor",
        {"reduction": "none", "avg_factor": 2},
        "avg_factor should go with reduction sum or mean, got it with none",
    ),
    ("avg_factors", {"avg_factor": torch.ones(1)}, "avg_factor should be a number or a scalar tensor, got shape (1,)"),
]

SIGMOID_FOCAL_LOSS = [
    ("labels_high", {"labels": integers(0, 1, 6)}, "labels should be in -2..5, got 6 at row 2"),
    ("labels_low", {"labels": integers(0, -3, 1)}, "labels should be in -2..5, got -3 at row 1"),
    ("labels_least", {"labels": integers(LEAST, 0, 1)}, f"labels should be in -2..5, got {LEAST} at row 0"),
    ("labels_missing", {"labels": None}, "labels should be a tensor, got None"),
    ("no_classes", {"logits": LOGITS[:, :0]}, "labels should be in -2..0, got 1 at row 1"),
    ("labels_fewer", {"labels": LABELS[:2]}, "labels should have shape of logits without its last dimension, got (2,)"),
    ("labels_type", {"labels": LABELS.int()}, "labels should have dtype Long, got Int"),
    ("integers", {"logits": LOGITS.long()}, f"logits should be {FLOATS}, got Long"),
    (
        "no_rank",
        {"logits": SCALAR, "labels": integers(1)[0], "weight": None},
        "logits should have shape (..., C), got ()",
    ),
    ("alpha_nan", {"alpha": math.nan}, "alpha should be <= 1 (negative: no weighting by class), got nan"),
    ("alpha_high", {"alpha": 2.0}, "alpha should be <= 1 (negative: no weighting by class), got 2"),
]

FOCAL_KL_LOSS = [
    ("teacher_shape", {"teacher": LOGITS[:2]}, "teacher should have shape (3, 5) of student_logits, got (2, 5)"),
    (
        "teacher_type",
        {"teacher": LOGITS.double()},
        "teacher and student_logits should have the same dtype, got Double and Float",
    ),
    (
        "integers",
        {k: LOGITS.long() for k in ("student_logits", "teacher")},
        f"student_logits should be {FLOATS}, got Long",
    ),
    (
        "no_rank",
        {"student_logits": SCALAR, "teacher": SCALAR, "weight": None},
        "student_logits should have shape (..., C), got ()",
    ),
    ("smooth", {"smooth": -1}, "smooth should be >= 0, got -1"),
    ("smooth_nan", {"smooth": math.nan}, "smooth should be >= 0, got nan"),
    ("smooth_inf", {"smooth": math.inf}, "smooth should be finite, got inf"),
]

EVERY_ROW = [
    *rows(sigmoid_focal_loss, *LOSSES, *SIGMOID_FOCAL_LOSS),
    *rows(focal_kl_loss, *LOSSES, *FOCAL_KL_LOSS),
]


@pytest.mark.parametrize(("function", "arguments", "message"), EVERY_ROW)
def test_the_error_is(function, arguments, message, monkeypatch):
    assert_error_is(function, arguments, message, monkeypatch)
