"""Runs every test of the operators with the sanitized library: `make test-asan`. The first error ends the run."""

import sys
from pathlib import Path

from python_tests.sanitizers.sanitized_library import BUILD, ROOT, build, run_tests

# Excluded folders: formulas, because its module is not part of the library (the operator tests run the same headers);
# detection, data, engine and commands, because they test Python; package, because it tests the installed library.
FOLDERS = ("ops", "golden", "oracles", "properties", "errors")


def files_of(folder: str) -> list[Path]:
    files = sorted((ROOT / "python_tests" / folder).glob("test_*.py"))
    if not files:
        raise FileNotFoundError(f"no test in python_tests/{folder}")
    return files


if __name__ == "__main__":
    files = [file for folder in FOLDERS for file in files_of(folder)]
    sys.exit(run_tests(build(ROOT, BUILD / "library"), files, *sys.argv[1:]).returncode)
