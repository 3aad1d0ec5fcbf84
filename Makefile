# dilmaç: `make` alone prints what there is. Needs Python 3.11+ and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

$(STAMP): pyproject.toml constraints.txt
	@echo "== setup: a virtual environment in $(VENV), packages pinned by constraints.txt"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade -c constraints.txt pip
	@# torch first and pinned: its CPU build, where pip offers one, satisfies everything after it
	$(BIN)/python -m pip install --quiet --progress-bar off -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --progress-bar off -c constraints.txt -e '.[dev]'
	@touch $(STAMP)

setup: $(STAMP) ## build .venv and install

quickstart: $(STAMP) ## the main job: Turkish text to a model that answers, in quickstart-out/
	@echo "== quickstart: corpus, tokenizer, pretraining, fine-tuning, evaluation, GGUF, an answer"
	$(BIN)/dilmac quickstart --out quickstart-out

lint: $(STAMP) ## ruff, mypy, import-linter
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(STAMP) lint ## lint and every quick test
	@echo "== tests, in two processes (what is longer: make test-slow)"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m 'not slow and not gpu'

test-slow: $(STAMP) ## what takes longer than a few seconds
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m 'slow and not gpu and not whole_machine'
	$(BIN)/python -m pytest -m 'slow and not gpu and whole_machine'

bench: $(STAMP) ## every claim against its named peer; results belong in benchmarks/RESULTS.md
	@for script in $(wildcard benchmarks/*.py); do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean: ## remove .venv and everything that was made
	rm -rf $(VENV) quickstart-out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

.DEFAULT_GOAL := help
.PHONY: help setup quickstart lint test test-slow bench clean
