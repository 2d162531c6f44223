"""Memory, the machine and its lower bounds."""

import sys

import pytest
import torch

from bench.measure.memory import extra_memory


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells")
def test_extra_memory_is_what_a_call_takes_beyond_its_result():
    n = 4_000_000  # bytes of each of two temporaries and of the result

    def call():
        first = torch.ones(n, dtype=torch.uint8)
        second = first + 1
        return first + second

    extra = extra_memory(call, torch.device("cpu"))
    assert 1.8 * n < extra < 2.5 * n
    small = extra_memory(lambda: torch.ones(8), torch.device("cpu"))
    assert small < n / 10
