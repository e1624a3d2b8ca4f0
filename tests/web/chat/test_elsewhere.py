"""An answer that runs on another server of the same database, as a browser shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.servers.front import Front
from tests.store.databases import Postgres, on_machines_of_their_own
from tests.web.chat.test_goes_on import held
from tests.web.chat.test_page import CHAT
from tests.web.chat.test_stored import answer, config, follow, link, wait_said
from tests.web.pages import ChatPage, Served, expect

pytestmark = pytest.mark.browser

Open = Callable[..., ChatPage]
FORKED = "this conversation went on in another tab meanwhile"


@pytest.fixture
def upstream() -> Iterator[Front]:
    with Front() as front:
        front.on("POST", CHAT, answer)
        yield front


@pytest.fixture
def two(
    upstream: Front,
    serve: Callable[..., Served],
    postgres_of_this_version: Postgres,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[Served, Served]]:
    """Two servers on one database."""
    on_machines_of_their_own(monkeypatch)
    url = postgres_of_this_version.new()
    monkeypatch.setenv("CHATLAB_TEST_DATABASE", url)
    shared = config(upstream, "storage: {url: {env: CHATLAB_TEST_DATABASE}}")
    first, second = serve(shared), serve(shared)
    yield first, second
    for one in (first, second):
        one.stop()
    postgres_of_this_version.drop(url)


def on(served: Served, page: ChatPage, address: str) -> ChatPage:
    """The conversation of a page, opened on another server by the same browser."""
    return follow(ChatPage(page.page.context.new_page(), served), address)


def test_an_answer_of_another_server_is_seen_growing_and_stopped_there(
    upstream: Front, two: tuple[Served, Served], open_page: Open
) -> None:
    here, there = two
    go_on = held(upstream)
    page = open_page(here)
    page.ask("go", wait=False)
    page.wait_text("partial")
    other = on(there, page, link(page))
    other.wait_text("partial")
    other.page.wait_for_selector("#message .stop-button")
    go_on.set()
    for one in (page, other):
        one.wait_ended(1)
        assert one.answers == ["partial and the rest"]
    held(upstream)
    page.ask("again", wait=False)
    expect(page.page.locator("#conversation").get_by_text("partial", exact=True)).to_be_visible()
    other.page.evaluate("window.dispatchEvent(new Event('focus'))")
    wait_said(other, "go", "again")
    other.page.wait_for_selector("#message .stop-button")
    other.page.click("#message .stop-button")
    assert upstream.last.closed.wait(10)
    for one in (other, page):
        one.wait_ended(2)
        assert one.titles[-1].endswith("stopped")
    upstream.on("POST", CHAT, answer)
    page.ask("here")
    other.ask("there")  # of what went on meanwhile it is told
    assert any(FORKED in title for title in other.titles)
    assert other.said == ["go", "again", "there"]
