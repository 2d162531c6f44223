"""What the public functions do with tensors on a card: on the second one, while the first one is current."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from colad_ops import batched_nms, ragged
from python_tests.errors.valid_calls import VALID
from python_tests.simt.card import Card
from python_tests.simt.card.operator_calls import (
    DIFFERENTIABLE,
    FUNCTIONS,
    operator_calls,
    placed,
    results_and_gradients,
)
from python_tests.support.op_contract import assert_same, tensors_of

TOLERANCE = 1e-5  # the CPU fuses multiply-adds and adds in another order
EACH_FUNCTION = pytest.mark.parametrize(
    ("function", "arguments"), FUNCTIONS, ids=[f"{f.__name__}{i}" for i, (f, _) in enumerate(FUNCTIONS)]
)


@EACH_FUNCTION
def test_results_and_gradients_equal_the_cpu(function: Callable, arguments: dict[str, Any], card: Card) -> None:
    expected = results_and_gradients(function, arguments)
    found = results_and_gradients(function, placed(arguments, card.cards[1]))
    assert {x.device for x in found} == {card.cards[1]}
    assert_same(found, expected, rtol=TOLERANCE, atol=TOLERANCE)


@EACH_FUNCTION
def test_all_work_is_on_the_tensors_card_in_its_current_stream(
    function: Callable, arguments: dict[str, Any], card: Card
) -> None:
    on_card = placed(arguments, card.cards[1])
    card.begin()
    with torch.Stream(card.cards[1]) as stream:
        torch.accelerator.set_device_index(0)
        function(**on_card)
        assert torch.accelerator.current_device_index() == 0
    launches = [line for line in card.log() if line[0] == "launch"]
    assert launches
    assert {(index, number) for _, _, index, number in launches} == {("1", str(stream.stream_id))}
    assert {line[2] for line in card.log() if line[0] == "allocate"} == {"1"}


@EACH_FUNCTION
def test_the_host_never_waits(function: Callable, arguments: dict[str, Any], card: Card) -> None:
    on_card = placed(arguments, card.cards[0])
    with card.waiting_is_an_error():
        if function is batched_nms:
            with pytest.raises(RuntimeError, match="the host waits for the card"):
                function(**on_card)
        else:
            results_and_gradients(function, on_card)


@EACH_FUNCTION
def test_copies_to_a_card_do_not_block(function: Callable, arguments: dict[str, Any], card: Card) -> None:
    on_card = placed(arguments, card.cards[0])
    card.begin()
    results_and_gradients(function, on_card)
    assert [line for line in card.log() if line[:2] == ["copy", "to the card"]] == []


def test_ragged_copies_its_offsets_without_blocking(card: Card) -> None:
    boxes = [torch.ones(2, 4, device=card.cards[1]), torch.ones(3, 4, device=card.cards[1])]
    card.begin()
    values, offsets = ragged(boxes)
    assert values.device == offsets.device == card.cards[1]
    assert offsets.tolist() == [0, 2, 5]
    copies = [line for line in card.log() if line[:2] == ["copy", "to the card"]]
    assert copies == [["copy", "to the card", "non_blocking"]]


@EACH_FUNCTION
def test_no_memory_stays_behind(function: Callable, arguments: dict[str, Any], card: Card) -> None:
    on_card = placed(arguments, card.cards[0])
    gc.collect()
    before = card.bytes_in_use()
    function(**on_card)
    assert card.bytes_in_use() == before


@pytest.mark.parametrize(("function", "arguments"), VALID.items(), ids=[f.__name__ for f in VALID])
def test_it_compiles(function: Callable, arguments: dict[str, Any], card: Card) -> None:
    """The fakes give every result the device of the inputs."""
    on_card = placed(arguments, card.cards[1])
    torch._dynamo.reset()
    compiled = torch.compile(function, fullgraph=function is not batched_nms, dynamic=True, backend="aot_eager")
    found, expected = tensors_of(compiled(**on_card)), tensors_of(function(**on_card))
    assert {x.device for x in found} == {card.cards[1]}
    assert_same(found, expected)


def test_opcheck(card: Card) -> None:
    for call in operator_calls(card.cards[0]):
        args = placed(call.args, card.cards[1])
        torch.library.opcheck(call.operator, args, test_utils=("test_schema", "test_faketensor"))


def test_differentiable_functions_are_among_them() -> None:
    assert set(DIFFERENTIABLE) <= {function for function, _ in FUNCTIONS}


def test_the_host_cannot_read_a_card() -> None:
    """Were it possible, a contract that reads its tensors would pass here and fail on a real card."""
    text = (
        "import ctypes; from python_tests.simt.card import Card; card = Card(); import torch;"
        "print(ctypes.c_float.from_address(torch.ones(3, device=card.cards[0]).data_ptr()))"
    )
    result = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert result.returncode == -signal.SIGSEGV, result
