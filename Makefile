# All that needs doing, on a machine with Python and make: each target installs what it needs into .venv first.

PYTHON ?= python3
BIN := .venv/bin
BASE := .venv/.base-installed
DEV := .venv/.dev-installed
COURSE := .venv/.course-installed
BENCHMARKS := exact sgd huber quantile streaming startup accuracy
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test check bench reliability coverage course reproduce clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1	/'

demo: $(BASE) ## fit the Palmer penguins, print the table, write the model and two figures
	$(BIN)/linnet demo

test: $(DEV) ## run the tests, on every processor; ARGS="-k word" selects some
	$(BIN)/python -m pytest -n auto $(ARGS)

check: $(DEV) ## lint, formatting and types, README.md's examples among them
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	mkdir -p build
	$(BIN)/python tests/test_readme.py code > build/readme.py
	$(BIN)/mypy --allow-untyped-defs build/readme.py

bench: $(DEV) ## run the benchmarks, some twenty minutes; ARGS=--quick for a smoke run
	set -e; for name in $(BENCHMARKS); do $(BIN)/python benchmarks/$$name.py $(ARGS); done

reliability: $(DEV) ## kill runs of SGD, damage their checkpoints, fill the disk: some eight minutes; ARGS=--quick for a smoke run
	$(BIN)/python benchmarks/reliability.py $(ARGS)

coverage: $(DEV) ## simulate how often intervals of robust fits hold the truth: some seven minutes; ARGS=--quick for a smoke run
	$(BIN)/python benchmarks/interval_coverage.py $(ARGS)

course: $(COURSE) ## run all lessons; course/built then has them as notebooks and as pages to read
	mkdir -p course/built
	set -e; for lesson in course/[0-9]*.py; do \
		$(BIN)/jupytext --quiet --to ipynb --output course/built/$$(basename $$lesson .py).ipynb $$lesson; done
	$(BIN)/jupyter nbconvert --log-level ERROR --to notebook --execute --inplace course/built/*.ipynb
	$(BIN)/jupyter nbconvert --log-level ERROR --to html course/built/*.ipynb

reproduce: $(DEV) ## run the published experiments over 20 seeds, and write their table into course/README.md
	$(BIN)/python course/reproduce.py

clean: ## remove .venv and everything else that these targets made
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist course/built
	rm -f penguins-model.json penguins-weights.png penguins-loss.png
	find src tests benchmarks course -name __pycache__ -type d -prune -exec rm -rf {} +

# Two steps, so that the demo need not wait for the developers' tools.
$(BASE): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Linnet needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ": try make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(PIP) -e .
	touch $@

$(DEV): $(BASE)
	$(PIP) -e ".[dev,torch]"
	touch $@

$(COURSE): $(DEV)
	$(PIP) -e ".[course]"
	touch $@
