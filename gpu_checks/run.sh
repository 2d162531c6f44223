#!/usr/bin/env bash
# Everything that only a GPU can show, in one command without arguments: the CUDA tests, the operators' laws on a device,
# the benches, compute-sanitizer. Needs python3 ($PYTHON) with torch, numpy and pytest, and a built library:
# $COLAD_LIBRARY, else the one in this tree, of an installed colad_ops, or of a wheel in dist/. Writes
# bench/results/<card>/.
#
# Ends with 0: all ran and passed; 1: something failed; 2: what ran passed, but something could not run (the log says
# what). With --dry-run: the same on the CPU on a tiny batch, what needs a GPU left out, results in a temporary folder.
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
