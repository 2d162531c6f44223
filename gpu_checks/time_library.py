"""Times every operator of the library that ``COLAD_LIBRARY`` names: ``python -m gpu_checks.time_library [--dry-run]``

The results are compared with the CPU first. The last line of the output is JSON: microseconds of each call.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from bench.workload.batch import SMALL, make_workload
from bench.workload.every_operator import operator_calls
from gpu_checks.against_cpu import compare
from gpu_checks.context import Context
from gpu_checks.device import Card, DryRun, replay_microseconds


def main(dry: bool) -> int:
    context = Context(DryRun() if dry else Card(), dry, Path())
    small = make_workload(**SMALL)
    calls = zip(operator_calls(small, torch.device("cpu")), operator_calls(small, context.device.device), strict=True)
    for here, there in calls:
        compare(f"{here.op} {here.what}", here.run(), there.run())
    times = {
        f"{call.op} {call.what}": replay_microseconds(context.device, call.run)
        for call in operator_calls(context.workload, context.device.device)
        if call.capturable
    }
    print(json.dumps(times))
    return 0


if __name__ == "__main__":
    sys.exit(main("--dry-run" in sys.argv))
