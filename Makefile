# `make check` is everything that can be asked of a change on this machine, `make quick` what takes under a minute.
# Both use the environment that is active: pip install -e '.[test,test-browser,dev]'
.PHONY: check quick lint types imports docs tests format

check: lint types imports docs tests

quick: lint types imports
	pytest -q -m "not browser and not heavy" tests/config tests/formats tests/render \
	  tests/compare/statistics tests/test_errors.py tests/test_secret.py tests/test_imports.py

lint:
	ruff check .
	ruff format --check .

types:
	mypy

imports:
	lint-imports --no-logo

docs:
	zensical build --strict

tests:
	pytest

format:
	ruff check --fix .
	ruff format .
