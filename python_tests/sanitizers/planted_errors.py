"""Do the sanitizers detect errors? Each of these errors is planted in a copy of the sources, and must be reported at
its place. None of them changes a result, so no other test can detect it. `make test-asan` runs this."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from python_tests.sanitizers.sanitized_library import BUILD, ROOT, build, run_tests


@dataclass(frozen=True)
class Plant:
    name: str
    file: str
    right: str
    wrong: str
    function: str
    report: str
    """The message of the sanitizer, as a regular expression."""
    test: str
    """The test file in ``python_tests`` that runs the changed code."""

    def in_text(self, text: str) -> str:
        if text.count(self.right) != 1:
            raise RuntimeError(f"{self.file} should contain once what {self.name} replaces: {self.right}")
        return text.replace(self.right, self.wrong)

    def is_reported(self, output: str) -> bool:
        """Whether the output has the sanitizer's message, followed by a stack with the function in the file."""
        where = rf"\b{self.function}\b[^\n]*{re.escape(self.file)}:\d+"
        return re.search(rf"{self.report}[^\n]*\n(?:[^\n]+\n)*?\s*#\d+ [^\n]*{where}", output) is not None


PLANTS = (
    Plant(
        name="a read one element past the end of the labels",
        file="csrc/ops/nms/nms_cpu.cpp",
        right="i < p.count; ++i",
        wrong="i <= p.count; ++i",
        function="run",
        report="ERROR: AddressSanitizer: heap-buffer-overflow",
        test="ops/test_nms.py",
    ),
    Plant(
        name="a signed overflow in the sort key of a candidate",
        file="csrc/ops/split_candidates/split_candidates_math.h",
        right="(uint64_t(ordered) << 32)",
        wrong="uint64_t(int64_t(ordered) * (int64_t(1) << 32))",
        function="sample_key",
        report="runtime error: signed integer overflow",
        test="ops/test_split_candidates.py",
    ),
)


def copy_sources(target: Path) -> None:
    """Writes only files that differ, so that the next build compiles only these."""
    for file in [ROOT / "CMakeLists.txt", *(ROOT / "csrc").rglob("*")]:
        copy = target / file.relative_to(ROOT)
        if file.is_file() and not (copy.is_file() and copy.read_bytes() == file.read_bytes()):
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)


def is_found(plant: Plant) -> bool:
    source = BUILD / "planted" / "source"
    copy_sources(source)
    file = source / plant.file
    file.write_text(plant.in_text(file.read_text()))
    library = build(source, BUILD / "planted" / "library")
    run = run_tests(
        library, [ROOT / "python_tests" / plant.test], "-x", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    found = run.returncode != 0 and plant.is_reported(run.stdout)
    print(f"{'found' if found else 'NOT FOUND'}: {plant.name} ({plant.function} in {plant.file})", flush=True)
    if not found:
        print(f"pytest ended with {run.returncode}:\n{run.stdout}", flush=True)
    return found


if __name__ == "__main__":
    sys.exit(0 if all([is_found(plant) for plant in PLANTS]) else 1)
