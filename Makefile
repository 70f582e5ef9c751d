# Every command of the project. The environment is .venv, made from requirements.lock when that file changes.
PYTHON ?= python3
BIN := .venv/bin

# Where Python is told to write no bytecode, as in many images, each of the processes that a night or the tests start
# would compile every module anew: a second of each start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-slow lint types check bench stack stack-down lock clean

help:
	@echo "make demo       install, then the main job on an embedded sample; ends by naming the report"
	@echo "make test       install, then the tests (under 10 minutes on 2 cores)"
	@echo "make test-slow  the tests that take minutes"
	@echo "make check      lint and types"
	@echo "make bench      how fast this machine restores: the model, a work item, what one costs the driver; JSON, pictures"
	@echo "make stack      a whole site on this machine; make stack-down ends it"
	@echo "make lock       renew requirements.lock and requirements.hashes"

# A stamp, so that a second run installs nothing. All but torch, of which each machine takes its own build, by hashes.
.venv/installed: requirements.lock requirements.hashes pyproject.toml
	@echo "installing the locked environment into .venv (about 3 minutes the first time)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.hashes
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: .venv/installed
	$(BIN)/lednet demo demo

# Three processes, each file in one of them: on two cores they take 40 s less than two would, and 0.8 GB more (7.5 GB at
# most), since tests wait for servers and workers. One thread each, so that they don't fight over the cores. In the order
# of the folders, not by the number of tests: whole nights come early, and none waits long for the others at the end.
test: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-slow: .venv/installed
	$(BIN)/python -m pytest -m slow

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed
	$(BIN)/mypy

check: lint types

bench: .venv/installed
	$(BIN)/lednet bench --item --json bench.json --picture bench.png
	$(BIN)/python -m tests.bench.bench_overhead 50 --json bench-overhead.json --picture bench-overhead.png

# A whole site on this machine, its archive and store on an S3-compatible server: see docs/operating.md.
stack: .venv/installed
	$(BIN)/python -m infra.local_stack up stack

stack-down: .venv/installed
	$(BIN)/python -m infra.local_stack down stack

# From the ranges in pyproject.toml to exact versions. The local part of a build (+cpu) is left to each machine.
lock:
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --upgrade pip setuptools
	.venv-lock/bin/python -m pip install --quiet --group dev .
	echo "# Made by make lock from pyproject.toml. Exact versions of everything; each machine takes its own build of torch." > requirements.lock
	.venv-lock/bin/python -m pip freeze --all --exclude lednet --exclude pip | sed 's/+cpu$$//' | grep -viE '^(nvidia|cuda)-|^triton' >> requirements.lock
	.venv-lock/bin/python -m pip install --quiet uv
	echo "# Made by make lock: the hash of every file of the versions in requirements.lock, torch excepted." > requirements.hashes
	.venv-lock/bin/uv pip compile requirements.lock --quiet --generate-hashes --no-deps --no-header --no-annotate --no-emit-package torch >> requirements.hashes
	rm -rf .venv-lock

clean:
	rm -rf .venv demo build *.egg-info
