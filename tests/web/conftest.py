"""A browser, and pages served for it by the app itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.web.browser import browser as browser
from tests.web.pages import ChatPage, Served

_VIEWPORT = {"width": 1200, "height": 800}


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


@pytest.fixture(scope="module")
def warm(browser: Any) -> Iterator[Any]:
    """A browser's window that keeps the page's scripts from one test to the next: loading and compiling them
    is most of what opening a page takes. Each test finds it without cookies and without anything stored."""
    context = browser.new_context(viewport=_VIEWPORT)
    yield context
    context.close()


@pytest.fixture
def open_page(browser: Any, warm: Any, serve: Callable[..., Served]) -> Iterator[Callable[..., ChatPage]]:
    """Opens a configuration's page, each time as somebody else, and fails if the page reported an error."""
    contexts: list[Any] = []
    pages: list[ChatPage] = []

    def start(config: str | Served, **context: Any) -> ChatPage:
        served = serve(config) if isinstance(config, str) else config
        if pages or context:
            contexts.append(browser.new_context(**{"viewport": _VIEWPORT, **context}))
            tab = contexts[-1].new_page()
        else:
            tab = _emptied(warm, served.url)
        page = ChatPage(tab, served)
        pages.append(page)
        page.open()
        return page

    yield start
    errors = [error for page in pages for error in page.errors]
    for context in contexts:
        context.close()
    for tab in warm.pages:
        tab.close()
    assert errors == []


def _emptied(context: Any, origin: str) -> Any:
    """A new tab of a context in which nobody was before, as far as a page can tell."""
    context.clear_cookies()
    tab = context.new_page()
    devtools = context.new_cdp_session(tab)
    stored = {"origin": origin, "storageTypes": "local_storage,indexeddb,cache_storage,service_workers"}
    devtools.send("Storage.clearDataForOrigin", stored)
    devtools.detach()
    return tab
