# Every target sets up what it needs in .venv on a machine that has Python >= 3.11 and make.
# Tests run in two processes; JOBS=4 takes four.

PYTHON ?= python3
VENV   := .venv
PARITY := .venv-parity
BIN    := $(VENV)/bin
JOBS   ?= 2
SPREAD  = -n $(JOBS) --dist loadfile --no-loadscope-reorder
PIP    := -m pip install --quiet --disable-pip-version-check

# Programs that tests start are imported from bytecode: half a second each.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test parity parity-sweep endurance bench lint clean

demo: $(VENV)/ready
	$(BIN)/rushlight run examples/digits.py

test: $(VENV)/ready
	$(BIN)/python -m pytest -q $(SPREAD) tests --ignore=tests/parity

parity: $(PARITY)/ready
	$(PARITY)/bin/python -m pytest -q $(SPREAD) tests/parity

# Cases from the tables that PyTorch tests itself with; SWEEP="--seed 2" takes others, SWEEP="--limit 0" all.
parity-sweep: $(PARITY)/ready
	$(PARITY)/bin/python $(PIP) expecttest
	$(PARITY)/bin/python -m tests.sweep --jobs $(JOBS) $(SWEEP)

# What takes half an hour: 100,000 damaged files, processes killed while they save or load, a large mapped file.
endurance: $(VENV)/ready
	$(BIN)/python -m tests.io.kills --n 200
	$(BIN)/python -m tests.data.kills --n 100
	$(BIN)/python -m tests.io.mapped
	$(BIN)/python -m tests.io.damage --n 112000

bench: $(VENV)/ready
	$(BIN)/python -m bench

lint: $(VENV)/ready
	$(BIN)/ruff check .

clean:
	rm -rf $(VENV) $(PARITY) build *.egg-info

$(VENV)/ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rushlight needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) --editable '.[examples,test]'
	touch $@

$(PARITY)/ready: pyproject.toml
	$(PYTHON) -m venv $(PARITY)
	$(PARITY)/bin/python $(PIP) --editable '.[examples,test]'
	$(PARITY)/bin/python $(PIP) torch==2.13.0 \
	    || { echo 'make parity: PyTorch 2.13.0, which these tests compare with, could not be installed' >&2; exit 1; }
	-$(PARITY)/bin/python $(PIP) --no-deps torchvision
	touch $@
