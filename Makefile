# make install environment alone
# make repro   environment, whole pipeline (only what changed), metrics
# make report  metrics/report.html, a page that shows it all; COMPARE=NAME sets an experiment beside it
# make test    environment, all tests (WORKERS=2 needs less memory); make check   lint, types and the fast tests
# make lint    ruff      make types   mypy      make coverage   all tests, and the lines that they run
# make site    the pages of docs/ as a site in site/
# make bench   benchmarks into docs/performance.md; make clean   removes the environment, not the data

PYTHON ?= python3
BIN := .venv/bin
# Of tests: up to 2 GB of memory each, and a third of their time they wait.
WORKERS ?= 4

# The stages' `python` is the environment's, whether or not it is activated.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: install repro report test check lint types coverage site bench clean
.DELETE_ON_ERROR:

install: .venv/.installed

repro: .venv/.installed
	$(BIN)/dvc repro
	$(BIN)/python -m droulette.metrics

report: .venv/.installed
	$(BIN)/dvc repro report
	$(if $(COMPARE),$(BIN)/python -m droulette.report --compare '$(COMPARE)')

test: .venv/.installed-test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

lint: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# All modules, most of them from mypy's own cache.
types: .venv/.installed-test
	$(BIN)/mypy

check: lint types
	$(BIN)/python -m pytest -q -m "not slow"

coverage: .venv/.installed-test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --cov --cov-report=term:skip-covered

site: .venv/.installed-site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "site/index.html; for the search: $(BIN)/python -m http.server -d site"

bench: .venv/.installed-test .peers
	$(BIN)/python benchmarks/all.py --write docs/performance.md

# Beside the environment, not in it: one of the peers is an older droulette.
.peers: requirements-bench.txt | .venv/.requirements
	rm -rf $@
	$(BIN)/python -m pip install --disable-pip-version-check --no-compile --no-deps --target $@ -r $<
	touch $@

clean:
	rm -rf .venv

# The stamps inside .venv say which files it was built from; when one is newer, pip runs again.
.venv/.requirements: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit("error: Python %d.%d found, 3.11 or newer expected" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(call pip_install,-r requirements.txt)
	touch $@

# The project itself, in place, the .pth file beside it, and the model that lies in box/.
.venv/.installed: .venv/.requirements pyproject.toml $(wildcard tools/droulette_dvc.*)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	$(BIN)/python -c 'from droulette.physics.engines import machine; machine.function("draw"), machine.function("settle")'
	-$(BIN)/dvc pull --quiet models/telescope.safetensors </dev/null
	touch $@

.venv/.installed-test: .venv/.installed requirements-test.txt
	$(call pip_install,--no-deps -r requirements-test.txt)
	touch $@

.venv/.installed-site: .venv/.installed-test requirements-docs.txt
	$(call pip_install,--no-deps -r requirements-docs.txt)
	touch $@

# pip compiles on one core; compileall takes all. Some packages carry files that are no Python 3: not our affair.
define pip_install
	$(BIN)/python -m pip install --disable-pip-version-check --no-compile $(1)
	$(BIN)/python -m compileall -qq -j 0 .venv/lib >/dev/null 2>&1 || true
endef
