"""Cases of ``cost_statistics``."""

import torch

from colad_ops import cost_statistics
from colad_ops.ops.split_candidates import cost_statistics_reference
from python_tests.support.cases.split_candidates import random_costs
from python_tests.support.op_contract import Case


def statistics_of(name, odd_costs=False, networks=2, **options):
    cost, matched, level_sizes, boxes, _, offsets, _ = random_costs(name, **options).args
    costs = torch.stack([cost + k for k in range(networks)])
    if odd_costs:
        costs[0, :, ::3], costs[-1, :, 1::5] = torch.nan, -torch.inf
    return Case(name, costs if networks > 1 else costs[0], matched, offsets, len(boxes), level_sizes)


class CostStatisticsCases:
    operator, reference = staticmethod(cost_statistics), staticmethod(cost_statistics_reference)

    @classmethod
    def cases(cls):
        return [
            statistics_of("many_candidates"),
            statistics_of("many_levels", anchors=(40,) * 16),
            statistics_of("few", objects=(1, 3), anchors=(3, 1)),
            statistics_of("odd_costs", odd_costs=True, anchors=(30, 20, 1)),
            statistics_of("one_network", networks=1, anchors=(300, 0, 20)),
        ]
