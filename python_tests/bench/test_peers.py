"""Peers: their results are checked, those that cannot run are reported, the references replace the operators."""

import pytest
import torch

from bench.measure.case import OURS, Case, Peer, run_case
from bench.measure.machine import Machine
from bench.measure.timing import sample_on
from bench.peers.references import operators_replaced
from colad_ops.detection import assigners, losses


def test_a_peer_that_disagrees_raises_and_one_that_cannot_is_missing():
    machine = Machine("any", "", torch.device("cpu"), 1, 1e9, 1e9)
    sample = sample_on(machine.device, 1)

    def equal(ours, peers):
        assert ours == peers, f"{peers} instead of {ours}"

    def run(*peers):
        return run_case(Case("op", "what", lambda: 1, peers, equal), machine, sample, rounds=1, seconds=0)

    with pytest.raises(AssertionError, match="op what: liar disagrees with ours: 2 instead of 1"):
        run(Peer("liar", "1", lambda: 2))
    o = run(Peer("other", "1", lambda: 2, same=False), Peer("breaks", "1", lambda: 1 / 0), Peer("no", "", None, "why"))
    assert set(o.timings) == {OURS, "other"}
    assert o.missing == {"breaks": "raised ZeroDivisionError: division by zero", "no": "why"}


def test_references_replace_operators_everywhere_inside_the_context_only():
    before = assigners.paa_assign, losses.sigmoid_focal_loss
    with operators_replaced():
        assert assigners.paa_assign.__name__ == "paa_assign_reference"
        assert losses.sigmoid_focal_loss.__name__ == "sigmoid_focal_loss_reference"
    assert (assigners.paa_assign, losses.sigmoid_focal_loss) == before
