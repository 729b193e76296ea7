.PHONY: help build test test-c sanitize coverage mutants fuzz bits differential long-run bench bench-compare bench-peers golden table lint
PYTHON ?= python

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
build: ## compile the extension and install lcfast from this folder
	$(PYTHON) -m pip install -e '.[test]'
test: ## run the tests
	$(PYTHON) -m pytest
test-c: ## the kernels in C: each compiler that is here, sanitizers, aarch64 under qemu
	sh tests/c/run.sh
sanitize: ## the Python tests on extensions that watch addresses, leaks, undefined behaviour and races
	PYTHON=$(PYTHON) sh tests/c/sanitize.sh $(SANITIZER)
coverage: ## how many lines of the kernels in C the tests in C run, by gcov
	sh tests/c/coverage.sh
mutants: ## change geometry.py and weight_layouts.py in each way that cosmic-ray knows: a test must fail
	$(PYTHON) tests/mutation/mutants.py $(MODULES)
bits: ## the digest of all answers, with each Python of PYTHONS, gcc, clang, old and new numpy
	$(PYTHON) tests/bits/environments.py $(PYTHONS)
differential: ## random models of tf_keras against lcfast (LCFAST_KERAS_PYTHON; DIFFERENTIAL="--models 1000")
	$(PYTHON) tests/differential/run.py $(DIFFERENTIAL)
bench: ## time the layers with pytest-benchmark and save the times
	$(PYTHON) -m pytest benchmarks/test_speed.py --benchmark-columns=min,median,rounds --benchmark-autosave
bench-compare: ## time them again and compare with the times that were saved last
	$(PYTHON) -m pytest benchmarks/test_speed.py --benchmark-columns=min,median,rounds --benchmark-compare --benchmark-group-by=fullname -W default::pytest_benchmark.logger.PytestBenchmarkWarning
bench-peers: ## lcfast, its peers and the roofline (docs/benchmarks.md says how to name their Pythons)
	$(PYTHON) -m benchmarks $(BENCH)
golden: ## write the goldens anew (needs a venv with tf_keras, see tests/golden/generate.py)
	$(PYTHON) tests/golden/generate.py
table: ## write the tables of the README and of docs/keras.md anew, from goldens and tests
	for table in supported members containers; do $(PYTHON) -m tests.support.$${table}_table || exit; done
fuzz: ## fuzz one reader (needs `pip install atheris`): make fuzz READER=hdf5 SECONDS=600
	$(PYTHON) -m fuzz $(or $(READER),hdf5) --seconds $(or $(SECONDS),600)
lint: ## ruff, mypy, and the C with warnings as errors under every compiler that is here
	$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check . && $(PYTHON) -m mypy && sh lcfast/local_conv/c/check.sh
long-run: ## an hour of mixed work: memory stays flat, no descriptor is left open (SECONDS=60 for a minute)
	$(PYTHON) tests/processes/long_run.py $(SECONDS)
