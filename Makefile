# `make check` is everything that can be asked of a change on this machine, `make quick` what takes under a minute.
# Both use the environment that is active: pip install -e '.[test,test-browser,dev]'
.PHONY: check quick lint types imports docs tests format js

check: lint types imports docs js tests

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

# The pages' scripts and styles: format, types, and no line over 110 characters. Needs node and npm, and installs
# what package.json names.
js: node_modules/.package-lock.json
	npm run --silent check
	@! grep -nE '.{111,}' $$(git ls-files 'chatlab/web/static/*.js') || { echo 'over 110 characters'; false; }

node_modules/.package-lock.json: package.json
	npm install --no-package-lock --no-audit --no-fund
	@touch $@

tests:
	pytest

format:
	ruff check --fix .
	ruff format .
	[ ! -d node_modules ] || npm run --silent format
