# `make demo` and `make test` make what they need: VENV, a virtual environment, from PYTHON (3.10 or
# later), with lcfast compiled and installed into it in editable mode.  A file $(VENV)/.extra-NAME
# says that the requirements of that extra of pyproject.toml are installed.
PYTHON ?= python3
VENV ?= .venv
python = "$(VENV)/bin/python"
sources = $(wildcard lcfast/local_conv/*.pyx lcfast/local_conv/*.pxd lcfast/local_conv/c/*.[ch] \
	lcfast/program/*.pyx lcfast/program/*.pxd)
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.NOTPARALLEL: # two pips must not write into one environment
.PHONY: help demo test test-all build lint docs wheel wheels test-c sanitize coverage mutants fuzz \
	bits differential long-run bench bench-compare bench-peers bench-models golden \
	table

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' Makefile
demo: $(VENV)/.installed ## install lcfast into .venv, score the digits of examples/, print the accuracy
	$(python) -m lcfast predict examples/digits.h5 examples/digits_images.npy -o probabilities.npy
	@$(python) examples/accuracy.py probabilities.npy
test: $(VENV)/.extra-test ## run the fast tests, in about three minutes
	$(python) -m pytest
test-all: $(VENV)/.extra-test ## run all tests: servers, interrupts and a minute of the long run too
	$(python) -m pytest --full
	$(python) -m pytest --full -m slow
build: $(VENV)/.installed ## install lcfast into .venv, or compile the extension modules that changed
lint: $(VENV)/.extra-test $(VENV)/.extra-lint ## ruff, mypy, and the C with warnings as errors
	$(python) -m ruff check . && $(python) -m ruff format --check . && $(python) -m mypy
	sh lcfast/local_conv/c/check.sh
docs: $(VENV)/.extra-docs ## the documentation as HTML, in build/docs
	$(python) -m sphinx -W -b html docs build/docs
wheel: $(VENV)/.extra-wheel ## the sdist and a manylinux wheel of this Python, in dist/
	rm -rf build/wheel dist
	$(python) -m build --outdir build/wheel .
	PATH="$$(cd "$(VENV)/bin" && pwd):$$PATH" auditwheel repair --wheel-dir dist build/wheel/*.whl
	cp build/wheel/*.tar.gz dist
wheels: $(VENV)/.extra-release ## the sdist and the wheels of all Pythons for this architecture, in dist/ (needs docker)
	rm -rf dist
	$(python) -m build --sdist --outdir dist .
	$(python) -m cibuildwheel --output-dir dist
test-c: ## the kernels in C: each compiler found, sanitizers, aarch64 under qemu
	sh tests/c/run.sh
sanitize: $(VENV)/.extra-test ## the Python tests under the address, undefined-behaviour and thread sanitizers
	PYTHON=$(python) sh tests/c/sanitize.sh $(SANITIZER)
coverage: ## the line coverage of the kernels by the tests in C, by gcov
	sh tests/c/coverage.sh
mutants: $(VENV)/.extra-test ## mutation tests of geometry.py and weight_layouts.py, with cosmic-ray
	$(python) tests/mutation/mutants.py $(MODULES)
fuzz: $(VENV)/.extra-test ## fuzz one reader (needs atheris in .venv): make fuzz READER=hdf5 SECONDS=600
	$(python) -m fuzz $(or $(READER),hdf5) --seconds $(or $(SECONDS),600)
bits: $(VENV)/.installed ## the digests of all results, for PYTHONS="python3.10 ...", gcc, clang, old and new numpy
	$(python) tests/bits/environments.py $(PYTHONS)
differential: $(VENV)/.extra-test ## random models against tf_keras (LCFAST_KERAS_PYTHON; DIFFERENTIAL="--models 1000")
	$(python) tests/differential/run.py $(DIFFERENTIAL)
long-run: $(VENV)/.extra-test ## an hour of mixed work: memory and descriptors stay level (SECONDS=60 for a minute)
	$(python) -m tests.processes.long_run $(SECONDS)
bench: $(VENV)/.extra-test ## time the layers with pytest-benchmark and save the times
	$(python) -m pytest benchmarks/test_speed.py --benchmark-columns=min,median,rounds --benchmark-autosave
bench-compare: $(VENV)/.extra-test ## time the layers and compare with the times saved last
	$(python) -m pytest benchmarks/test_speed.py --benchmark-columns=min,median,rounds --benchmark-compare --benchmark-group-by=fullname -W default::pytest_benchmark.logger.PytestBenchmarkWarning
bench-peers: $(VENV)/.extra-test ## compare with other libraries and the roofline (see docs/benchmarks.md)
	$(python) -m benchmarks $(BENCH)
bench-models: $(VENV)/.extra-test ## compare whole models with other engines (see docs/benchmarks.md)
	$(python) -m benchmarks.models $(BENCH)
golden: ## rewrite the goldens: make golden VENV=DIR, DIR having tf_keras (see tests/golden/generate.py)
	$(python) tests/golden/generate.py
table: $(VENV)/.extra-test ## rewrite the tables of the documentation from goldens and tests
	for table in supported members containers; do $(python) -m tests.support.$${table}_table || exit; done

# $(call need,COMMAND,SENTENCE): print SENTENCE, which has no comma, and stop where COMMAND fails.
need = @{ $(1); } >/dev/null 2>&1 || { echo '$(2)' >&2; exit 1; }
is_usable = $(python) -c 'import sys, importlib.metadata as m; sys.exit(sys.version_info < (3, 10) or not m.files("pip"))'
cc = $$($(python) -c 'import os, sysconfig; print(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")')
include = "$$($(python) -c 'import sysconfig; print(sysconfig.get_path("include"))')"
install = echo "Compiling lcfast and installing it into $(VENV), once: this takes a minute or two." && \
	$(python) -m pip install --quiet --editable .
compile = echo "Compiling the changed extension modules in place." && \
	$(python) -m pip install --quiet 'setuptools>=77' 'Cython>=3.1' && \
	$(python) setup.py --quiet build_ext --inplace

$(VENV)/.made: # a virtual environment that is there already is kept; a broken one is made again
	$(call need,"$(PYTHON)" -c "import sys",There is no $(PYTHON) here: install Python 3.10 or later or name one with PYTHON=/path/to/python3.)
	$(call need,"$(PYTHON)" -c "import sys; sys.exit(sys.hexversion < 0x030a0000)",$(PYTHON) is older than Python 3.10: name a later one with PYTHON=/path/to/python3.)
	$(call need,"$(PYTHON)" -c "import ensurepip; import venv",$(PYTHON) cannot make virtual environments: install its modules venv and ensurepip (Debian: apt install python3-venv).)
	@{ $(is_usable) || { $(python) -m ensurepip && $(is_usable); }; } >/dev/null 2>&1 || \
		"$(PYTHON)" -m venv --clear "$(VENV)"
	@touch $@

$(VENV)/.installed: pyproject.toml setup.py $(sources) | $(VENV)/.made
	$(call need,echo "#include <stdio.h>" | $(cc) -E -,There is no working C compiler here: install gcc or clang (Debian: apt install gcc libc6-dev) or name one with CC=/path/to/cc.)
	$(call need,echo "#include <Python.h>" | $(cc) -I$(include) -E -,The C headers of $(PYTHON) (Python.h) are missing: install them (Debian: apt install python3-dev).)
	@$(if $(filter-out $(sources),$?),$(install),$(compile))
	@touch $@

$(VENV)/.extra-%: pyproject.toml | $(VENV)/.installed # lcfast itself is installed: pip adds the rest
	$(python) -m pip install --quiet "lcfast[$*]"
	@touch $@
