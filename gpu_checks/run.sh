#!/usr/bin/env bash
# Checks what only a GPU can show: the CUDA tests, the CPU's results, host syncs, CUDA graphs, memory, times,
# compute-sanitizer. docs/gpu.md has the parts.
#
#   bash gpu_checks/run.sh              on a GPU, all parts; results in bench/results/<card>/
#   bash gpu_checks/run.sh PART...      some of them, each of at most five minutes; --list names them
#   bash gpu_checks/run.sh --dry-run    on the CPU with a tiny batch, without what needs a GPU; results in a temporary
#                                       folder
#
# Needs a Python ($PYTHON, default python3) with torch, numpy and pytest, and a built library: $COLAD_LIBRARY, or the one
# in this source tree, or that of an installed colad_ops, or that of a wheel in dist/.
#
# Exit status: 0, all passed; 1, something failed; 2, all that ran passed, but a step could not run (the log says why).
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}

if [[ -z "${COLAD_LIBRARY:-}" && ! -f colad_ops/libcolad_ops.so ]]; then
  # Found from elsewhere, because here the source tree would be found.
  installed=$(cd / && "$PYTHON" -c 'from importlib.util import find_spec
spec = find_spec("colad_ops")
print(spec.submodule_search_locations[0] if spec else "")')
  wheel=$( (ls dist/colad_ops-*.whl 2>/dev/null || true) | tail -n 1)
  if [[ -f "$installed/libcolad_ops.so" ]]; then
    export COLAD_LIBRARY="$installed/libcolad_ops.so"
  elif [[ -n "$wheel" ]]; then
    unpacked=$(mktemp -d)
    trap 'rm -rf "$unpacked"' EXIT
    "$PYTHON" -m zipfile -e "$wheel" "$unpacked"
    export COLAD_LIBRARY="$unpacked/colad_ops/libcolad_ops.so"
  else
    echo "No libcolad_ops.so: build it (pip install .), set COLAD_LIBRARY, or put a wheel into dist/" >&2
    exit 1
  fi
fi
"$PYTHON" -m gpu_checks.run "$@"
