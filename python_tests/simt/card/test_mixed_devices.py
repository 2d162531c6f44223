"""Tensors on two devices: the error names both arguments and both devices, and nothing has been launched.

torch picks the CUDA operator if one of the tensors is on CUDA. A kernel that then gets a pointer to memory of the host
makes every later CUDA call of the process fail."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._pytree import key_get

from python_tests.simt.card import Card
from python_tests.simt.card.operator_calls import FUNCTIONS, operator_calls, placed, places, tensor_arguments

CPU = torch.device("cpu")
TEXT = r"(\w+)(?:\[\d+\])? and (\w+)(?:\[\d+\])? should be on the same device, got (\S+) and (\S+)"
# What counts as started: kernels, fills, copies, operators of torch, waiting for the card.
WORK = ("launch", "fill", "copy", "torch", "wait")


def placements(card: Card) -> list[tuple[torch.device, torch.device]]:
    """(device of one tensor, device of the others)"""
    first, second = card.cards
    return [(CPU, first), (first, CPU), (second, first)]


def named_as(argument: str) -> str:
    """The name in messages, which is that of a public function."""
    return {"costs": "cost", "avg_factor_tensor": "avg_factor"}.get(argument, argument)


def device_in_message(text: str) -> torch.device:
    """For the C++ code the card is CUDA, for Python it is simt."""
    return torch.device(text.replace("cuda", "simt"))


def assert_refused(card: Card, function: Callable, args: tuple = (), **kwargs: Any) -> dict[str, torch.device]:
    """Returns the arguments that the message names, and the devices that it says they are on."""
    card.begin()
    with pytest.raises(RuntimeError) as error:
        function(*args, **kwargs)
    match = re.fullmatch(TEXT, str(error.value))
    assert match is not None, error.value
    assert [line for line in card.log() if line[0] in WORK] == []
    return {named_as(match[i]): device_in_message(match[i + 2]) for i in (1, 2)}


def test_operators_refuse_tensors_of_two_devices(card: Card) -> None:
    for call in operator_calls(card.cards[0]):
        for path in places(call.args) if len(places(call.args)) > 1 else []:
            for device, others in placements(card):
                args = placed(call.args, others, path, device)
                on = {(named_as(call.argument(path)), key_get(args, path).device) for path in places(args)}
                named = assert_refused(card, call.operator, args)
                assert set(named.items()) <= on, (call.name, named, on)
                assert set(named.values()) == {device, others}


def test_functions_refuse_tensors_of_two_devices(card: Card) -> None:
    for function, arguments in FUNCTIONS:
        for path in places(arguments):
            for device, others in placements(card):
                named = assert_refused(card, function, **placed(arguments, others, path, device))
                assert set(named.values()) == {device, others}
                # The predictions of a network are named as in the other functions.
                parts = ("logits", "boxes") if path[0].key == "predictions" else ()
                moved = {str(path[0].key), *(parts[key.idx] for key in path[2:])}
                assert any(named.get(name) == device for name in moved), (function, moved, named)


def test_every_tensor_of_every_operator_is_tried(card: Card) -> None:
    tried = {pair for call in operator_calls(card.cards[0]) for pair in call.tensors()}
    assert tried == tensor_arguments()


def test_predictions_on_a_card_and_anchors_on_the_cpu(card: Card) -> None:
    """Matching could run with its own arguments, which agree."""
    call = next(call for call in operator_calls(card.cards[0]) if call.name == "paa_assign")
    args = tuple(
        placed(value, card.cards[0] if argument.name in ("logits", "boxes") else CPU)
        for value, argument in zip(call.args, call.operator._schema.arguments)
    )
    assert assert_refused(card, call.operator, args) == {"logits": card.cards[0], "anchors": CPU}


def test_no_cuda_operator_launches_for_a_tensor_of_the_cpu(card: Card) -> None:
    """All tensors agree here, so that only CudaScope can refuse them."""
    for call in operator_calls(card.cards[0]):
        if call.name == "batched_nms":  # no CUDA kernel: other devices than the CPU go through nms_keep
            continue
        card.begin()
        with pytest.raises(RuntimeError, match="^a kernel's tensors should be on a CUDA device, got cpu$"):
            getattr(torch.ops.colad_simt, call.name)(*call.args)
        assert [line for line in card.log() if line[0] == "launch"] == []
