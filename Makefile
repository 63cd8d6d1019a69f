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

# Those that need pictures or weights of a run are passed over where these are not given; one that fails stops none.
bench: $(VENV)/.dev ## what the README's numbers are from: DATA=DIR, a folder of sets, RUN=DIR, a run of lodisc train
	@failed=; for benchmark in $$(grep -l '^if __name__' benchmarks/*.py); do \
	  case $$benchmark in \
	    */answers.py) set -- "$(DATA)" bundles/default ;; \
	    */quality.py|*/small_data.py) set -- "$(DATA)" ;; \
	    */embedding_choice.py) set -- "$(DATA)" "$(RUN)" ;; \
	    *) set -- ;; \
	  esac; \
	  for word in "$$@"; do test "$$word" || { echo "== $$benchmark: needs DATA= or RUN=, left out"; continue 2; }; done; \
	  echo "== $$benchmark $$*"; $(BIN)/python $$benchmark "$$@" || failed="$$failed $$benchmark"; \
	done; test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

# Only their files: pytest imports every file that it is given, and the others need all that is installed for serving.
gpu-check: ## the tests marked gpu, on a machine with torch, onnx, onnxscript, onnxruntime, pytest and pytest-timeout
	python -m pytest -m gpu $$(grep -rl --include='test_*.py' 'mark\.gpu' tests)

clean:
	rm -rf $(VENV) build *.egg-info
