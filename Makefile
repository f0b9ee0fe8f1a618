# Everything runs in a virtual environment that is made on first use. See `make help`.

PYTHON ?= python3
VENV ?= .venv
# Tests that share a simulator build are one xdist group and stay in one process.
PYTEST_FLAGS ?= -n 2 --dist loadgroup

# Those on the page of results.
NETWORKS ?= lenet5 mnist digits digits-conv

BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV)/.dev ## Train a small network in simulated hardware
	$(BIN)/counterflow demo

.PHONY: test
test: lint ## Lint, then run the tests
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

.PHONY: test-all
test-all: lint ## Lint, then run all tests, the slow ones too
	$(BIN)/python -m pytest $(PYTEST_FLAGS) -m ""

.PHONY: lint
lint: $(VENV)/.dev ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.PHONY: formal
formal: $(VENV)/.dev ## Prove small parts with SymbiYosys, and that the proofs find faults
	$(BIN)/counterflow prove

.PHONY: bench
bench: $(VENV)/.bench ## Measure speed against software
	$(BIN)/python -m counterflow.results.benchmark

.PHONY: experiments
experiments: $(VENV)/.dev ## Make the trainings behind docs/results.md (hours; goes on where it stopped)
	$(BIN)/python -m counterflow.results.experiments

.PHONY: speeds
speeds: $(VENV)/.bench ## Measure the speeds behind docs/results.md, on a machine at rest
	for net in $(NETWORKS); do $(BIN)/python -m counterflow.results.benchmark $$net --out docs/results || exit; done

.PHONY: hardware
hardware: $(VENV)/.dev ## Simulate and synthesise for docs/results.md (hours)
	for net in $(NETWORKS); do \
		$(BIN)/counterflow simulate $$net -o build/results/simulate-$$net || exit; \
		$(BIN)/counterflow synth $$net -o build/results/synth-$$net || exit; \
	done

.PHONY: results
results: $(VENV)/.dev ## Write docs/results.md from the JSON of the three above
	$(BIN)/python -m counterflow.results

.PHONY: docs
docs: $(VENV)/.dev ## Make a site of docs/ in build/docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs

.PHONY: venv
venv: $(VENV)/.dev ## Make the virtual environment

.PHONY: clean
clean: ## Remove the virtual environment and all that tools leave behind
	rm -rf $(VENV) build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -rf obj_dir sim_build results.xml
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.dev: pyproject.toml | tools
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --editable '.[dev]'
	$(call require,$(BIN)/python -c 'import find_libpython as f; assert f.find_libpython()',\
		the shared library of $(PYTHON) is missing: install the Debian package libpython3-dev)
	@touch $@

$(VENV)/.bench: $(VENV)/.dev
	$(PIP_INSTALL) --editable '.[bench]'
	@touch $@

# $(call require,command,sentence): stop with the sentence unless the command succeeds.
require = @{ $(1); } >/dev/null 2>&1 || { echo 'error: $(strip $(2)).' >&2; exit 1; }

# The simulator turns a design into C++ and compiles that.
.PHONY: tools
tools:
	$(call require,command -v $(PYTHON),\
		$(PYTHON) is missing: install the Debian package python3)
	$(call require,$(PYTHON) -c 'import sys; assert sys.version_info >= (3$(comma) 11)',\
		$(PYTHON) does not run or is older than 3.11: name another with `make PYTHON=...`)
	$(call require,$(PYTHON) -c 'import ensurepip$(comma) venv',\
		$(PYTHON) cannot make virtual environments: install the Debian package python3-venv)
	$(call require,command -v g++ || command -v c++,\
		a C++ compiler is missing: install the Debian package g++)
	$(call require,command -v make,\
		the command make is missing: install the Debian package make)
	$(call require,perl -e 'use FindBin; use Pod::Usage;',\
		Perl or a part of it is missing: install the Debian package perl)

comma := ,
