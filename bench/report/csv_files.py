"""The outcomes as rows of ``bench.csv``, and the function that writes every CSV of results."""

from __future__ import annotations

import csv
import datetime
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

import colad_ops
from bench.measure.case import OURS, Outcome
from bench.measure.machine import Machine
from bench.report.goals import goals_of, verdict

COLUMNS = (
    "machine", "cpu_capability", "torch", "commit", "date", "op", "what", "threads", "peer", "version", "median_ms",
    "p20_ms", "p80_ms", "ratio", "share_of_floor", "extra_bytes", "goal", "reached", "note",
)  # fmt: skip


def commit() -> str:
    return colad_ops.build_info()["commit"]


def csv_rows(outcome: Outcome, machine: Machine) -> Iterable[dict[str, str]]:
    case = outcome.case
    about = {
        "machine": machine.name, "cpu_capability": machine.capability, "torch": torch.__version__, "commit": commit(),
        "date": datetime.date.today().isoformat(), "op": case.op, "what": case.what, "threads": str(outcome.threads),
    }  # fmt: skip
    versions = {OURS: colad_ops.__version__, **{peer.name: peer.version for peer in case.peers}}
    for who, version in versions.items():
        goals = goals_of(outcome, who)
        row = {
            **about, "peer": who, "version": version, "goal": "; ".join(map(str, goals)),
            "reached": "; ".join(verdict(goal, outcome) for goal in goals), "note": outcome.missing.get(who, ""),
        }  # fmt: skip
        if who in outcome.timings:
            timing, extra = outcome.timings[who], outcome.extra.get(who)
            row |= {f"{name}_ms": f"{getattr(timing, name) / 1e3:.5g}" for name in ("median", "p20", "p80")}
            row |= {"ratio": f"{outcome.ratio(who):.4g}", "extra_bytes": "" if extra is None else str(extra)}
            if who == OURS and outcome.share_of_lower_bound is not None:
                row["share_of_floor"] = f"{outcome.share_of_lower_bound:.3f}"
        yield row


def write_csv(path: Path, rows: Iterable[dict[str, str]], columns: Sequence[str] = COLUMNS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path
