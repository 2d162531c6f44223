"""Runs every test of the operators with the sanitized library: `make test-asan`. The first error ends the run."""

import sys

from sanitized_library import BUILD, ROOT, build, run_tests

# Not here: test_formulas_*, whose module is compiled apart from the library (the operator tests run the same headers);
# detectors, data and engine, which are Python; test_build and test_readme, which are about the installed library.
PATTERNS = ("test_op_*.py", "test_golden_*.py", "test_oracle_*.py", "test_properties_*.py", "test_bad_*.py")

if __name__ == "__main__":
    files = sorted(file for pattern in PATTERNS for file in (ROOT / "python_tests").glob(pattern))
    sys.exit(run_tests(build(ROOT, BUILD / "library"), files, *sys.argv[1:]).returncode)
