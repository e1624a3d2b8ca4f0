"""A browser, and pages served for it by the app itself."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ui.pages import CHROMIUM, FLAGS, ChatPage, Served


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium: skipped without one, except in CI, which installs it.

    Not for the session: while it runs, playwright's event loop would be in the way of async tests.
    """
    if not Path(CHROMIUM).exists():
        reason = f"browser tests need {CHROMIUM} (Debian's package chromium)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Serves a configuration, given as YAML, on a free port until the test ends."""
    running: list[Served] = []

    def start(config: str) -> Served:
        file = tmp_path / f"config-{len(running)}.yaml"
        file.write_text(config, "utf-8")
        served = Served(file)
        running.append(served)
        return served

    yield start
    for served in running:
        served.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "served page"]


@pytest.fixture
def open_page(browser: Any, serve: Callable[..., Served]) -> Iterator[Callable[..., ChatPage]]:
    """Opens a configuration's page in a browser of its own, and fails if the page reported an error."""
    contexts: list[Any] = []
    pages: list[ChatPage] = []

    def start(config: str | Served, **context: Any) -> ChatPage:
        served = serve(config) if isinstance(config, str) else config
        contexts.append(browser.new_context(**{"viewport": {"width": 1200, "height": 800}, **context}))
        page = ChatPage(contexts[-1].new_page(), served)
        pages.append(page)
        page.open()
        return page

    yield start
    errors = [error for page in pages for error in page.errors]
    for context in contexts:
        context.close()
    assert errors == []
