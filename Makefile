# Two commands do everything on a fresh machine: `make demo` and `make test`.
VENV := .venv
PEERS := .venv-peers
PYTHON := $(VENV)/bin/python
SOURCES := CMakeLists.txt setup.py pyproject.toml $(shell find csrc -type f)
# One pinned torch for work on colad_ops itself; the package accepts any torch >= 2.11. Where only CPU builds are wanted:
# TORCH='torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu'
TORCH ?= torch==2.13.0

.PHONY: demo test test-asan mutations bench bench-peers bench-scaling wheel clean

demo: $(VENV)/installed
	$(PYTHON) -m colad_ops demo

test: $(VENV)/installed
	$(PYTHON) -m pytest python_tests

# With AddressSanitizer and UndefinedBehaviorSanitizer, in build/asan; the installed library stays as it is.
test-asan: $(VENV)/installed
	$(PYTHON) -m python_tests.sanitizers.planted_errors
	$(PYTHON) -m python_tests.sanitizers.run_operator_tests

# Does the emulated device notice a missing barrier? Removes each of the assignment kernels' in turn; some minutes.
mutations: $(VENV)/installed
	$(PYTHON) -m python_tests.simt.mutations

# The operators against their peers: table and pictures in bench/results/<machine>/; some minutes.
bench: $(VENV)/installed
	$(PYTHON) -m bench.run

# The same where more peers are: torchvision, numba, fastbbox. It uses the library that is built in the tree.
bench-peers: $(VENV)/installed $(PEERS)/installed
	$(PEERS)/bin/python -m bench.run

bench-scaling: $(VENV)/installed
	$(PYTHON) -m bench.run scaling

$(PEERS)/installed: bench/peers.txt
	test -x $(PEERS)/bin/python || python3 -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install -q $(TORCH)
	$(PEERS)/bin/python -m pip install -q -r bench/peers.txt
	touch $@

wheel: $(VENV)/installed
	$(PYTHON) -m pip wheel . --no-deps --no-build-isolation -w dist

# Torch first and build isolation off, so that the library is built against the torch it is tested with.
$(VENV)/installed: $(SOURCES)
	test -x $(PYTHON) || python3 -m venv $(VENV)
	$(PYTHON) -m pip install -q --upgrade pip
	$(PYTHON) -m pip install -q $(TORCH)
	$(PYTHON) -m pip install -q setuptools wheel cmake ninja
	$(PYTHON) -m pip install -q --no-build-isolation -e '.[test]'
	touch $@

clean:
	rm -rf build dist $(VENV) $(PEERS) colad_ops/libcolad_ops.so
