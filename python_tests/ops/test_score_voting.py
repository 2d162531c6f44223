import torch

from colad_ops import score_voting
from python_tests.support.cases.score_voting import ScoreVotingCases
from python_tests.support.op_contract import NoSyncContract


class TestScoreVoting(ScoreVotingCases, NoSyncContract):
    pass


def test_a_box_without_area_stays_as_it_is():
    """A box without area overlaps nothing, not even itself. In mmdetection it becomes NaN."""
    box = torch.tensor([[10.0, 10.0, 10.0, 30.0]])
    result = score_voting(box, torch.ones(1), torch.zeros(1, dtype=torch.int64), box, torch.ones(1, 1))
    assert result.boxes.equal(box)
