# Everything runs in .venv, made here. `make setup` installs what serving needs; `make test` adds torch for the CPU.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || echo python3)
PORT ?= 3000
OUT ?= default-encoder
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo default-encoder test check bench gpu-check clean

setup: $(VENV)/.serving

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.serving: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(VENV)/.serving
	$(BIN)/pip install --quiet -c constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet -c constraints.txt -e '.[train,timm,dev]'
	touch $@

demo: setup ## draw the demo insects, index them, serve them on 127.0.0.1:$(PORT)
	$(BIN)/lodisc demo --port $(PORT)

default-encoder: $(VENV)/.dev ## an encoder from the pictures in DATA, in OUT: RECIPE= EPOCHS= MINUTES= PARTS=1 OPTIONS="..."
	$(BIN)/lodisc default-encoder --out "$(OUT)" $(if $(DATA),--data "$(DATA)") $(if $(RECIPE),--recipe "$(RECIPE)") \
	  $(if $(EPOCHS),--epochs $(EPOCHS)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(PARTS),--parts) $(OPTIONS)

check: $(VENV)/.dev ## style, types, and who may import whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Two files at a time: many tests wait for a server or a process of theirs.
test: check ## what CI runs
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

bench: $(VENV)/.dev ## every number the README quotes
	@for benchmark in benchmarks/*.py; do echo "== $$benchmark"; $(BIN)/python $$benchmark || exit 1; done

gpu-check: ## on a machine with a CUDA device, in an environment that has torch: the tests marked gpu
	python -m pytest -m gpu tests

clean:
	rm -rf $(VENV) build *.egg-info
