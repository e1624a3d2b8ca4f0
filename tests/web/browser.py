"""A browser for tests that look at a page or a document."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from tests.web.pages import CHROMIUM, FLAGS


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium: skipped without one, except in CI, which installs it.

    Not for the session: while it runs, playwright's event loop would be in the way of async tests.
    """
    missing = []
    if not CHROMIUM.exists():
        missing.append(f"{CHROMIUM} (Debian's package chromium)")
    if find_spec("playwright") is None:
        missing.append("Playwright (pip install -e '.[test-browser]')")
    if missing:
        reason = f"browser tests need {' and '.join(missing)}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()
