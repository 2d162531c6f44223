# Two commands do everything on a fresh machine: `make demo` and `make test`.
VENV := .venv
PEERS := .venv-peers
INTEGRATIONS := .venv-integrations
PYTHON := $(VENV)/bin/python
SOURCES := CMakeLists.txt setup.py pyproject.toml $(shell find csrc -type f)
# One pinned torch for work on colad_ops itself; the package accepts any torch >= 2.11. Where only CPU builds are wanted:
# TORCH='torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu'
TORCH ?= torch==2.13.0
FORMATTED := $(shell find csrc python_tests -name '*.cpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh')

.PHONY: help demo test lint format test-asan test-integrations mutations bench bench-peers bench-scaling wheel clean

help:  ## what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/installed  ## train PAA, LAD and CoLAD on handwritten digits and draw what they assigned
	$(PYTHON) -m colad_ops demo

test: $(VENV)/installed  ## run all tests
	$(PYTHON) -m pytest python_tests

lint: $(VENV)/installed $(VENV)/lint  ## ruff, clang-format, mypy: change nothing, fail on what they find
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	@echo clang-format --dry-run --Werror
	@$(VENV)/bin/clang-format --dry-run --Werror $(FORMATTED)
	$(VENV)/bin/mypy

format: $(VENV)/lint  ## let ruff and clang-format mend what they can
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .
	@echo clang-format -i
	@$(VENV)/bin/clang-format -i $(FORMATTED)

# With AddressSanitizer and UndefinedBehaviorSanitizer, in build/asan; the installed library stays as it is.
test-asan: $(VENV)/installed  ## run the tests of the operators with AddressSanitizer and UBSan
	$(PYTHON) -m python_tests.sanitizers.planted_errors
	$(PYTHON) -m python_tests.sanitizers.run_operator_tests

# An environment of its own with another torch. The wheel is installed there unchanged, and the tests are the last entry
# of the path, so that they import the installed package.
test-integrations: $(INTEGRATIONS)/installed  ## run the adapters inside torchvision, mmdetection and others
	$(INTEGRATIONS)/bin/pytest --import-mode=importlib -o pythonpath= python_tests/integrations

$(INTEGRATIONS)/installed: $(VENV)/installed python_tests/integrations/packages.txt $(shell find colad_ops -name '*.py')
	test -x $(INTEGRATIONS)/bin/python || python3 -m venv $(INTEGRATIONS)
	$(INTEGRATIONS)/bin/python -m pip install -q -r python_tests/integrations/packages.txt
	$(INTEGRATIONS)/bin/python -m pip install -q --no-deps mmdet==3.3.0  # its mmcv has no wheel for this torch
	$(PYTHON) -m pip wheel -q . --no-deps --no-build-isolation -w build/wheel
	$(INTEGRATIONS)/bin/python -m pip install -q --force-reinstall --no-deps build/wheel/*.whl
	echo $(CURDIR) > $$($(INTEGRATIONS)/bin/python -c 'import site; print(site.getsitepackages()[0])')/colad_ops_tests.pth
	touch $@

# Does the emulated device notice a missing barrier?
mutations: $(VENV)/installed  ## remove each barrier of the CUDA kernels in turn; the emulator has to notice; some minutes
	$(PYTHON) -m python_tests.simt.mutations

bench: $(VENV)/installed  ## time the operators against their peers, into bench/results/<machine>/; some minutes
	$(PYTHON) -m bench.run

# An environment of its own, which uses the library that is built in the tree.
bench-peers: $(VENV)/installed $(PEERS)/installed  ## the same with more peers: torchvision, numba, fastbbox
	$(PEERS)/bin/python -m bench.run

bench-scaling: $(VENV)/installed  ## time and memory against anchors, objects, classes and images
	$(PYTHON) -m bench.run scaling

$(PEERS)/installed: bench/peers.txt
	test -x $(PEERS)/bin/python || python3 -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install -q $(TORCH)
	$(PEERS)/bin/python -m pip install -q -r bench/peers.txt
	touch $@

wheel: $(VENV)/installed  ## build a wheel into dist/
	$(PYTHON) -m pip wheel . --no-deps --no-build-isolation -w dist

# Torch first and build isolation off, so that the library is built against the torch it is tested with.
$(VENV)/installed: $(SOURCES)
	test -x $(PYTHON) || python3 -m venv $(VENV)
	$(PYTHON) -m pip install -q --upgrade pip
	$(PYTHON) -m pip install -q $(TORCH)
	$(PYTHON) -m pip install -q setuptools wheel cmake ninja
	$(PYTHON) -m pip install -q --no-build-isolation -e '.[test]'
	touch $@

$(VENV)/lint: $(VENV)/installed pyproject.toml
	$(PYTHON) -m pip install -q --group lint
	touch $@

clean:  ## remove what was built and the environments
	rm -rf build dist $(VENV) $(PEERS) $(INTEGRATIONS) colad_ops/libcolad_ops.so
