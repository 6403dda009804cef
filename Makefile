# sudo make drill    run the main job: a real cluster loses its active node, and the report says what users noticed
# sudo make test     every check and test there is, cluster tests included
# make check         lint, types and unit tests; no root, about a minute
SHELL := /bin/bash
BUILD := $(or $(KAPPA_BUILD_DIR),build)
PYTHON := $(BUILD)/venv/bin/python
LAB := $(PYTHON) -m kappa_lab.cli
# caches in a folder of the caller's own: what root made does not stand in the way of a run without root, nor the other way
MINE := $(or $(TMPDIR),/tmp)/kappa-ha-check-$(shell id -u)
SOURCES := resource_agents stonith kappa_bot vagrant tests

UNIT_PARTS := unit-lab unit-agents unit-fencing unit-judge unit-bot-agent unit-rest

.PHONY: help drill storm test check lint unit $(UNIT_PARTS) test-units test-cluster bench bench-failover lab-up lab-status lab-down lab-build vm-up drill-vm box deps deps-vm clean

help:
	@sed -n 's/^# //p' Makefile | head -3
	@echo 'also: storm (SEED, MINUTES, FAULTS), bench, bench-failover, lab-up, vm-up, drill-vm, lab-status, lab-down, box, deps, clean (removes reports and built images too)'

drill: deps
	@$(LAB) drill run $(or $(DRILL),power-cut)

# random faults, overlapping; SEED, MINUTES, FAULTS
storm: deps
	@$(LAB) storm --seed $(or $(SEED),1) $(if $(MINUTES)$(FAULTS),,--minutes 2) $(MINUTES:%=--minutes %) $(FAULTS:%=--faults %) --shrink

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

drill-vm: deps-vm
	@$(LAB) drill run --lab vagrant $(or $(DRILL),power-cut freeze-and-thaw rings-cut level-1-dead)

box: deps-vm
	@$(LAB) box build

deps:
	@vagrant/bootstrap deps

deps-vm:
	@vagrant/bootstrap deps-vm

# lint and the parts of unit side by side, the longest first; what one says is shown when it ends
check:
	@vagrant/bootstrap venv
	@$(MAKE) --no-print-directory -Otarget -j4 $(UNIT_PARTS) lint

lint:
	@vagrant/bootstrap venv
	@$(PYTHON) -m ruff check --cache-dir $(MINE)/ruff $(SOURCES)
	@$(PYTHON) -m ruff format --check --cache-dir $(MINE)/ruff $(SOURCES)
	@$(PYTHON) -m mypy --cache-dir $(MINE)/mypy

# in parts, four side by side: most of them wait for processes, and the bot's agent and the conformance tests the longest
UNIT := $(PYTHON) -m pytest -q -p no:cacheprovider -m 'not mongod and not root and not cluster and not slow'
AGENTS := tests/unit/resource_agents
FENCING := tests/unit/stonith
OF_BOT := $(addprefix $(AGENTS)/,test_agent_telegram_bot.py test_agent_promotable.py test_conform.py test_conform_fencing.py)
JUDGE := tests/unit/judge tests/unit/report
OF_LAB := tests/unit/lab tests/unit/mongodb_lab
unit:
	@vagrant/bootstrap venv
	@$(MAKE) --no-print-directory -Otarget -j4 $(UNIT_PARTS)

unit-agents:
	@$(UNIT) $(OF_BOT:%=--ignore=%) $(AGENTS)

unit-bot-agent:
	@$(UNIT) $(OF_BOT)

unit-fencing:
	@$(UNIT) $(FENCING)

unit-judge:
	@$(UNIT) $(JUDGE)

unit-lab:
	@$(UNIT) $(OF_LAB)

unit-rest:
	@$(UNIT) $(patsubst %,--ignore=%,$(AGENTS) $(FENCING) $(JUDGE) $(OF_LAB)) tests/unit

# what the bot achieves and what the agents cost, beside what others use (root: addresses, Nginx, a network namespace);
# build/bench/bot.json and agents.json
bench:
	@vagrant/bootstrap bench
	@$(PYTHON) -m tests.bench.bot --out $(BUILD)/bench/bot.json
	@$(PYTHON) -m tests.bench.agents --out $(BUILD)/bench/agents.json
	@$(PYTHON) -m tests.bench.fence --out $(BUILD)/bench/fence.json

# recovery times of a stock cluster and of ours, in the same lab, one after the other (root; half an hour);
# build/bench/failover.json and failover.svg. ONLY=stock or ours, REPETITIONS=10, FAULTS=bot-dead,node-lost,…
bench-failover: deps
	@$(PYTHON) -m tests.bench.failover --out $(BUILD)/bench/failover.json --repetitions $(or $(REPETITIONS),10) \
	  $(if $(ONLY),--only $(ONLY)) $(if $(FAULTS),--faults $(FAULTS)) $(if $(RESUME),--resume)

# two lanes: the images and then the cluster's tests, which mostly wait; the unit tests and then the laws', one after the other: with
# a third beside them two cores are too busy for tests that kill a bot and count what it repeats
test: deps lint
	@$(MAKE) --no-print-directory -j2 test-cluster test-units

FULL := $(PYTHON) -m pytest --tb=short -p no:cacheprovider --durations=15
test-cluster: lab-build
	@$(FULL) -v tests/cluster

test-units:
	@$(FULL) -q tests/unit
	@$(FULL) -q tests/laws

clean: lab-down
	rm -rf $(BUILD)/*
