# `make book` builds the site, `make check` looks for the most likely faults in under two minutes, `make test` checks
# everything. All set up what they need, and can be interrupted and run again. Nothing but make and Python 3.11 or newer is
# asked of the machine.

SHELL := /bin/sh
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready

# How much the notebooks compute: empty (recorded runs, short live cells) or laptop (all of it, here).
SCALE ?=
export TUNEWISE_SCALE := $(SCALE)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup book check test bench assignments slides pdf teaching notebooks serve clean

help:
	@echo "make book              build the site into _build/html (SCALE=laptop: run every experiment here)"
	@echo "make check             lint, types, import rules and the fast tests: under two minutes"
	@echo "make test              set up, build, and run all checks and tests"
	@echo "make serve             show the built site at http://localhost:8000"
	@echo "make bench             speed and accuracy against other tools, each part in a process of its own"
	@echo "                       (apart from it: $(PY) bench/labs_class.py grades a made-up class in every lab)"
	@echo "make assignments       write the students' versions of the labs"
	@echo "make slides            a deck of slides for each chapter, from its figures and verdicts: HTML, and PDF with Chrome"
	@echo "make pdf               the whole book as one file with figures and bookmarks (needs Chrome or Chromium)"
	@echo "make teaching          slides, PDF, students' labs and polls in the site, linked from the page For instructors"
	@echo "make notebooks         write the repository's address into badges, install cells and error messages"
	@echo "make clean             remove what was built (the models and runs in your cache stay)"

# The stamp is written last. A set-up that was cut off leaves .unfinished, and is made anew from pip's cache.
$(READY): requirements.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer was found: install one, or say make PYTHON=/path/to/python3"; exit 1; }
	@if [ -e $(VENV)/.unfinished ] || ! $(PY) -m pip --version >/dev/null 2>&1; then \
		echo "Setting up $(VENV) with $(PYTHON) ..."; \
		$(PYTHON) -m venv --clear $(VENV) || { echo "Python's venv module is missing; on Debian and Ubuntu: apt install python3-venv"; exit 1; }; \
	fi
	@touch $(VENV)/.unfinished
	$(PY) -m pip install --quiet --requirement requirements.txt
	$(PY) -m pip install --quiet --no-deps --editable .
	@rm -f $(VENV)/.unfinished
	@touch $@

setup: $(READY)

book: $(READY)
	@$(PY) book/build.py

check: $(READY)
	@$(PY) book/test.py --fast

test: $(READY)
	@$(PY) book/test.py

serve: book
	@echo "Open http://localhost:8000 (Ctrl+C ends it)"
	@$(PY) -m http.server --directory _build/html 8000

bench: $(READY)
	@failed=0; for part in "speed.py scoring" "speed.py training" "speed.py generation" memory.py \
		compare_simulation.py compare_peers.py documents.py dtype.py; do \
		printf '\n==== %s ====\n' "$$part"; $(PY) bench/$$part || failed=1; \
	done; exit $$failed

assignments: $(READY)
	@$(PY) -m tunewise labs make

slides: book
	@$(PY) book/slides.py

pdf: book
	@$(PY) book/pdf.py

teaching: book
	@$(PY) book/teaching.py

notebooks: $(READY)
	@$(PY) book/colab_cells.py --write

clean:
	rm -rf _build assets/vendor .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
