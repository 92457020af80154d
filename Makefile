# `make demo` and `make test` need no setup. They create .venv and install the pinned versions first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test vocabulary format explorer docs notebooks clean

demo: .venv/installed
	$(BIN)/voxlex demo --out runs/demo --overwrite

# mypy takes one core, so the tests run beside it. They start Python often, which should not compile voxlex each time.
test: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy >.venv/mypy.txt & mypy=$$!; \
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist worksteal; \
	tests=$$?; wait $$mypy; types=$$?; cat .venv/mypy.txt; exit $$((tests | types))

# Trains the vocabulary that comes with the package again, and puts it into its place: make vocabulary SOURCE=FOLDER
vocabulary: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[deep]'
	PATH="$(CURDIR)/$(BIN):$$PATH" tools/brain-mri-128.sh "$(SOURCE)" runs/brain-mri-128
	$(BIN)/python tools/ship.py runs/brain-mri-128 "$(SOURCE)" --name brain-mri-128 --commands tools/brain-mri-128.sh

format: .venv/installed-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Builds the page of `voxlex explore` from its sources; the built files are kept with the code, so nothing else needs npm.
explorer:
	cd explorer && npm ci --ignore-scripts && npm run build

# Builds the site of the documentation, which opens from site/index.html.
docs: .venv/installed-test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Runs the notebooks again, some ten minutes on one core, and keeps what they print and draw.
notebooks: .venv/installed-test
	$(BIN)/python tools/docs/execute.py docs/notebooks/*.ipynb

# pip would compile on one core what it installs.
define install
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable '$(1)'
	$(BIN)/python -W ignore -m compileall -qq -j 0 .venv/lib || true  # some packages hold templates that are not Python
	touch .venv/installed
endef

.venv/installed: pyproject.toml constraints.txt
	$(call install,.)

.venv/installed-test: pyproject.toml constraints.txt
	$(call install,.[test])
	command -v chromium >/dev/null || ! command -v apt-get >/dev/null || test "$$(id -u)" != 0 || \
		(apt-get update -qq && apt-get install -y -qq chromium)  # the tests of the explorer use it
	command -v npm >/dev/null && npm ci --silent --ignore-scripts --prefix tests/export || true  # one test needs it
	touch $@

clean:
	rm -rf .venv runs site
