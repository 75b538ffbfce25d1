# The building site. Each target makes what it needs; pip is the user's own, with the user's own configuration.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ORACLE := .venv-oracle
BENCH  := .venv-bench
CLIENTS := .venv-clients

.PHONY: help demo test lint oracle clients bench torture size clean

help:           ## this list
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 12

demo: $(VENV)/.base    ## from nothing to search results
	@$(BIN)/sememe demo

test: $(VENV)/.dev     ## all fast tests; needs no torch
	@$(BIN)/python -m pytest -q

lint: $(VENV)/.dev     ## style, format, types, floors; all of them, whichever fails
	@failed=0; \
	$(BIN)/ruff check . || failed=1; \
	$(BIN)/ruff format --check . || failed=1; \
	$(BIN)/mypy || failed=1; \
	$(BIN)/lint-imports --no-logo || failed=1; \
	exit $$failed

oracle: $(ORACLE)/.ready   ## compare with torch, transformers and sentence-transformers, in a room of their own
	@$(ORACLE)/bin/python tests/oracle/make_golden.py --check

clients: $(CLIENTS)/.ready  ## the server as openai, cohere, ollama, LangChain and LlamaIndex see it
	@$(CLIENTS)/bin/python -c "import openai, cohere, ollama, langchain_openai, llama_index.embeddings.openai"
	@$(CLIENTS)/bin/python -m pytest -q -o filterwarnings=default tests/clients

bench: $(BENCH)/.ready     ## what is timed, with the figures of this run, peers beside it
	@for script in benchmarks/*.py; do echo "== $$script"; $(BENCH)/bin/python $$script || exit 1; done

torture: $(VENV)/.dev  ## the long tests: kill -9, two writers, large inputs
	@$(BIN)/python -m pytest -q -m slow

size:           ## installed size of the base, in a scratch environment
	@$(PYTHON) .ci/size.py

clean:          ## remove what this file made
	rm -rf $(VENV) $(ORACLE) $(BENCH) $(CLIENTS) .demo dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: an environment is made once and brought up to date when pyproject.toml changes.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -e .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -e '.[dev]'
	@touch $@ $(VENV)/.base

$(ORACLE)/.ready: pyproject.toml tests/oracle/requirements.txt
	test -x $(ORACLE)/bin/python || $(PYTHON) -m venv $(ORACLE)
	$(ORACLE)/bin/python -m pip install -q -r tests/oracle/requirements.txt -e '.[dev]'
	@touch $@

$(CLIENTS)/.ready: pyproject.toml tests/clients/requirements.txt
	test -x $(CLIENTS)/bin/python || $(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/python -m pip install -q -r tests/clients/requirements.txt -e '.[server]'
	@touch $@

$(BENCH)/.ready: pyproject.toml tests/oracle/requirements.txt benchmarks/requirements.txt
	test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install -q -r tests/oracle/requirements.txt -r benchmarks/requirements.txt -e '.[dev]'
	@touch $@
