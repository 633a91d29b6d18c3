# `make audit` and `make test` are all a newcomer needs; each makes the environment first when there is none.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Without an NVIDIA driver, PyTorch's own index of CPU wheels is asked too; where it is out of reach the registry's wheel serves.
TORCH_INDEX ?= $(shell command -v nvidia-smi >/dev/null 2>&1 || echo --extra-index-url https://download.pytorch.org/whl/cpu)
PIP_FLAGS := --quiet --disable-pip-version-check

# one thread per worker (OMP_NUM_THREADS): two workers of two threads each would fight over two cores
WORKERS := -n 2 --dist worksteal
NAME ?= scorer

.PHONY: help audit test test-fast test-next check format catalogues fuzz bench screenshots dashboard clean

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

$(BIN)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Assay needs Python 3.11 or newer, this is %d.%d; set PYTHON=" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@echo "installing into $(VENV) (once, a few minutes)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP_FLAGS) --retries 1 --no-deps -c constraints.txt torch $(TORCH_INDEX)
	$(BIN)/python -m pip install $(PIP_FLAGS) -c constraints.txt -e '.[dev]'
	@touch $@

audit: $(BIN)/.installed  ## audit a real BERT and a real GPT checkpoint, end to end
	$(BIN)/assay train examples/first_audit/train.yaml --if-missing
	$(BIN)/assay shadows checkpoints/imdb-minilm --count 6 --records 300 --trust-manifest
	@for spec in bert gpt; do \
	  $(BIN)/assay run examples/first_audit/$$spec.yaml --trust-manifest; code=$$?; \
	  case $$code in 0|1|3) ;; *) exit $$code;; esac; \
	done
	@echo; $(BIN)/assay show
	@echo "open the dashboard: make dashboard"

test: $(BIN)/.installed  ## the whole test suite; prints what was skipped and why
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(WORKERS)

test-fast: $(BIN)/.installed  ## what starts no process and no model: under a minute
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --fast -q $(WORKERS)

$(VENV)-next/bin/.installed: pyproject.toml constraints-next.txt
	$(PYTHON) -m venv $(VENV)-next
	$(VENV)-next/bin/python -m pip install $(PIP_FLAGS) --retries 1 --no-deps -c constraints-next.txt torch $(TORCH_INDEX)
	$(VENV)-next/bin/python -m pip install $(PIP_FLAGS) --no-deps -r constraints-next.txt
	$(VENV)-next/bin/python -m pip install $(PIP_FLAGS) --no-deps -e .
	@touch $@

test-next: $(VENV)-next/bin/.installed  ## the same tests on transformers 5
	OMP_NUM_THREADS=1 $(VENV)-next/bin/python -m pytest $(WORKERS)

check: $(BIN)/.installed  ## ruff, strict mypy, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy harness suites privacy dashboards benchmarks tests
	$(BIN)/lint-imports --no-logo

format: $(BIN)/.installed  ## let ruff format and fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

catalogues: $(BIN)/.installed  ## bring the translations of pages and reports up to date, and compile them
	$(BIN)/python -m tests.catalogues.collect

fuzz: $(BIN)/.installed  ## change checkpoints at random for FUZZ_MINUTES (10): nothing may end in a traceback
	$(BIN)/python -m tests.hostile.fuzz

bench: $(BIN)/.installed  ## run one benchmark: make bench NAME=scorer
	$(BIN)/python -m benchmarks.run $(NAME)

screenshots: $(BIN)/.installed  ## take docs/images of every page of the dashboard over ./audits
	$(BIN)/python -m benchmarks.browser.screenshots

dashboard: $(BIN)/.installed  ## open the dashboard over ./audits
	$(BIN)/assay dashboard

clean:  ## remove environments and caches; audits and checkpoints stay
	rm -rf $(VENV) $(VENV)-next .mypy_cache .ruff_cache .import_linter_cache .pytest_cache .hypothesis *.egg-info
