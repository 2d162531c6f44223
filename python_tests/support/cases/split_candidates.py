"""Cases of ``split_candidates`` and of ``cost_statistics``."""

import torch

from colad_ops import AssignConfig, cost_statistics, split_candidates
from colad_ops.ops.split_candidates import cost_statistics_reference, split_candidates_reference
from python_tests.support.op_contract import Case


def random_costs(name, objects=(2, 0, 1), anchors=(4000, 500, 0), seed=0, config=AssignConfig(), representative=False):
    """Random costs: an object has as many candidates as its anchors allow."""
    generator = torch.Generator().manual_seed(seed)
    offsets = torch.tensor([0, *objects]).cumsum(0)
    rows = [torch.randint(b, e + 1, (sum(anchors),), generator=generator) for b, e in zip(offsets[:-1], offsets[1:])]
    matched = torch.stack([torch.where(row < end, row, -1) for row, end in zip(rows, offsets[1:])])
    cost = (torch.rand(matched.shape, generator=generator) * 3 * 1024).round() / 1024  # with ties
    count = int(offsets[-1])
    boxes, labels = torch.zeros(count, 4), torch.zeros(count, dtype=torch.int64)
    return Case(name, cost, matched, list(anchors), boxes, labels, offsets, config, representative=representative)


def one_object(name, costs, **options):
    """One object, to which all anchors are matched."""
    cost = torch.tensor([costs])
    matched, labels, offsets = torch.zeros(cost.shape, dtype=torch.int64), torch.tensor([0]), torch.tensor([0, 1])
    return Case(name, cost, matched, [len(costs)], torch.zeros(1, 4), labels, offsets, AssignConfig(**options))


# So close that the regularisation of the variances decides: no cost is of component 0.
CLOSE_COSTS = [1.0008, 1.0007, 1.0001]


class SplitCandidatesCases:
    operator, reference = staticmethod(split_candidates), staticmethod(split_candidates_reference)

    @classmethod
    def cases(cls):
        return [
            random_costs("many_candidates"),
            random_costs("many_samples", anchors=(300, 200), config=AssignConfig(topk=100)),
            random_costs("many_of_both", objects=(1,), anchors=(4500, 300), config=AssignConfig(topk=100)),
            random_costs("many_levels", anchors=(40,) * 16, config=AssignConfig(topk=3), representative=True),
            random_costs("few", objects=(1, 3), anchors=(3, 1)),
            one_object("no_density", [1.0] * 9, reg_covar=0.0),
            one_object("no_component0", CLOSE_COSTS),
            one_object("no_component0_no_positives", CLOSE_COSTS, no_component0="none"),
        ]


def statistics_of(case, costs):
    """The same candidates, with the costs of one network or of several."""
    _, matched, level_sizes, boxes, _, offsets, _ = case.args
    return Case(case.name, costs, matched, offsets, len(boxes), level_sizes, representative=case.representative)


class CostStatisticsCases:
    operator, reference = staticmethod(cost_statistics), staticmethod(cost_statistics_reference)

    @classmethod
    def cases(cls):
        many, levels = (
            random_costs("many_candidates", anchors=(900, 100, 0)),
            random_costs("levels", anchors=(40,) * 16, representative=True),
        )
        cost = levels.args[0]
        return [
            statistics_of(many, many.args[0]),
            statistics_of(levels, torch.stack([cost, cost.flip(1)])),
            statistics_of(random_costs("odd_costs", anchors=(40, 3)), torch.full((2, 3, 43), torch.nan)),
            statistics_of(random_costs("few", objects=(1, 3), anchors=(3, 1)), torch.ones(2, 4)),
        ]
