"""Libraries with other block sizes, and the sweep over them."""

import json
import tarfile
from pathlib import Path

import pytest

from bench.paths import ROOT
from gpu_checks import sweep, variants
from gpu_checks.context import Context, CouldNotRun
from gpu_checks.device import DryRun


def test_every_constant_that_is_not_tuned_is_in_the_sweep():
    constants = variants.all_constants()
    sources = [p for p in (ROOT / "csrc").rglob("*") if p.is_file()]
    assert len(constants) == sum(p.read_text().count(variants.NOT_TUNED) for p in sources)


SOURCE = """\
constexpr int kBlock = 128;  // tuned
constexpr int kWide = 256;  // enough warps; not tuned on a card
// How many items a thread takes.
// It is not tuned.
constexpr unsigned kItems = 4;
constexpr int kOther = 7;
"""


def test_constants_are_found_and_patched():
    wide, items = variants.constants_of("a.cu", SOURCE)
    assert (wide.name, wide.value, wide.line) == ("kWide", 256, 1) and wide.values() == [64, 128, 512, 1024]
    assert (items.name, items.value, items.line) == ("kItems", 4, 4) and items.values() == [1, 2, 8, 16]
    assert wide.patched(SOURCE, 64) == SOURCE.replace("kWide = 256", "kWide = 64")
    assert [c.name for c in variants.constants_of("a.cu", SOURCE, blocks=True)] == ["kBlock", "kWide", "kItems"]
    assert variants.Constant("a.cu", 0, "kBlock", 64).values() == [32, 128, 256]


def test_variants_are_built_from_a_patched_copy(tmp_path, monkeypatch):
    """A build puts the constants of the copy into the library, and one value does not compile."""
    chosen = variants.all_constants()[0]
    copy = tmp_path / "variants"

    def fake_call(builder, command):
        if "--build" in command:
            text = (builder.source / chosen.path).read_text().splitlines()[chosen.line]
            if f" = {chosen.values()[1]};" in text:
                return "error: too large"
            builder.build.mkdir(exist_ok=True)
            (builder.build / variants.LIBRARY).write_text(text)
        return ""

    monkeypatch.setattr(variants.Builder, "call", fake_call)
    monkeypatch.setattr(variants, "FOLDER", copy)
    assert variants.main(["--only", f"{chosen.path}:{chosen.name}", "--output", str(tmp_path / "v.tar.xz")]) == 0
    with tarfile.open(tmp_path / "v.tar.xz") as file:
        entries = json.load(file.extractfile(variants.LIST))["variants"]
        assert [entry["tried"] for entry in entries] == chosen.values()
        assert [entry["error"] for entry in entries] == ["", "error: too large", *[""] * (len(entries) - 2)]
        assert f" = {chosen.value};" in file.extractfile(variants.BASE).read().decode()
        for entry in entries:
            if not entry["error"]:
                assert f" = {entry['tried']};" in file.extractfile(entry["file"]).read().decode()


def test_a_sweep_names_what_is_faster_and_what_does_not_run(tmp_path, context, monkeypatch):
    entry = {"path": "a.cu", "name": "kBlock", "value": 128, "error": ""}
    tried = [{**entry, "tried": n, "file": f"{n}.so"} for n in (64, 256, 512)]
    for name in (variants.BASE, "64.so", "256.so", "512.so"):
        (tmp_path / name).write_text(name)
    (tmp_path / variants.LIST).write_text(json.dumps({"commit": "c", "arch": "90", "variants": tried}))
    with tarfile.open(tmp_path / "v.tar.xz", "w:xz") as file:
        for name in (variants.BASE, "64.so", "256.so", "512.so", variants.LIST):
            file.add(tmp_path / name, name)

    def run_command(command, seconds, COLAD_LIBRARY):
        name = Path(COLAD_LIBRARY).read_text()
        times = {variants.BASE: 10.0, "64.so": 8.0, "256.so": 12.0}
        return (0, f"noise\n{json.dumps({'op': times[name]})}") if name in times else (1, "too many resources")

    monkeypatch.setattr(sweep, "run_command", run_command)
    assert sweep.write_sweep(context, tmp_path / "v.tar.xz").endswith("3 rows in sweep.csv; faster: kBlock=64 op 0.80")
    rows = (context.folder / "sweep.csv").read_text().splitlines()
    assert "kBlock,128,64,op,10.000,8.000,0.800,," in rows[1] and "kBlock,128,256,op,10.000,12.000,1.200,," in rows[2]
    assert "kBlock,128,512,op,10.000,,,too many resources," in rows[3]
    with pytest.raises(CouldNotRun, match="build it with python -m gpu_checks.variants"):
        sweep.write_sweep(Context(DryRun(), False, tmp_path), tmp_path / "none.tar.xz")
