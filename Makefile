# Vervain's commands. Each is also a plain command, printed as it runs.
# A fresh machine needs Python 3.11 or newer with venv, make and git; everything else is installed into .venv.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/vervain.setup
NO_NETWORK := The network of several nodes is not part of this version.

.PHONY: help setup setup-network demo test prove bench check network-demo docs

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 16

setup: ## venv and locked dependencies (quick when nothing changed)
	@if ! "$(PYTHON)" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
	  echo "Python 3.11 or newer with venv is needed: install python3 and python3-venv, or say make PYTHON=/path/to/python3.11." >&2
	  exit 2
	fi
	wanted=$$({ cat requirements-dev.lock pyproject.toml; pwd; } | "$(PYTHON)" -c \
	  'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')
	if [ "$$(cat $(STAMP) 2>/dev/null || true)" = "$$wanted" ] && $(BIN)/python -c ''; then exit 0; fi
	echo "Setting up .venv from requirements-dev.lock ..."
	[ -x $(BIN)/python ] && $(BIN)/python -c '' 2>/dev/null || "$(PYTHON)" -m venv --clear .venv
	quick_install() {
	  awk '/^uv==/ {on = 1} on {print} on && !/\\$$/ {exit}' requirements-dev.lock > .venv/uv.lock
	  $(BIN)/python -m pip install --quiet --require-hashes --no-deps -r .venv/uv.lock &&
	    $(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.lock
	}
	if ! quick_install; then
	  echo "uv could not install the lock; pip does it (slower, same hashes)."
	  $(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	fi
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	echo "$$wanted" > $(STAMP)
	echo "Ready: $(BIN)/vervain"

setup-network: ## builds nothing: several nodes are not part of this version
	@echo "$(NO_NETWORK)"

demo: setup ## a member, patients, grants and a receipt that is verified offline
	$(BIN)/vervain demo

check: setup ## lint, format, types, import contracts, declared dependencies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/deptry src

test: setup setup-network check ## what CI runs
	$(BIN)/python -m pytest -n 2

prove: setup ## every acceptance count at full size; resumable; writes build/prove.json
	$(BIN)/python -m tests.prove

bench: setup ## measures and updates benchmarks/results.json
	$(BIN)/python -m benchmarks.run

network-demo: ## says that several nodes are not part of this version
	@echo "$(NO_NETWORK)"
	exit 4  # unavailable

docs: setup ## checks the documentation and regenerates its generated parts
	$(BIN)/python -m tests.tidy.generated_docs
	$(BIN)/python -m pytest tests/tidy/test_docs.py tests/tidy/test_pages.py
