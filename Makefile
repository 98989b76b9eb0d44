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

# Everything that the quickstart makes lies in one directory, which workspace users must be able to reach: where root's
# checkout is below a private directory, that is one under /var/lib.
QUICKSTART := $(CURDIR)/.quickstart
ifeq ($(shell id -u),0)
QUICKSTART := $(shell $(PYTHON) -c 'import os; os.setgroups([]); os.setgid(65534); os.setuid(65534); os.stat("$(CURDIR)/.")' \
	2>/dev/null && echo $(QUICKSTART) || echo /var/lib/alive-codex-quickstart)
endif
COLLECTION := $(shell find galaxy.yml README.md LICENSE meta playbooks plugins roles -type f ! -name '*.pyc')

quickstart: export ANSIBLE_HOME := $(QUICKSTART)/ansible
quickstart: export ANSIBLE_COLLECTIONS_PATH := $(QUICKSTART)/collections
quickstart: export ANSIBLE_CONFIG := $(QUICKSTART)/ansible.cfg
quickstart: export LC_ALL := C.UTF-8
quickstart: export TMPDIR := $(QUICKSTART)/tmp
quickstart: $(QUICKSTART)/collections/.installed
	@case $(QUICKSTART) in /var/lib/*) echo "Workspace users cannot reach this checkout: all goes into $(QUICKSTART)";; esac
	@$(QUICKSTART)/venv/bin/ansible-playbook -i localhost, alive.codex.quickstart -e quickstart_directory=$(QUICKSTART)

$(QUICKSTART)/collections/.installed: $(QUICKSTART)/venv/.installed $(COLLECTION)
	@echo "Installing the collection"
	@rm -rf $(@D) && mkdir -p $(@D)
	@$(QUICKSTART)/venv/bin/ansible-galaxy collection build --output-path $(@D) >/dev/null
	@$(QUICKSTART)/venv/bin/ansible-galaxy collection install --offline --collections-path $(@D) $(@D)/alive-codex-*.tar.gz >/dev/null
	@touch $@

$(QUICKSTART)/venv/.installed: tests/requirements.txt
	@echo "Installing ansible-core into $(QUICKSTART)"
	@$(PYTHON) -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Python 3.11 or newer with venv is needed: apt install python3-venv, or make PYTHON=python3.11"; exit 1; }
	@mkdir -p -m 0755 $(QUICKSTART) $(TMPDIR)
	@printf '[defaults]\ncallback_result_format = yaml\nnocows = true\n' > $(ANSIBLE_CONFIG)
	@rm -rf $(@D) && $(PYTHON) -m venv $(@D)
	@grep '^ansible-core\|^packaging' tests/requirements.txt > $(@D)/requirements.txt
	@$(@D)/bin/pip install --quiet --no-cache-dir --requirement $(@D)/requirements.txt || \
		{ echo "pip could not install what is above. Where PyPI is not reachable, set PIP_INDEX_URL to a mirror."; exit 1; }
	@touch $@

clean:
	@for fleet in $(CACHE)/hosts/*/; do \
		[ ! -d "$$fleet" ] || $(PYTHON) tests/support/fleet.py --fleet "$$(basename "$$fleet")" down; done
	rm -rf .quickstart $(QUICKSTART) $(CACHE) $(VENV) .*_cache .hypothesis .ansible

test: test-lint test-sanity test-unit test-system test-molecule
	@cat $(CACHE)/skipped 2>/dev/null || :

# The working tree as a collection, for tools that find one by its place.
$(CHECKOUT): ; @mkdir -p $(@D) && ln -sfn $(CURDIR) $@

test-lint: $(READY) $(CHECKOUT)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	MYPYPATH=$(CACHE)/checkout $(VENV)/bin/mypy --cache-dir $(CACHE)/mypy --package ansible_collections.alive.codex.plugins
	ANSIBLE_COLLECTIONS_PATH=$(CACHE)/checkout $(VENV)/bin/ansible-lint
	$(VENV)/bin/antsibull-changelog lint

test-sanity: $(READY)
	$(VENV)/bin/python tests/sanity/run.py $(CACHE)/sanity

test-unit: $(READY)
	$(VENV)/bin/pytest tests/unit

# Much of it waits for processes: two files at a time.
test-system: $(READY)
	$(VENV)/bin/pytest --numprocesses 2 --dist loadfile --durations 10 tests/system

# The tarball as a user gets it, installed where this checkout's Ansible looks for collections.
build: $(READY)
	rm -rf $(CACHE)/build
	$(VENV)/bin/ansible-galaxy collection build --output-path $(CACHE)/build

install: build
	$(VENV)/bin/ansible-galaxy collection install --force --offline --collections-path $(CACHE)/collections $(CACHE)/build/*.tar.gz

test-molecule: install
	@reason=$$($(VENV)/bin/python tests/support/fleet.py check 2>&1); \
	if [ -n "$$reason" ]; then echo "SKIPPED: Molecule needs real hosts: $$reason" | tee $(CACHE)/skipped; \
	else rm -f $(CACHE)/skipped; $(VENV)/bin/molecule test; fi

# One row alone: make bench ROW=workspaces
bench: $(READY)
	cd tests && $(VENV)/bin/python -m bench $(CACHE)/bench.txt $(ROW)
