# Everything from nothing: `make gap-length` and `make test` need Python 3.11 or newer, make and a package index.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Further options of the command, as in: make gap-length ARGS="--cells lstm --gaps 5 10"
ARGS ?=

.PHONY: gap-length copy-task suite why translate language-model test test-quick test-faults test-slurm mutants benchmark lint peers lock docs release clean help

help:  ## What there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

gap-length: $(VENV)/.run  ## The main experiment, quick preset: the plot is in results/gap_length
	$(BIN)/python -m experiments.gap_length --preset quick $(ARGS)

copy-task: $(VENV)/.run  ## The copying memory task, quick preset: the plot is in results/copy_task
	$(BIN)/python -m experiments.copy_task --preset quick $(ARGS)

suite: $(VENV)/.run  ## All cells on a small set of tasks; repeated, it goes on: results/suite/leaderboard.md
	$(BIN)/python -m experiments.suite $(ARGS)

why: $(VENV)/.run  ## Why the cells of docs/results/quick stop: verdicts and pictures are in results/why
	$(BIN)/python -m experiments.why --rescued docs/results/rescues $(ARGS)

translate: $(VENV)/.text  ## English to Marathi, quick preset: scores, samples and plots are in results/translation
	$(BIN)/python -m experiments.translation --preset quick $(ARGS)

language-model: $(VENV)/.run  ## The King James Bible, quick preset: the plot is in results/language_model
	$(BIN)/python -m experiments.language_model --preset quick $(ARGS)

test: $(VENV)/.dev  ## All tests
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(ARGS)

# What says most in a minute: each part of the package, but no whole command.
QUICK := $(addprefix tests/,analysis/test_choice.py analysis/test_summary.py figures/test_table.py \
  sweeps/test_config.py sweeps/test_options.py sweeps/test_queue.py sweeps/test_records.py tasks/test_solved.py \
  text/test_vocabulary.py test_layout.py test_mutants.py test_parameters.py test_registry.py test_scan.py)

test-quick: $(VENV)/.dev  ## A part of the tests, in under 90 seconds: what to run while editing
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(QUICK) $(ARGS)

test-faults: $(VENV)/.dev  ## The tests of faults in their long form: kills, flipped bits, races, cut points (an hour)
	FAULTS=long $(BIN)/python -m pytest tests/faults $(ARGS)
	FAULTS=long $(BIN)/python -m pytest -m long tests --ignore tests/faults --ignore tests/slurm $(ARGS)

test-slurm: $(VENV)/.dev  ## The Slurm executor on a real Slurm: installed by apt if missing, started, tested, stopped
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[slurm]'
	SLURM_TEST=1 tests/slurm/with_slurm.sh $(BIN)/python -m pytest tests/slurm $(ARGS)

mutants: peers  ## Put faults into copies of the code, one at a time: a test must see each (ten minutes on two cores)
	$(BIN)/python tests/mutants.py --baseline $(ARGS)

benchmark: peers  ## Ours against Flax, Haiku, Equinox and PyTorch: a training step, then a whole sweep (one to two hours)
	PATH="$(CURDIR)/$(BIN):$$PATH" bash benchmarks/reference/performance.sh

lint: $(VENV)/.dev  ## Style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

peers: $(VENV)/.dev  ## PyTorch and the JAX libraries that we compare with, Ray, submitit: tests use those that are there
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[peers,ray,slurm]'

FETCHED := <(script|img|iframe|source)[^>]*src="https?:|<link[^>]*href="https?:|url\(["'"'"']?https?:|@import

docs: $(VENV)/.dev  ## The documentation as a site that needs no network: site/html/index.html. Warnings are errors
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --fresh-env docs site/html
	! grep --recursive --extended-regexp --include '*.html' --include '*.css' '$(FETCHED)' site/html

lock: $(VENV)/.dev  ## Make the locks anew, for all Python versions at once
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	for extra in '' text dev; do \
	  $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --no-annotate \
	    --generate-hashes $${extra:+--extra $$extra} pyproject.toml -o requirements$${extra:+-$$extra}.lock || exit 1; \
	done

release: $(VENV)/.dev  ## Build sdist and wheel, check them, and run the wheel alone in a fresh environment
	$(BIN)/python -m pip install --quiet --disable-pip-version-check build twine
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/python -m twine check --strict dist/*
	PYTHON=$(PYTHON) tests/release.sh dist/*.whl

clean:  ## Remove the environment; results stay
	rm -rf $(VENV)

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: Python 3.11 or newer is needed, $(PYTHON) is older or missing: make PYTHON=python3.12 ..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

# A stamp is written last: an installation that was cut off is made again.
$(VENV)/.run: pyproject.toml requirements.lock | $(VENV)/pyvenv.cfg
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/.text: requirements-text.lock $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-text.lock
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@
