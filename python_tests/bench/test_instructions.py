"""The counts of instructions by callgrind."""

import shutil
from pathlib import Path

import pytest

from bench import run_instructions
from bench.measure import instructions

CALLGRIND = """\
desc: Trigger: Client Request: gmm_em
positions: line
events: Ir
summary: 1234

ob=(1) /here/libcolad_ops.so
fl=(1) a.cpp
fn=(1) fit
10 100
+2 20
cob=(2) /usr/lib/libm.so.6
cfn=(2) exp
calls=3 0
* 14
fe=(3) b.h
12 3

ob=(2)
fn=(2)
5 14

ob=(1)
fn=(1)
-1 7
totals: 144
"""


def test_instructions_are_counted_where_they_are():
    found = instructions.instructions_of_objects(CALLGRIND.splitlines())
    assert found == {"/here/libcolad_ops.so": 130, "/usr/lib/libm.so.6": 14}
    places = [instructions.place_of(name, Path("/here/libcolad_ops.so")) for name in (*found, "/other/libc.so.6")]
    assert places == ["library", "libm", "elsewhere"]


def test_the_instructions_of_every_operator_are_counted(capsys):
    if shutil.which("valgrind") is None or not Path("/usr/include/valgrind/callgrind.h").is_file():
        pytest.skip("no valgrind with its headers")
    assert run_instructions.main(["--small"]) == 0
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()[2:12]]
    assert [row[1] for row in rows] == 5 * ["baseline"] + 5 * ["avx2"]
    wide = {row[0]: float(row[2]) for row in rows[5:]}
    assert all(0 < wide[row[0]] <= float(row[2]) for row in rows[:5])
    parts = sum(wide[name] for name in ("match_anchors", "assign_cost", "split_candidates"))
    assert 0 < wide["paa_assign"] <= 1.01 * parts
