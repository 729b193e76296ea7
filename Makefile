.PHONY: help build test bench golden table lint
PYTHON ?= python

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
build: ## compile the extension and install lcfast from this folder
	$(PYTHON) -m pip install -e '.[test]'
test: ## run the tests
	$(PYTHON) -m pytest
bench: ## time the layers with pytest-benchmark
	$(PYTHON) -m pytest benchmarks -o testpaths=benchmarks --benchmark-columns=min,median,rounds
golden: ## write the goldens anew (needs a venv with tf_keras, see tests/golden/generate.py)
	$(PYTHON) tests/golden/generate.py
table: ## write the tables of the README and of docs/keras.md anew, from goldens and tests
	$(PYTHON) docs/supported_table.py && PYTHONPATH=tests $(PYTHON) docs/members_table.py
lint: ## ruff, mypy, and the C with warnings as errors under every compiler that is here
	$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check . && $(PYTHON) -m mypy && sh lcfast/local_conv/c/check.sh
