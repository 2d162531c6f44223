"""The example of a mmdetection configuration prints what its docstring says, up to the figures of the losses."""

from __future__ import annotations

import logging
import re
import runpy
from pathlib import Path

import pytest

import python_tests.integrations.mmcv_ext  # noqa: F401, before mmdet is imported

pytest.importorskip("mmdet", minversion="3.3")
pytest.importorskip("pkg_resources", reason="mmengine finds the configurations of mmdet with it: setuptools < 81")

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "mmdet_paa_config.py"
FIGURE = re.compile(r"\d+\.\d\d\b")


def test_the_configuration_trains(capsys):
    from mmengine.registry import DefaultScope

    scopes = dict(DefaultScope._instance_dict)
    module = runpy.run_path(str(EXAMPLE), run_name="__main__")
    logging.disable(logging.NOTSET)
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(scopes)
    printed = capsys.readouterr().out.strip().splitlines()
    promised = [line.strip() for line in module["__doc__"].splitlines()]
    begin = promised.index(printed[0])
    expected = promised[begin : begin + len(printed)]
    assert [FIGURE.sub("#", line) for line in printed] == [FIGURE.sub("#", line) for line in expected]
    losses = [[float(x) for x in FIGURE.findall(line)] for line in printed[1:]]
    assert sum(losses[-1]) < sum(losses[0])
    promised_losses = [float(x) for x in FIGURE.findall(expected[1])]
    assert losses[0] == pytest.approx(promised_losses, abs=0.05)
