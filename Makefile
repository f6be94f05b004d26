# The project's habits, one command each. They need python3 (3.11 or newer), make and, for compiled
# builds, a C compiler; everything else is installed under .venv/ on first use and kept up to date.
#
#   make run     serve the demo on http://127.0.0.1:8000
#                (ENVIRONMENT=run-pure where there is no C compiler; HOST, PORT)
#   make test    the tests, on every Python, build, reactor and task mode
#                (ARGS="--python 3.11 --build pure tests/wire -k chunked" for a part of them)
#   make check   linter, formatter, both type checkers, the import arrows between layers
#   make bench   side by side with other servers, on Python 3.13 (ARGS goes to bench/run.py)
#   make fuzz    coverage-guided fuzzing of the codecs (ARGS goes to fuzz/run), then the corpora
#                on an ASan and UBSan build
#   make sanitize  the codecs' tests and the fuzz corpora on an ASan and UBSan build
#   make docs    the documentation, into docs/_build
#   make format  apply the formatter and the linter's safe fixes
#   make clean   remove environments, builds and caches

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
ENVIRONMENT ?= run
ARGS ?=

IN = $(PYTHON) scripts/environment.py

.PHONY: run test check bench fuzz sanitize docs format clean

run:
	$(IN) $(ENVIRONMENT) zonda run examples.demo.app:app --app-dir . --host $(HOST) --port $(PORT) $(ARGS)

test:
	$(PYTHON) scripts/matrix.py $(ARGS)

check:
	$(IN) check ruff check
	$(IN) check ruff format --check
	$(IN) check mypy
	$(IN) check pyright
	$(IN) check lint-imports

bench:
	$(IN) bench python bench/run.py $(ARGS)

fuzz:
	$(IN) fuzz fuzz/run $(ARGS)
	fuzz/sanitize

sanitize:
	$(IN) sanitized pytest tests/wire $(ARGS)

docs:
	$(IN) docs sphinx-build --quiet --fail-on-warning docs docs/_build
	@echo "docs/_build/index.html"

format:
	$(IN) check ruff check --fix
	$(IN) check ruff format

clean:
	rm -rf .venv build dist docs/_build src/*.egg-info
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find src -type f \( -name '*.so' -o -name '*.c' \) -delete
