# make quickstart   the main job on this machine, against the real Codex CLI
# make test         everything: lint; sanity, unit and system in old and in new surroundings; molecule
# make gates        the community's own checks: antsibull-nox, galaxy-importer
# make bench        every speed claim, side by side
# make hosts N=5    so many real hosts, with an inventory, to try things on; make hosts-down ends them
# make canary       what depends on the CLI, with npm's latest release of it; make canary CLI=0.172.0 with another
# make clean        removes all of it
PYTHON ?= python3
# Another ansible-core than the pinned one, such as 2.17, in a fresh VENV: for sanity, unit and system tests. The linter
# and Molecule, which ask for a recent one, are left out.
ANSIBLE_CORE ?=
# A directory of our own: one with other things in it is neither used nor removed.
VENV ?= .venv

# Paths end up in PATH, in the first lines of scripts, in Ansible's lists and between double quotes here. What none of
# these takes apart is fit for all; anything else is refused before a target makes or removes something.
quoted = '$(subst ','\'',$(1))'
define newline


endef
UNFIT := $(if $(findstring $(newline),$(VENV)$(PYTHON)),a newline)$(shell set -- $(call quoted,$(VENV)) $(call quoted,$(PYTHON)); here=$$(pwd -P; printf /); \
	printf %s "$${here%??}$$*" | LC_ALL=C tr -d 'A-Za-z0-9 ._/+,@()\200-\377-' | LC_ALL=C tr '[:cntrl:]' '?')
ifneq ($(UNFIT),)
$(error The path of this checkout, VENV and PYTHON may hold letters, digits, blanks and . _ / + , @ ( ) - but not $(UNFIT): \
	move the checkout, or choose others)
endif
ifneq ($(lastword $(MAKEFILE_LIST)),Makefile)
$(error Everything here is for the directory that make starts in: make -C the checkout, without -f)
endif

override VENV := $(if $(filter /%,$(firstword $(VENV))),,$(CURDIR)/)$(VENV)
override CACHE := $(CURDIR)/.cache
override CHECKOUT := $(CACHE)/checkout/ansible_collections/alive/codex
override MUTANTS := $(CACHE)/mutation/ansible_collections/alive/codex
# Molecule and ansible-lint look for their helpers on PATH. Version managers' shims must not win over the venv.
export PATH := $(VENV)/bin:$(PATH)
# Caches and collections of this checkout only, so that nothing outside it is read or written.
export ANSIBLE_HOME := $(CACHE)/ansible
export ANSIBLE_COLLECTIONS_PATH := $(CACHE)/collections

.DEFAULT_GOAL := help
# All of them: make takes the names of files apart at blanks, so the recipes themselves see what is up to date.
.PHONY: help setup build install quickstart quickstart-collection quickstart-venv test test-lint test-old test-new \
	test-sanity test-unit test-units test-system test-molecule test-scenarios fleet soak hosts hosts-down gates coverage docsite \
	mutation bench canary canary-record clean

help:
	@sed -n 's/^# //p' Makefile | head -7

# .requirements is there from the start, requirements.txt when all of it is installed.
setup:
	@[ "$(VENV)/requirements.txt" -nt tests/requirements.txt ] || { set -ex; \
	"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'; \
	[ -e "$(VENV)/.requirements" ] || [ -z "$$(ls -A "$(VENV)" 2>/dev/null)" ] || \
		{ set +x; echo "$(VENV) was not made by make setup: remove it, or choose another VENV"; exit 1; }; \
	mkdir -p "$(VENV)"; \
	sed '$(if $(ANSIBLE_CORE),s/^ansible-core==.*/ansible-core==$(ANSIBLE_CORE).*/; /^ansible-lint\|^molecule/d)' \
		tests/requirements.txt > "$(VENV)/.requirements"; \
	"$(PYTHON)" -m venv "$(VENV)"; \
	"$(VENV)/bin/python" -m pip install --quiet --requirement "$(VENV)/.requirements"; \
	cp "$(VENV)/.requirements" "$(VENV)/requirements.txt"; }

# Everything that the quickstart makes lies in one directory, which workspace users must be able to reach: where root's
# checkout is below a private directory, that is one under /var/lib, of this checkout alone.
override QUICKSTART := $(CURDIR)/.quickstart
ifeq ($(shell id -u),0)
override QUICKSTART := $(shell "$(PYTHON)" -c 'import os; os.setgroups([]); os.setgid(65534); os.setuid(65534); os.stat("$(CURDIR)/.")' \
	2>/dev/null && echo "$(QUICKSTART)" || \
	echo "/var/lib/alive-codex-quickstart-$$(pwd -P | cksum | cut -d ' ' -f 1)")
endif

# Root runs what lies there: the umask must not let others change it.
QUICK := quickstart quickstart-collection quickstart-venv
$(QUICK): export ANSIBLE_HOME := $(QUICKSTART)/ansible
$(QUICK): export ANSIBLE_COLLECTIONS_PATH := $(QUICKSTART)/collections
$(QUICK): export ANSIBLE_CONFIG := $(QUICKSTART)/ansible.cfg
$(QUICK): export LC_ALL := C.UTF-8
$(QUICK): export TMPDIR := $(QUICKSTART)/tmp
quickstart: quickstart-collection
	@[ "$(QUICKSTART)" = "$(CURDIR)/.quickstart" ] || echo "Workspace users cannot reach this checkout: all goes into $(QUICKSTART)"
	@umask 022; "$(QUICKSTART)/venv/bin/ansible-playbook" -i localhost, alive.codex.quickstart -e '{"quickstart_directory": "$(QUICKSTART)"}'

quickstart-collection: export PLACE := $(QUICKSTART)/collections
quickstart-collection: quickstart-venv
	@[ "$$PLACE/.installed" -nt "$(QUICKSTART)/venv/.installed" ] && [ -z "$$(find galaxy.yml README.md LICENSE meta \
	playbooks plugins roles ! -name '*.pyc' ! -name __pycache__ -newer "$$PLACE/.installed")" ] || { set -e; umask 022; \
	echo "Installing the collection"; \
	rm -rf "$$PLACE"; mkdir -p "$$PLACE"; \
	"$(QUICKSTART)/venv/bin/ansible-galaxy" collection build --output-path "$$PLACE" >/dev/null; \
	"$(QUICKSTART)/venv/bin/ansible-galaxy" collection install --offline --collections-path "$$PLACE" \
		"$$PLACE"/alive-codex-*.tar.gz >/dev/null; \
	touch "$$PLACE/.installed"; }

quickstart-venv: export PLACE := $(QUICKSTART)/venv
quickstart-venv:
	@[ "$$PLACE/.installed" -nt tests/requirements.txt ] || { set -e; umask 022; \
	echo "Installing ansible-core into $(QUICKSTART)"; \
	"$(PYTHON)" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Python 3.11 or newer with venv is needed: apt install python3-venv, or make PYTHON=python3.11"; exit 1; }; \
	mkdir -p -m 0755 "$(QUICKSTART)" "$$TMPDIR"; \
	printf '[defaults]\ncallback_result_format = yaml\nnocows = true\n' > "$$ANSIBLE_CONFIG"; \
	rm -rf "$$PLACE"; "$(PYTHON)" -m venv "$$PLACE"; \
	grep '^ansible-core\|^packaging' tests/requirements.txt > "$$PLACE/requirements.txt"; \
	"$$PLACE/bin/python" -m pip install --quiet --no-cache-dir --requirement "$$PLACE/requirements.txt" || \
		{ echo "pip could not install what is above. Where PyPI is not reachable, set PIP_INDEX_URL to a mirror."; exit 1; }; \
	touch "$$PLACE/.installed"; }

clean:
	@for fleet in "$(CACHE)"/hosts/*/; do \
		[ ! -d "$$fleet" ] || "$(PYTHON)" tests/support/fleet.py --fleet "$$(basename "$$fleet")" down || exit 1; done
	rm -rf .quickstart "$(QUICKSTART)" .cache .*_cache .hypothesis .ansible
	@if [ -e "$(VENV)/.requirements" ]; then set -x; rm -rf "$(VENV)"; \
	elif [ -e "$(VENV)" ]; then echo "$(VENV) was not made by make setup: it stays"; fi

# Lint and gates keep one core busy each.
test:
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=line test-lint gates
	@$(MAKE) --no-print-directory test-units test-old test-new test-molecule
	@cat "$(CACHE)"/summary/old* "$(CACHE)"/summary/new* "$(CACHE)"/summary/molecule 2>/dev/null || :

# Sanity, unit and system tests with the old of all that varies, and with the new: see tests/README.md.
test-old test-new: setup
	"$(VENV)/bin/python" tests/support/surroundings.py $(@:test-%=%) test-sanity test-unit test-system

test-lint: setup
	@# The working tree as a collection, for tools that find one by its place.
	@mkdir -p "$(CACHE)/checkout/ansible_collections/alive" && ln -sfn "$(CURDIR)" "$(CHECKOUT)"
	"$(VENV)/bin/ruff" check .
	"$(VENV)/bin/ruff" format --check .
	MYPYPATH=.cache/checkout "$(VENV)/bin/mypy" --cache-dir "$(CACHE)/mypy" --package ansible_collections.alive.codex.plugins
	ANSIBLE_COLLECTIONS_PATH="$(CACHE)/checkout" "$(VENV)/bin/ansible-lint"
	"$(VENV)/bin/antsibull-changelog" lint
	ANSIBLE_COLLECTIONS_PATH="$(CACHE)/checkout" "$(VENV)/bin/antsibull-docs" lint-collection-docs --plugin-docs "$(CHECKOUT)"
	"$(VENV)/bin/yamllint" --strict .
	"$(VENV)/bin/codespell"
	"$(VENV)/bin/shellcheck" .ci/run tests/support/host/*.sh molecule/tasks/*.sh
	"$(VENV)/bin/reuse" lint --quiet || "$(VENV)/bin/reuse" lint

# The community's own checks, as antsibull-nox.toml has them, in an environment of their own: galaxy-importer is one.
gates:
	@[ -x "$(CACHE)/nox/bin/antsibull-nox" ] || { set -ex; "$(PYTHON)" -m venv "$(CACHE)/nox"; \
	"$(CACHE)/nox/bin/python" -m pip install --quiet --requirement tests/nox-requirements.txt; }
	"$(CACHE)/nox/bin/nox" --envdir "$(CACHE)/nox/sessions"

test-sanity: setup
	"$(VENV)/bin/python" tests/support/ansible_test.py sanity "$(CACHE)/sanity"

# Target code with every Python of targets that this machine has; make test-unit tries more, with one.
test-units: setup
	"$(VENV)/bin/python" tests/support/ansible_test.py units "$(CACHE)/sanity" tests/unit/plugins/module_utils/

test-unit: setup
	"$(VENV)/bin/pytest" --numprocesses 2 --dist loadfile tests/unit

# More files at a time than there are cores, in an order of our own: much of it waits for processes.
test-system: setup
	"$(VENV)/bin/pytest" --numprocesses 3 --dist loadfile --no-loadscope-reorder --durations 10 tests/system

# How much of plugins/ the tests run, in this surrounding, with branches: PARTS=tests/unit for the unit tests alone. All of
# them together run nine tenths of it at least. What runs between fork and exec, and in a process that is killed, such as the
# init of a namespace, is not counted. Measured processes are slower than a few tests allow: what these say counts in make
# test alone.
PARTS ?= tests/unit tests/system

coverage: export ALIVE_CHECKOUT := $(CURDIR)
coverage: export COVERAGE_FILE := $(CACHE)/coverage/data
coverage: setup
	rm -rf "$(CACHE)/coverage" && mkdir -p "$(CACHE)" && mkdir -m 1777 "$(CACHE)/coverage"
	"$(VENV)/bin/coverage" run -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(PARTS) || [ $$? = 1 ]
	"$(VENV)/bin/coverage" combine --quiet
	"$(VENV)/bin/coverage" report $(if $(filter tests/system,$(PARTS)),--fail-under 90)

# Small changes to the pure files, which the unit tests of the last commit have to notice. Hours, or one file in minutes:
# make mutation FILE=plugins/module_utils/_formats/units.py
only_file = sed -i '/^module-path/,/^]/c module-path = "$(FILE)"'
mutation: setup
	rm -rf "$(CACHE)/mutation" && git clone --quiet . "$(MUTANTS)"
	$(if $(FILE),$(only_file) "$(MUTANTS)/tests/mutation.toml")
	cd "$(MUTANTS)" && "$(VENV)/bin/cosmic-ray" init tests/mutation.toml mutants.sqlite && \
		"$(VENV)/bin/cr-filter-operators" mutants.sqlite tests/mutation.toml && \
		"$(VENV)/bin/cosmic-ray" exec tests/mutation.toml mutants.sqlite
	"$(VENV)/bin/cr-report" --surviving-only --show-diff "$(MUTANTS)/mutants.sqlite" | tee "$(CACHE)/mutation/survivors.txt"
	"$(VENV)/bin/cr-rate" "$(MUTANTS)/mutants.sqlite"

# The documentation as a site, in .cache/docsite/html, of what a user gets. A warning is an error.
docsite: override PLACE := $(CACHE)/docsite
docsite: install
	@[ "$(PLACE)/venv/.installed" -nt tests/docsite-requirements.txt ] || { set -ex; rm -rf "$(PLACE)/venv"; \
	"$(PYTHON)" -m venv "$(PLACE)/venv"; \
	"$(PLACE)/venv/bin/python" -m pip install --quiet --requirement tests/docsite-requirements.txt; \
	touch "$(PLACE)/venv/.installed"; }
	rm -rf "$(PLACE)/pages" "$(PLACE)/html" && mkdir -p "$(PLACE)/pages"
	cp -R docs/*.md docs/images tests/docsite/. "$(PLACE)/pages"
	PATH="$(PLACE)/venv/bin:$$PATH" antsibull-docs collection --use-current --fail-on-error --dest-dir "$(PLACE)/pages" alive.codex
	"$(PLACE)/venv/bin/sphinx-build" --quiet --fail-on-warning --keep-going "$(PLACE)/pages" "$(PLACE)/html"

# The tarball as a user gets it, installed where this checkout's Ansible looks for collections.
build: setup
	rm -rf "$(CACHE)/build"
	"$(VENV)/bin/ansible-galaxy" collection build --output-path "$(CACHE)/build"

install: build
	"$(VENV)/bin/ansible-galaxy" collection install --force --offline --collections-path "$(CACHE)/collections" "$(CACHE)/build"/*.tar.gz

test-molecule: install
	@mkdir -p "$(CACHE)/summary"; \
	reason=$$("$(VENV)/bin/python" tests/support/fleet.py check 2>&1); \
	if [ -n "$$reason" ]; then echo "NOT RUN: Molecule needs real hosts: $$reason" | tee "$(CACHE)/summary/molecule"; \
	else rm -f "$(CACHE)/summary/molecule"; "$(VENV)/bin/molecule" test; fi

# Each is about one thing, on hosts of its own, and takes a minute or more: not in make test. matrix and unprivileged have the
# real CLI, the others small packages in its place. One alone: make test-scenarios SCENARIOS=update
SCENARIOS ?= unprivileged matrix prune status update rollback remove handmade offline
test-scenarios: install
	@mkdir -p "$(CACHE)/summary"; : > "$(CACHE)/summary/scenarios"; \
	reason=$$("$(VENV)/bin/python" tests/support/fleet.py check 2>&1); \
	if [ -n "$$reason" ]; then echo "NOT RUN: Molecule needs real hosts: $$reason"; exit 0; fi; \
	for scenario in $(SCENARIOS); do began=$$(date +%s); ended=passed; \
		"$(VENV)/bin/molecule" test --scenario-name "$$scenario" || ended=FAILED; \
		echo "$$scenario: $$ended in $$(($$(date +%s) - began)) s" >> "$(CACHE)/summary/scenarios"; done; \
	cat "$(CACHE)/summary/scenarios"; ! grep -q FAILED "$(CACHE)/summary/scenarios"

# Deploys and updates of 20 hosts that work, and each killed ten times: an hour. make test has 4 hosts, killed once.
fleet: export ALIVE_HOSTS ?= 20
fleet: export ALIVE_TRIALS ?= 10
fleet: setup
	"$(VENV)/bin/pytest" --capture=no --durations 0 tests/system/test_fleet.py

# What make test tries with a few examples only: hostile streams, races, HOMEs with many sessions. Half an hour.
SOAK := exec_hostile.py prune_cli.py prune_whole.py
soak: export ALIVE_HOSTILE ?= 3000
soak: export ALIVE_SESSIONS ?= 100
soak: export ALIVE_TRIALS ?= 20
soak: setup
	"$(VENV)/bin/pytest" --numprocesses 2 --dist loadfile --durations 10 $(addprefix tests/system/test_,$(SOAK))

# Hosts to try things on: N of them, of another release of Debian or Ubuntu with SUITE=trixie, without Node.js with NODE=.
N ?= 5
SUITE ?=
NODE ?= node
hosts:
	@"$(PYTHON)" tests/support/fleet.py --fleet manual up --suite "$(SUITE)" \
		$$(seq --format "worker%g$(if $(NODE),:node)" "$(N)") && \
		echo "They are in $(CACHE)/hosts/manual/inventory.json; make hosts-down ends them"

hosts-down:
	@"$(PYTHON)" tests/support/fleet.py --fleet manual down

# One row alone: make bench ROW=workspaces
bench: setup
	cd tests && "$(VENV)/bin/python" -m bench "$(CACHE)/bench.txt" $(ROW)

# A release of the CLI, as a version or a tag of npm's.
CLI ?= latest

# Its tests, and how it differs from the releases that tests/canary/versions describes.
canary: setup
	cd tests && "$(VENV)/bin/python" -m canary run "$(CLI)"

# Its description, to be reviewed and committed.
canary-record: setup
	cd tests && "$(VENV)/bin/python" -m canary record "$(CLI)"
