# Two commands for a newcomer: make demo, make test. Everything happens in .venv and demo/.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
PROMPT := Water dominates the scene, covering about 85 percent of it.

.PHONY: demo test slow check lock clean

demo: $(VENV)/.models
	$(BIN)/git10m build pipelines/demo.toml --output demo/dataset
	$(BIN)/text2earth train pipelines/demo-train.toml --var dataset=demo/dataset --output demo/model
	$(BIN)/text2earth sample demo/model "$(PROMPT)" --level 12 --seed 1 --out demo/sample.png
	$(BIN)/text2earth sample text2earth-tiny "$(PROMPT)" --level 9 --guidance 3 --seed 1 --out demo/shipped.png
	$(BIN)/git10m report demo/dataset --figure demo/sample.png --figure demo/shipped.png
	@echo
	@echo "dataset  demo/dataset"
	@echo "report   demo/dataset/report.html   (open it in a browser)"
	@echo "images   demo/sample.png   (level 12, painted by demo/model)"
	@echo "         demo/shipped.png  (level 9, painted by text2earth-tiny, which learnt from real imagery)"

# Two processes, each file of tests in one of them: what a file sets up is made once, and threads would only compete.
test: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

slow: $(VENV)/.test
	$(BIN)/python -m pytest -m slow

check: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_imports.py tests/test_style.py

# One stamp for each set of extras: .models, .test, .dev
$(VENV)/.%: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing git10m[$*] into $(VENV) …"
	$(PIP) --editable ".[$*]"
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "git10m needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The newest versions that go together, for every extra and Python from 3.11. Pinned by hand: torch, which brings its
# own CUDA packages where it needs them; dataclasses (img2dataset's), whose 0.8 says that it is for Python 3.6 alone,
# which pip obeys and uv does not.
lock: $(VENV)/.dev
	$(PIP) uv
	printf '%s\n' torch==2.13.0 dataclasses==0.6 > $(VENV)/pinned.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-header --no-annotate \
		$(if $(PIP_FIND_LINKS),--find-links "$(PIP_FIND_LINKS)") --constraint $(VENV)/pinned.txt --all-extras \
		pyproject.toml --output-file $(VENV)/all.txt
	{ echo "torch==2.13.0"; grep -Ev '^(torch|nvidia-|cuda-|triton|--)' $(VENV)/all.txt; } | sort > constraints.txt

clean:
	rm -rf $(VENV) demo
