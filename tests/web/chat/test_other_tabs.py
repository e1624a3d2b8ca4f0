"""Two tabs on one conversation, the way back from it, and a server that goes and comes, in a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.servers.front import Front
from tests.web.chat.test_goes_on import another_tab, held
from tests.web.chat.test_page import CHAT, roles
from tests.web.chat.test_stored import answer, choose, config, follow, link, wait_listed, wait_said
from tests.web.pages import ChatPage, Served, expect

pytestmark = pytest.mark.browser

Open = Callable[..., ChatPage]
FORKED = "this conversation went on in another tab meanwhile"


@pytest.fixture
def upstream() -> Iterator[Front]:
    with Front() as front:
        front.on("POST", CHAT, answer)
        yield front


def test_two_tabs_on_one_conversation_show_each_others_messages(upstream: Front, open_page: Open) -> None:
    page = open_page(config(upstream))
    page.ask("one")
    tab = another_tab(page, link(page))
    tab.wait_ended(1)
    go_on = held(upstream)
    page.ask("two", wait=False)
    wait_said(tab, "one", "two")
    tab.wait_text("partial")  # while it runs
    tab.page.wait_for_selector("#message .stop-button")
    go_on.set()
    tab.wait_ended(2)
    upstream.on("POST", CHAT, answer)
    tab.ask("three")
    wait_said(page, "one", "two", "three")
    page.wait_ended(3)
    assert page.answers == tab.answers and len(roles(upstream.last.json)) == 5
    assert not any(FORKED in title for one in (page, tab) for title in one.titles)
    choose(page, "one", "Rename")
    page.page.fill(".chatlab-rename", "better")
    page.page.press(".chatlab-rename", "Enter")
    wait_listed(tab, "better")


def test_what_another_tab_asked_while_this_one_was_loading_is_shown(upstream: Front, open_page: Open) -> None:
    page = open_page(config(upstream))
    page.ask("one")
    tab = ChatPage(page.page.context.new_page(), page.served)
    loading: list[Any] = []
    tab.page.route("**/other_tabs.js", lambda script: loading.append(script))
    follow(tab, link(page))
    wait_said(tab, "one")
    page.ask("two")
    assert tab.said == ["one"]
    for script in loading:
        script.continue_()
    wait_said(tab, "one", "two")
    tab.wait_ended(2)


def test_what_another_browser_wrote_is_shown_when_one_comes_back_and_said_when_one_forks_it(
    upstream: Front, open_page: Open
) -> None:
    page = open_page(config(upstream))
    page.ask("one")
    # Of the same person, but no tab of this browser, so nothing is told from one to the other.
    other = open_page(page.served, storage_state=page.page.context.storage_state())
    follow(other, link(page)).wait_ended(1)
    page.ask("two")
    assert other.said == ["one"]
    other.page.evaluate("window.dispatchEvent(new Event('focus'))")
    wait_said(other, "one", "two")
    page.ask("three")
    other.ask("instead")
    assert other.said == ["one", "two", "instead"]
    assert any(FORKED in title for title in other.titles)
    expect(other.page.locator(".chatlab-of")).to_have_text("2/2")
    other.ask("and on")
    assert sum(FORKED in title for title in other.titles) == 1
    other.page.reload()
    other.wait_ended(4)
    assert sum(FORKED in title for title in other.titles) == 1  # it is kept
    other.page.get_by_role("button", name="Previous version").click()
    wait_said(other, "one", "two", "three")


def test_a_message_that_is_edited_or_written_stays_while_another_tab_writes(
    upstream: Front, open_page: Open
) -> None:
    page = open_page(config(upstream))
    page.ask("one")
    tab = another_tab(page, link(page))
    tab.wait_ended(1)
    tab.page.fill("#message textarea", "half a thought")
    tab.page.reload()
    tab.wait_ended(1)
    expect(tab.page.locator("#message textarea")).to_have_value("half a thought")
    page.ask("two")
    wait_said(tab, "one", "two")
    expect(tab.page.locator("#message textarea")).to_have_value("half a thought")
    tab.page.fill("#message textarea", "")
    tab.page.press("#message textarea", "ArrowUp")
    tab.page.fill("#conversation textarea", "better")
    page.ask("three")
    expect(tab.page.locator("#conversation textarea")).to_have_value("better")
    tab.page.press("#conversation textarea", "Escape")
    wait_said(tab, "one", "two", "three")


def test_back_from_the_first_message_leads_to_the_page_it_was_written_on(
    upstream: Front, open_page: Open
) -> None:
    page = open_page(config(upstream))
    page.ask("one")
    address = link(page)
    page.page.go_back()
    wait_said(page)
    assert page.page.url.startswith(page.served.url) and "?c=" not in page.page.url
    page.page.go_forward()
    wait_said(page, "one")
    assert page.page.url.endswith(address)
    page.ask("two")  # it goes on there
    assert len(roles(upstream.last.json)) == 3
    page.page.go_back()
    wait_said(page)
    page.ask("another")
    assert len(roles(upstream.last.json)) == 1 and link(page) != address


def test_the_page_says_that_its_server_is_away_and_goes_on_by_itself_when_it_is_back(
    upstream: Front, serve: Callable[..., Served], open_page: Open
) -> None:
    served = serve(config(upstream))
    page = open_page(served)
    page.ask("one")
    away = page.page.locator("#chatlab-away")
    expect(away).to_have_count(0)
    page.page.fill("#message textarea", "not sent yet")
    served.stop()
    expect(away).to_be_visible()
    serve(config(upstream))  # at the same address
    expect(away).to_have_text("Reconnected.")
    expect(away).to_have_count(0)
    wait_said(page, "one")
    expect(page.page.locator("#message textarea")).to_have_value("not sent yet")
    page.page.press("#message textarea", "Enter")
    page.wait_ended(2)
    assert page.answers == ["answer to one", "answer to not sent yet"]
    page.errors.clear()  # what the browser says of requests that were cut
