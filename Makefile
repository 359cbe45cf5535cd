# Five verbs keep the house: check, test, bench, docs, release. `say` is for a first visit, `dev` for the first day,
# `train` makes a voice: `make train CONFIG=recipes/smoke.yaml OUT=runs/smoke`; it goes on where it was stopped.
# `download-data` fetches LJSpeech into data/.
PYTHON ?= python3
TEXT ?= Hello. This voice came with the package, and speaks without any download.
CONFIG ?= recipes/smoke.yaml
OUT ?= runs/$(basename $(notdir $(CONFIG)))
BIN := .venv/bin

.PHONY: say dev check test compiled lane test-slow test-load test-pythons bench docs release train download-data

say: .venv-say/.done
	.venv-say/bin/portavoz say "$(TEXT)" -o say.wav --play

# The base package alone: no framework, nothing but what `pip install portavoz` brings.
.venv-say/.done: pyproject.toml
	$(PYTHON) -m venv .venv-say
	.venv-say/bin/python -m pip install --quiet --editable .
	touch $@

dev: .venv/.done

.venv/.done: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps chatterbox-tts s3tokenizer resemble-perth
	touch $@

check: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/basedpyright

# Two processes; tests/conftest.py says which tests stay together. What each of them would make for itself is made while
# `check` uses the other core.
test: dev
	$(MAKE) --no-print-directory --jobs check compiled lane
	$(BIN)/python -m pytest -n 2 --dist loadscope

# The programs that tests start find compiled modules, also where PYTHONDONTWRITEBYTECODE is set, and write none: under a
# limit of file sizes Python keeps half a one. pytest compiles tests, and what it checks the types of, in its own way.
compiled: dev
	$(BIN)/python -m compileall -q src
	-PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --collect-only -q >/dev/null

# The mock lane of TTNN; where it cannot be built, its tests say what is missing.
lane: dev
	-$(BIN)/python scripts/ttnn_mock.py

test-slow: dev test-pythons
	$(BIN)/python -m pytest -m slow

# The part of the suite that needs no framework, on every other Python that is found here.
test-pythons:
	$(PYTHON) scripts/test_pythons.py

# The server under load, an hour in all; `make test-load LINE="streams drain"` runs some of its lines.
test-load: dev
	mkdir -p runs
	$(BIN)/python tests/load $(LINE) --json runs/load.json

bench: dev
	mkdir -p runs/bench
	set -e; for script in bench/[!_]*.py; do \
	    $(BIN)/python "$$script" --json "runs/bench/$$(basename "$$script" .py).json"; done

train: dev
	$(BIN)/portavoz train $(CONFIG) --out $(OUT)

download-data: dev
	$(BIN)/python recipes/download.py --out data

docs: dev
	$(BIN)/mkdocs build --strict

release: test docs
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python scripts/check_release.py dist
	$(BIN)/python scripts/check_licences.py
	@echo "pip-audit: not run here, it needs its database: python -m pip_audit --requirement constraints.txt"
