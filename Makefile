# `make` lists the targets. Nothing but make and a Debian or Ubuntu is assumed: each target first sets up what it needs.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

POOL ?= examples/pool.yaml
PORT ?= 8080
DATA ?= .browserpool
export IMAGE_REGISTRY ?= browserpool.local
export IMAGE_TAG ?= dev

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# as_root runs a command as it is for root, through sudo where that asks no password; fails where neither may be.
# apt_install WHAT PACKAGE... says what it installs, if it may.
define AS_ROOT
as_root() {
    if [ "$$(id -u)" = 0 ]; then "$$@"
    elif sudo -n true 2>/dev/null; then sudo -n "$$@"
    else return 1
    fi
}
apt_install() {
    command -v apt-get >/dev/null && as_root true || return 1
    echo "Installing $$1 ..."
    shift
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update >/dev/null || return 1
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends --yes "$$@" >/dev/null 2>&1
}
endef

.PHONY: help
help: ## list the targets
	@sed -En 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18
	echo
	echo "  make run POOL=$(POOL) PORT=$(PORT) DATA=$(DATA)    with the values that hold when none are given"
	echo "  make run CHROME_PORT=9222    answers as a local Chrome does too, without a token"
	echo "  make test WORKERS=0    runs the tests in one process; a number in so many, else as many as the machine bears"

.PHONY: run
run: $(VENV)/.local chromium ## start the pool of POOL on PORT, and keep it running until Ctrl-C
	@exec $(BIN)/browserpool up --file $(POOL) --port $(PORT) --data $(DATA) $(if $(CHROME_PORT),--chrome-port $(CHROME_PORT))

# In several processes, as tests often wait. What is about to be ended at its time limit is shown then, since none of them has a terminal.
WORKERS ?= auto
SPREAD = $(if $(filter-out 0,$(WORKERS)),--numprocesses=$(WORKERS) --dist=worksteal --override-ini=faulthandler_timeout=115)

.PHONY: test
test: check chromium node npm ## check, then run every test
	@$(BIN)/python -m pytest $(SPREAD) $(ARGS)

.PHONY: e2e
e2e: $(VENV)/.dev builder cluster node npm ## run the tests that need a Kubernetes: KUBECONFIG's, kind's, or one made here (that needs root)
	@$(BIN)/python -m pytest tests/e2e_cluster $(ARGS)

.PHONY: peers-test
peers-test: $(VENV)/.dev chromium node npm ## see callers move from the systems that npm has: browserless, which takes 500 MB
	@$(BIN)/python -m pytest tests/peers $(ARGS)

.PHONY: check
check: $(VENV)/.dev ## format, lint, types, layers, the chart: what CI checks
	@$(BIN)/ruff format --check --quiet . || { echo 'Run `make format`.'; exit 1; }
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	PYTHONPATH=operator $(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest --quiet tests/chart/test_rendered.py

.PHONY: format
format: $(VENV)/.dev ## bring the code into its form
	@$(BIN)/ruff format --quiet .
	$(BIN)/ruff check --quiet --fix .

.PHONY: bench
bench: $(VENV)/.dev chromium ## measure; figures go to .browserpool/bench.json
	@PYTHONPATH=tests $(BIN)/python -m bench $(ARGS)

.PHONY: bench-scale
bench-scale: $(VENV)/.dev ## measure how many browsers one Postgres here takes (some ten minutes); figures and a picture go to .browserpool
	@PYTHONPATH=tests $(BIN)/python -m bench scale

.PHONY: crds
crds: $(VENV)/.dev ## write the CustomResourceDefinitions from the models
	@$(BIN)/python -m browserpool.controller.crds crds charts/browserpool/files/crds

.PHONY: images
images: builder ## build the images IMAGE_REGISTRY/browserpool-{controller,router,browser}:IMAGE_TAG
	@images/build.sh

.PHONY: images-save
images-save: builder ## build them, and write them as archives to DIR
	@SAVE=$(or $(DIR),dist/images) images/build.sh

.PHONY: images-test
images-test: $(VENV)/.dev images ## build them, and see each at work
	@$(BIN)/python -m pytest tests/images $(ARGS)

.PHONY: pin
pin: $(VENV)/.dev ## write the versions that are installed to constraints.txt
	@$(BIN)/python -m pip freeze --exclude-editable --disable-pip-version-check > constraints.txt
	echo "constraints.txt: $$(wc -l < constraints.txt) packages"

.PHONY: clean
clean: ## delete what make and browserpool made here
	@if [ -e .browserpool/cluster/record.jsonl ]; then PYTHONPATH=tests:operator $(BIN)/python -m cluster down; fi
	rm -rf $(VENV) .browserpool .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -prune -exec rm -rf {} +

# ---------------------------------------------------------------- what the targets need

$(VENV)/.made:
	@$(AS_ROOT)
	fit() { "$$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
	find_python() {
	    for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do
	        if fit "$$python"; then return; fi
	    done
	    return 1
	}
	if ! find_python; then
	    { apt_install Python python3 python3-venv && find_python; } || { apt_install 'Python 3.11' python3.11 python3.11-venv && find_python; } || {
	        echo "Browserpool needs Python 3.11 or newer. Install it (python3 and python3-venv), or name one: make PYTHON=/path/to/python3."
	        exit 1
	    }
	fi
	if ! "$$python" -c 'import ensurepip' 2>/dev/null; then
	    package="python$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
	    apt_install "$$package" "$$package" || {
	        echo "Python's module venv is missing. Install it: apt-get install $$package"
	        exit 1
	    }
	fi
	rm -rf $(VENV)
	"$$python" -m venv $(VENV)
	touch $@

$(VENV)/.local: $(VENV)/.made pyproject.toml constraints.txt
	@echo "Installing packages into $(VENV) ..."
	$(PIP) --editable '.[local]'
	touch $@

$(VENV)/.dev: $(VENV)/.made pyproject.toml constraints.txt
	@echo "Installing packages into $(VENV) ..."
	$(PIP) --editable '.[dev]'
	touch $@ $(VENV)/.local

# Playwright brings a Node of its own, which a bare system lacks one library for.
.PHONY: node
node: $(VENV)/.dev
	@$(AS_ROOT)
	node=$$($(BIN)/python -c 'from playwright._impl import _driver; print(_driver.compute_driver_executable()[0])')
	runs() { "$$node" --version >/dev/null 2>&1; }
	if runs || { apt_install libatomic1 libatomic1 && runs; }; then exit; fi
	echo "Playwright's Node does not run here. Install what it lacks: apt-get install libatomic1"
	exit 1

.PHONY: npm
npm:
	@$(AS_ROOT)
	if command -v npm >/dev/null || apt_install npm npm; then exit; fi
	echo "npm fetches the clients that tests are run with. Install it: apt-get install npm"
	exit 1

.PHONY: chromium
chromium:
	@$(AS_ROOT)
	has_chromium() {
	    for name in $${BROWSERPOOL_CHROMIUM:-/usr/lib/chromium/chromium-headless-shell /usr/lib/chromium/headless_shell \
	            chrome-headless-shell /usr/lib/chromium/chromium /usr/lib/chromium-browser/chromium-browser \
	            /opt/google/chrome/chrome chromium google-chrome}; do
	        if command -v "$$name" >/dev/null; then return; fi
	    done
	    return 1
	}
	if has_chromium; then exit; fi
	# With a font, since pages come out without letters where there is none; with the sandbox's helper, which an ordinary user's
	# Chromium needs where the kernel gives it no namespaces of its own.
	for packages in 'chromium-headless-shell chromium-sandbox fonts-liberation' 'chromium chromium-sandbox fonts-liberation' chromium; do
	    if apt_install Chromium $$packages && has_chromium; then exit; fi
	done
	echo "There is no Chromium here, and it cannot be installed without root. Install one: apt-get install chromium-headless-shell chromium-sandbox"
	echo "(or chromium, or Google Chrome), or name its binary: BROWSERPOOL_CHROMIUM=/path/to/chrome make run"
	exit 1

# What a cluster of our own needs: nothing where KUBECONFIG names one or kind works. It is built from source once, which takes Go.
.PHONY: cluster
cluster: $(VENV)/.dev
	@$(AS_ROOT)
	cluster() { PYTHONPATH=tests:operator $(BIN)/python -m cluster "$$1"; }
	packages=$$(cluster missing)
	if [ -n "$$packages" ] && ! apt_install 'what a cluster needs' $$packages; then
	    echo "A cluster needs packages that are not here. Install them: apt-get install $$packages"
	    echo "Or name a cluster that is there: KUBECONFIG=/path/to/kubeconfig make e2e"
	    exit 1
	fi
	cluster prepare

# Whatever builds images here; else Debian's buildah. That takes debootstrap where no registry gives it a base, and runc to try images.
.PHONY: builder
builder:
	@$(AS_ROOT)
	which() { images/build.sh --which 2>/dev/null; }
	if ! which >/dev/null && ! { apt_install buildah buildah debootstrap runc && which >/dev/null; }; then
	    echo "Images are built by docker, podman or buildah, and none of them works here. Install one: apt-get install buildah"
	    exit 1
	fi
	if [ "$$(which)" != buildah ]; then exit; fi
	for program in debootstrap runc; do
	    command -v $$program >/dev/null || apt_install $$program $$program || echo "$$program is not here; it may be wanted."
	done
