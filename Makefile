# `make help` tells what there is. Every target sets up what it needs.
.DEFAULT_GOAL := help
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory

VENV := .venv/bin
LAB := PYTHONPATH=tests/lab $(VENV)/python -m ecommus_lab
FLAVOUR ?= full
VERSION ?= v1.4.0

export ANSIBLE_HOME ?= $(CURDIR)/.ansible
# A lab that is down is an error, not an empty inventory.
export ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED := true

.PHONY: help setup demo test test-all unit integration molecule molecule-down faults faults-quick matrix mutation lab lab-status lab-down lint docs \
	bench bench-way-back changelog release clean setup-controller setup-lab setup-test setup-lint setup-docs setup-release \
	setup-mutation

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  FLAVOUR=light   with lab or demo: a small build of the same shops, ready much sooner"

setup-controller setup-lab setup-test setup-lint setup-docs setup-release setup-mutation:
	@scripts/setup $(@:setup-%=%)

setup: setup-test setup-lint ## Set up everything for a change, and quick checks before each commit
	@$(VENV)/pre-commit install

lab: setup-lab ## Start three shops at v1.3.2 (or say that they run)
	@$(LAB) up --flavour $(FLAVOUR)

lab-status: setup-lab ## Show what runs
	@$(LAB) status

lab-down: ## Stop the lab and remove what it left
	@if [ -e .venv/.setup/lab ] || [ -e .venv/.setup/test ]; then $(LAB) down; fi

demo: setup-lab ## Start the lab and upgrade its shops to v1.4.0
	@$(LAB) up --flavour $(FLAVOUR)
	@$(VENV)/ansible-playbook playbooks/upgrade.yml -i inventories/lab -e version=$(VERSION)
	@$(LAB) hints

test: unit integration molecule faults-quick ## Run the tests, of slow variations and of the faults a few each

test-all: setup-test ## Run the slow variations too, on every PostgreSQL that is installed
	@ECOMMUS_TEST_MAJORS=all $(VENV)/python -m pytest -m ""

unit: setup-test ## Run the tests that need no service
	@$(VENV)/python -m pytest -n auto tests/unit

integration: setup-test ## Run the tests on the lab: real upgrades and rollbacks
	@$(VENV)/python -m pytest tests/integration

molecule: ## Tell the stories of the operator: real playbooks, a deploy user, looked at from outside and inside
	@scripts/molecule test --all --no-command-borders

molecule-down:
	@if [ -e .venv/.setup/test ]; then scripts/molecule destroy -s default >/dev/null 2>&1; fi

faults: setup-test ## Break shops in every way there is a test for, and see that none stays broken; LABS=2 side by side
	@$(VENV)/python -m pytest -m "" $(if $(LABS),-n $(LABS) --dist worksteal) tests/faults

faults-quick: setup-test
	@$(VENV)/python -m pytest -m quick tests/faults

matrix: setup-lab ## Run the collection with every supported ansible-core; ONLY="2.19 2.22" for some
	@PYTHONPATH=tests/lab $(VENV)/python tests/matrix/matrix.py $(ONLY)

mutation: setup-mutation ## Change the library in small ways and count what no unit test notices; ONLY="_policy" for all of some modules
	@$(VENV)/python tests/mutation/mutation.py $(ONLY)

lint: setup-lint ## Check style, types, YAML, shell, documentation, licences and Ansible
	@$(VENV)/ruff check .
	@$(VENV)/ruff format --check tests/lab/ecommus_lab
	@MYPYPATH=playbooks/collections $(VENV)/mypy -p ansible_collections.mdlabs.ecommus.plugins.module_utils
	@$(VENV)/mypy tests/lab/ecommus_lab
	@$(VENV)/yamllint --strict .
	@shellcheck scripts/setup scripts/molecule scripts/sanity scripts/units scripts/tree scripts/pythons scripts/docs scripts/docs-lint \
		scripts/importer scripts/changelog scripts/release tests/bench/documented.sh .ci/run
	@$(VENV)/reuse lint --quiet
	@$(VENV)/antsibull-changelog lint
	@ANSIBLE_COLLECTIONS_PATH=playbooks/collections $(VENV)/ansible-lint
	@scripts/docs-lint
	@scripts/docs
	@scripts/sanity
	@scripts/units
	@scripts/importer

docs: setup-docs ## Build the documentation as a site, .cache/docs/html/index.html
	@scripts/docs

bench: setup-test ## Compare with the documented procedure typed as a shell script
	@$(VENV)/python tests/bench/bench.py

bench-way-back: setup-test ## Measure how soon the old release serves again when an upgrade fails
	@$(VENV)/python tests/bench/way_back.py

changelog: setup-release ## Write the changelog of the version in galaxy.yml from the fragments
	@scripts/changelog

release: setup-release ## Make artifact, changelog, SBOM and checksums of the last commit in dist/, and upgrade a shop with them
	@PYTHONPATH=tests/lab scripts/release

clean: lab-down molecule-down ## Remove everything that was made: lab, tools, caches, environment
	@rm -rf .lab .cache .venv .ansible .pytest_cache .mypy_cache .ruff_cache .hypothesis dist
