# `make train REPO=/path` learns a repository, `make test` runs every test. Both set up .venv first; a second call costs nothing.
PYTHON ?= python3
REPO ?= .
MINUTES ?= 5
STAMP := .venv/.installed

.PHONY: install train test lint clean

install: $(STAMP)

$(STAMP): pyproject.toml tests/export/transformers-4.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target .venv/transformers-4 \
		--requirement tests/export/transformers-4.txt
	.venv/bin/python -m compileall -q cllm
	.venv/bin/python -P -m cllm.operations.compile_kernels
	touch $@

train: $(STAMP)
	.venv/bin/cllm train '$(REPO)' --minutes $(MINUTES)

lint: $(STAMP)
	.venv/bin/ruff check cllm tests
	.venv/bin/ruff format --check cllm tests
	.venv/bin/mypy
	.venv/bin/python tests/style/check_words.py
	.venv/bin/python tests/style/check_docstrings.py

test: lint
	.venv/bin/pytest --numprocesses 2 --dist worksteal

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
