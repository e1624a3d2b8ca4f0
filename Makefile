# `make check` is everything that can be asked of a change on this machine, `make quick` what takes under a minute.
# Both use the environment that is active: pip install -e '.[test,test-browser,dev]'
.PHONY: check quick quick-tests lint types imports docs tests format js

check: lint types imports docs js tests

# Types and tests beside each other: mypy runs on one core, and on two the tests are done in the meantime.
quick:
	@$(MAKE) --no-print-directory --output-sync=target -j 2 types quick-tests lint imports

quick-tests:
	pytest -q -m "not browser and not heavy" tests/config tests/formats tests/render \
	  tests/compare/statistics tests/test_errors.py tests/test_ids.py tests/test_imports.py tests/test_layout.py \
	  tests/test_secret.py tests/test_words.py

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
