# sudo make drill    run the main job: a real cluster loses its active node, and the report says what users noticed
# sudo make test     every check and test there is, cluster tests included
# make check         lint, types and unit tests; no root, under a minute
SHELL := /bin/bash
BUILD := $(or $(KAPPA_BUILD_DIR),build)
PYTHON := $(BUILD)/venv/bin/python
LAB := $(PYTHON) -m kappa_lab.cli
# caches in a folder of the caller's own: what root made does not stand in the way of a run without root, nor the other way
MINE := $(or $(TMPDIR),/tmp)/kappa-ha-check-$(shell id -u)
SOURCES := resource_agents stonith kappa_bot vagrant tests

.PHONY: help drill test check lint unit unit-agents unit-conform unit-fencing unit-rest test-units test-cluster bench lab-up lab-status lab-down lab-build vm-up box deps deps-vm clean

help:
	@sed -n 's/^# //p' Makefile | head -3
	@echo 'also: bench, lab-up, vm-up, lab-status, lab-down, box, deps, clean (removes reports and built images too)'

drill: deps
	@$(LAB) drill run $(or $(DRILL),power-cut)

lab-up: deps
	@$(LAB) up

lab-status:
	@[ -x $(PYTHON) ] || { echo 'No lab is up. `sudo make lab-up` starts one.'; exit 0; }; $(LAB) status

lab-down:
	@[ -x $(PYTHON) ] || { echo 'There is nothing to take down.'; exit 0; }; $(LAB) down

lab-build: deps
	@$(LAB) build

# the same lab with virtual machines for nodes; lab-status and lab-down are theirs too
vm-up: deps-vm
	@$(LAB) up --lab vagrant

box: deps-vm
	@$(LAB) box build

deps:
	@vagrant/bootstrap deps

deps-vm:
	@vagrant/bootstrap deps-vm

check: lint unit

lint:
	@vagrant/bootstrap venv
	@$(PYTHON) -m ruff check --cache-dir $(MINE)/ruff $(SOURCES)
	@$(PYTHON) -m ruff format --check --cache-dir $(MINE)/ruff $(SOURCES)
	@$(PYTHON) -m mypy --cache-dir $(MINE)/mypy

# in four parts side by side: most of them wait for processes
UNIT := $(PYTHON) -m pytest -q -p no:cacheprovider -m 'not mongod and not root and not cluster and not slow'
AGENTS := tests/unit/resource_agents
FENCING := tests/unit/stonith
CONFORM := $(AGENTS)/test_conform.py $(AGENTS)/test_conform_fencing.py
unit:
	@vagrant/bootstrap venv
	@$(MAKE) --no-print-directory -j4 unit-agents unit-conform unit-fencing unit-rest

unit-agents:
	@$(UNIT) $(CONFORM:%=--ignore=%) $(AGENTS)

unit-conform:
	@$(UNIT) $(CONFORM)

unit-fencing:
	@$(UNIT) $(FENCING)

unit-rest:
	@$(UNIT) --ignore=$(AGENTS) --ignore=$(FENCING) tests/unit

# what the bot achieves and what the agents cost, beside what others use (root: addresses, Nginx, a network namespace);
# build/bench/bot.json and agents.json
bench:
	@vagrant/bootstrap bench
	@$(PYTHON) -m tests.bench.bot --out $(BUILD)/bench/bot.json
	@$(PYTHON) -m tests.bench.agents --out $(BUILD)/bench/agents.json
	@$(PYTHON) -m tests.bench.fence --out $(BUILD)/bench/fence.json

# images first, with their progress shown; then the unit tests beside the cluster's, which mostly wait, and the laws'
test: deps lint lab-build
	@$(MAKE) --no-print-directory -j2 test-cluster test-units

FULL := $(PYTHON) -m pytest --tb=short -p no:cacheprovider --durations=15
test-units:
	@$(FULL) -q tests/unit

test-cluster:
	@$(FULL) -v tests/cluster
	@$(FULL) -q tests/laws

clean: lab-down
	rm -rf $(BUILD)/*
