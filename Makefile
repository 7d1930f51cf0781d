# `make demo` and `make test` set up .venv by themselves.
PYTHON ?= python3
DEMO ?= maskmill-demo
PIP = .venv/bin/python -m pip --disable-pip-version-check --quiet
BIN = .venv/bin
ALL = lite,torch,train,student,osvos,transformers,review,parquet,dev,docs
FAST = not (long or slow or prefect or labelstudio or shared or postgresql or s3)

# Tests and tools start hundreds of Python processes. With this variable, each compiles all libraries again.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test test-fast test-long fuzz check docs format bench clean

demo: .venv/.core
	$(BIN)/maskmill demo --home $(DEMO)

# Three for two cores: each waits for servers a part of its time.
test: .venv/.all
	$(BIN)/python -m pytest -n 3 --dist loadfile

# Unit tests: no servers, networks, real videos, or tests of more than half a second.
test-fast: .venv/.all
	$(BIN)/python -m pytest -n 2 --dist loadfile -m '$(FAST)'

# Damaged inputs at every boundary, a thousand times as many as the tests try.
fuzz: .venv/.all
	MASKMILL_FUZZ_EXAMPLES=25000 $(BIN)/python -m pytest tests/labeling/test_fuzz.py --timeout 0

# kill -9 at random on three set-ups, databases that go away, workers that die: MASKMILL_TEST_KILLS=20 for more
test-long: .venv/.all
	$(BIN)/python -m pytest -m long

check: .venv/.all
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/.all
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

format: .venv/.all
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/.all
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/runners.py
	$(BIN)/python benchmarks/brush.py
	$(BIN)/python benchmarks/studio.py
	$(BIN)/python benchmarks/million.py
	$(BIN)/python benchmarks/writers.py

# uv takes a quarter of pip's time; but pip's settings may know an index that uv does not.
# Nothing is compiled ahead: Python compiles what it imports, a part of all that is installed.
define install
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --only-binary uv --constraint constraints.txt uv \
	&& $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[$(1)]' \
	|| $(PIP) install --no-compile --constraint constraints.txt --editable '.[$(1)]'
	touch $(2)
endef

# Without the networks' libraries: the demo and its review need none, and they are large.
.venv/.core: pyproject.toml constraints.txt
	$(call install,review,$@)

.venv/.all: pyproject.toml constraints.txt
	$(call install,$(ALL),.venv/.core $@)

clean:
	rm -rf .venv maskmill-demo site
