"""Cases of ``score_voting``."""

import torch

from colad_ops import score_voting
from colad_ops.ops.score_voting import score_voting_reference
from python_tests.support.op_contract import Case
from python_tests.support.scenes import detections


class ScoreVotingCases:
    operator, reference = staticmethod(score_voting), staticmethod(score_voting_reference)

    @classmethod
    def cases(cls):
        boxes, scores, labels = detections(12, seed=2)
        all_boxes, _, _ = detections(50, seed=3)
        all_scores = torch.rand(50, 3, generator=torch.Generator().manual_seed(4))
        case = (boxes, scores, labels, all_boxes, all_scores)
        return [
            Case("default", *case, representative=True),
            Case("float64", *(x.double() if x.is_floating_point() else x for x in case)),
            Case("float16", *(x.half() if x.is_floating_point() else x for x in case), tolerance=0.05),
            Case("sharp", *case, sigma=0.001, iou_threshold=0.3, score_threshold=0.5),
            Case("infinite_scores", *case[:4], torch.where(all_scores > 0.8, torch.inf, all_scores)),
            Case("nobody_votes", *case, score_threshold=2.0),
            Case("no_voters", boxes, scores, labels, all_boxes[:0], all_scores[:0], representative=True),
            Case("nothing_kept", boxes[:0], scores[:0], labels[:0], all_boxes, all_scores),
        ]
