"""Time of one iteration of EM: the slope between 10 and 40 iterations, which ``tol=0`` makes every fit run."""

from __future__ import annotations

from functools import partial

import colad_ops
from bench.workload.candidates import cheapest_candidates, repeated
from bench.workload.every_operator import MANY_OBJECTS
from gpu_checks.context import Context
from gpu_checks.csv_file import write_csv
from gpu_checks.device import replay_microseconds
from gpu_checks.machine import megahertz

FEW, MANY = 10, 40  # iterations


def write_em_slope(context: Context) -> str:
    values, offsets = cheapest_candidates(context.workload)
    rows, lines = [], []
    for objects in (len(offsets) - 1, MANY_OBJECTS):
        segments = [x.to(context.device.device) for x in repeated(values, offsets, objects)]
        few, many = (
            replay_microseconds(context.device, partial(colad_ops.gmm_em, *segments, tol=0, max_iter=iterations))
            for iterations in (FEW, MANY)
        )
        context.device.put_under_load()
        clock = megahertz()
        slope = (many - few) / (MANY - FEW)
        rows.append({
            "objects": objects, f"us_of_{FEW}": few, f"us_of_{MANY}": many, "us_an_iteration": slope,
            "sm_mhz": clock, "cycles_an_iteration": None if clock is None else slope * clock,
        })  # fmt: skip
        lines.append(f"{objects} objects: {slope:.3f} us an iteration")
    return f"{'; '.join(lines)}; {write_csv(context.folder / 'em_slope.csv', rows)}"
