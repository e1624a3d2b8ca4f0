"""An answer goes on through a reload and a closed tab, for its owner alone, as a browser shows it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chatlab.web.chat import stored_turns
from tests.servers.front import Front
from tests.web.chat.test_page import CHAT
from tests.web.chat.test_stored import config, follow, link, wait_said
from tests.web.pages import ChatPage, Served, chunks, expect, says

pytestmark = pytest.mark.browser

Open = Callable[..., ChatPage]


@pytest.fixture
def upstream() -> Iterator[Front]:
    with Front() as front:
        yield front


def held(upstream: Front, *, after: int = 1) -> threading.Event:
    """Has the upstream say a first word, and the others once the event is set."""
    go_on = threading.Event()
    upstream.on("POST", CHAT, says(chunks(["partial", " and", " the rest"]), go_on, after=after))
    return go_on


def another_tab(page: ChatPage, address: str = "") -> ChatPage:
    """Another tab of the same browser."""
    return follow(ChatPage(page.page.context.new_page(), page.served), address)


def test_an_answer_goes_on_through_a_reload_and_is_seen_growing(upstream: Front, open_page: Open) -> None:
    go_on = held(upstream, after=0)
    page = open_page(config(upstream))
    page.ask("go", wait=False)
    address = link(page)  # known before the first token
    for _ in range(3):
        page.page.reload()
        wait_said(page, "go")
        page.page.wait_for_selector("#message .stop-button")
    assert page.page.url.endswith(address) and not upstream.last.closed.is_set()
    go_on.set()
    page.wait_text("partial and the rest")
    page.wait_ended(1)
    assert page.titles[-1].endswith("3 out") and len(upstream.requests) == 1


def test_an_answer_goes_on_after_its_tab_was_closed_and_stop_stops_it_at_once(
    upstream: Front, open_page: Open
) -> None:
    go_on = held(upstream)
    page = open_page(config(upstream))
    page.ask("go", wait=False)
    page.wait_text("partial")
    tab = another_tab(page)
    page.page.close()
    tab.page.locator(".chatlab-title", has_text="go").click()
    tab.wait_text("partial")
    assert not upstream.last.closed.is_set()
    go_on.set()
    tab.wait_ended(1)
    assert tab.answers == ["partial and the rest"]
    held(upstream)
    tab.ask("again", wait=False)
    tab.page.wait_for_selector("#message .stop-button")
    expect(tab.page.locator("#conversation").get_by_text("partial", exact=True)).to_be_visible()
    tab.page.reload()
    expect(tab.page.locator("#conversation").get_by_text("partial", exact=True)).to_be_visible()
    tab.page.click("#message .stop-button")
    assert upstream.last.closed.wait(5)
    tab.wait_ended(2)
    assert tab.titles[-1].endswith("stopped")


@pytest.mark.parametrize("seconds", ["0", "0.5"])
def test_an_answer_nobody_comes_back_to_is_stopped_after_the_configured_time(
    upstream: Front, open_page: Open, seconds: str
) -> None:
    held(upstream)
    page = open_page(config(upstream, f"server: {{orphan_seconds: {seconds}}}"))
    page.ask("go", wait=False)
    page.wait_text("partial")
    tab = another_tab(page)
    page.page.close()
    assert upstream.last.closed.wait(20)
    tab.page.locator(".chatlab-title", has_text="go").click()
    tab.wait_ended(1)
    assert tab.answers == ["partial"] and tab.titles[-1].endswith("stopped")


def test_what_is_not_stored_ends_with_its_page(upstream: Front, open_page: Open) -> None:
    held(upstream)
    page = open_page(config(upstream, "storage: none"))
    page.ask("go", wait=False)
    page.wait_text("partial")
    page.page.reload()
    assert upstream.last.closed.wait(20)


def test_nobody_else_comes_to_see_or_to_stop_an_answer_that_goes_on(upstream: Front, open_page: Open) -> None:
    go_on = held(upstream)
    page = open_page(config(upstream))
    page.ask("for my eyes only", wait=False)
    page.wait_text("partial")
    address = link(page)
    stranger = open_page(page.served)
    follow(stranger, address).wait_text("There is no such conversation")
    page.page.goto("about:blank")
    follow(stranger, address).wait_text("There is no such conversation")
    assert "partial" not in stranger.page.content() and "my eyes" not in stranger.page.content()
    assert stranger.page.locator("#message .stop-button").count() == 0
    stranger.page.close()
    assert not upstream.last.closed.is_set()
    go_on.set()
    follow(page, address).wait_ended(1)
    assert page.answers == ["partial and the rest"]


def test_an_answer_that_goes_on_counts_as_running(upstream: Front, open_page: Open) -> None:
    held(upstream)
    page = open_page(config(upstream, "limits: {running_turns: {visitor: 1}}"))
    page.ask("go", wait=False)
    page.wait_text("partial")
    address = link(page)
    page.page.goto(page.served.url)
    page.page.wait_for_selector("#message textarea")
    page.ask("one more", wait=False)
    page.wait_text("One visitor may have 1 answers running at a time")
    follow(page, address)
    page.wait_text("partial")
    page.page.click("#message .stop-button")
    page.wait_ended(1)
    upstream.on("POST", CHAT, says(chunks(["fine"])))
    page.ask("one more")
    assert page.answers == ["partial", "fine"]


def test_a_server_that_ends_stores_what_runs_as_interrupted(
    upstream: Front, serve: Callable[..., Served], open_page: Open
) -> None:
    held(upstream)
    served = serve(config(upstream))
    page = open_page(served)
    page.ask("go", wait=False)
    page.wait_text("partial")
    address, state = link(page), page.page.context.storage_state()
    page.page.close()
    served.stop()
    again = open_page(config(upstream), storage_state=state)
    follow(again, address).wait_ended(1)
    assert again.answers == ["partial"] and again.titles[-1].endswith("interrupted")


def test_two_tabs_see_and_stop_the_same_answer(upstream: Front, open_page: Open) -> None:
    held(upstream)
    page = open_page(config(upstream))
    page.ask("go", wait=False)
    page.wait_text("partial")
    tab = another_tab(page, link(page))
    tab.wait_text("partial")
    tab.page.click("#message .stop-button")
    assert upstream.last.closed.wait(5)
    for one in (page, tab):
        one.wait_ended(1)
        assert one.answers == ["partial"] and one.titles[-1].endswith("stopped")
    upstream.on("POST", CHAT, says(chunks(["fine"])))
    page.ask("and now?")
    assert page.answers == ["partial", "fine"]


def test_a_message_that_is_stopped_before_its_answer_begins_is_stored(
    upstream: Front, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived, go_on = threading.Event(), threading.Event()
    begin = stored_turns.begin

    async def slowly(*given: Any, **named: Any) -> stored_turns.SavedTurn:
        arrived.set()
        await asyncio.to_thread(go_on.wait, 10)
        return await begin(*given, **named)

    monkeypatch.setattr(stored_turns, "begin", slowly)
    held(upstream)
    page = open_page(config(upstream))
    page.ask("go", wait=False)
    assert arrived.wait(10)
    page.page.keyboard.press("Escape")
    page.page.wait_for_timeout(300)  # the stop is there before the answer has begun
    assert not upstream.requests
    go_on.set()
    page.wait_ended(1)
    assert page.titles[-1].endswith("stopped")
    link(page)
    page.page.reload()
    wait_said(page, "go")
    expect(page.page.locator("#message .stop-button")).to_have_count(0)
    page.ask("and now?", wait=False)
    page.wait_text("partial")
