# make quickstart   the main job on this machine, against the real Codex CLI
# make test         everything: lint, sanity, unit, system, molecule
# make bench        every speed claim, side by side
# make clean        removes all of it
PYTHON ?= python3
# Another ansible-core than the pinned one, such as 2.17, in a fresh VENV: for sanity, unit and system tests. The linter
# and Molecule, which ask for a recent one, are left out.
ANSIBLE_CORE ?=
VENV   ?= $(CURDIR)/.venv
CACHE  := $(CURDIR)/.cache
READY  := $(VENV)/.requirements
CHECKOUT := $(CACHE)/checkout/ansible_collections/alive/codex
# Molecule and ansible-lint look for their helpers on PATH. Version managers' shims must not win over the venv.
export PATH := $(VENV)/bin:$(PATH)
# Caches and collections of this checkout only, so that nothing outside it is read or written.
export ANSIBLE_HOME := $(CACHE)/ansible
export ANSIBLE_COLLECTIONS_PATH := $(CACHE)/collections

.DEFAULT_GOAL := help
.PHONY: help setup build install quickstart test test-lint test-sanity test-unit test-system test-molecule bench clean

help:
	@sed -n 's/^# //p' Makefile | head -4

setup: $(READY)

$(READY): tests/requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	sed '$(if $(ANSIBLE_CORE),s/^ansible-core==.*/ansible-core==$(ANSIBLE_CORE).*/; /^ansible-lint\|^molecule/d)' tests/requirements.txt > $(VENV)/requirements.txt
	$(VENV)/bin/pip install --quiet --requirement $(VENV)/requirements.txt
	touch $@

test: test-lint test-sanity test-unit test-system test-molecule

# The working tree as a collection, for tools that find one by its place.
$(CHECKOUT): ; @mkdir -p $(@D) && ln -sfn $(CURDIR) $@

test-lint: $(READY) $(CHECKOUT)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	MYPYPATH=$(CACHE)/checkout $(VENV)/bin/mypy --cache-dir $(CACHE)/mypy --package ansible_collections.alive.codex.plugins
	$(VENV)/bin/ansible-lint
	$(VENV)/bin/antsibull-changelog lint

test-sanity: $(READY)
	$(VENV)/bin/python tests/sanity/run.py $(CACHE)/sanity

test-unit: $(READY)
	$(VENV)/bin/pytest tests/unit

test-system: $(READY)
	$(VENV)/bin/pytest tests/system

# The tarball as a user gets it, installed where this checkout's Ansible looks for collections.
build: $(READY)
	rm -rf $(CACHE)/build
	$(VENV)/bin/ansible-galaxy collection build --output-path $(CACHE)/build

install: build
	$(VENV)/bin/ansible-galaxy collection install --force --offline --collections-path $(CACHE)/collections $(CACHE)/build/*.tar.gz

test-molecule: install
	@reason=$$($(VENV)/bin/python tests/support/hosts.py check 2>&1); \
	if [ -n "$$reason" ]; then echo "SKIPPED: Molecule needs real hosts: $$reason" | tee $(CACHE)/skipped; \
	else rm -f $(CACHE)/skipped; $(VENV)/bin/molecule test; fi

# One row alone: make bench ROW=workspaces
bench: $(READY)
	cd tests && $(VENV)/bin/python -m bench $(CACHE)/bench.txt $(ROW)
