"""What a person does while the page or the server is still busy with what they did before, in a browser whose
requests and whose looks at the page are held back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chatlab.ids import ConversationId
from chatlab.store import StoredConversation
from tests.servers.front import Front
from tests.web.chat.test_page import CHAT, roles
from tests.web.chat.test_stored import (
    OLD,
    adopt,
    answer,
    choose,
    config,
    link,
    row,
    rows,
    wait_listed,
    wait_said,
)
from tests.web.pages import ChatPage, chunks, expect, says

pytestmark = pytest.mark.browser

Open = Callable[..., ChatPage]
LOOKS = """
const later = window.setTimeout.bind(window);
window.looks = [];
window.setTimeout = (then, ms, ...rest) =>
  window.looks && String(then).includes(".look()") ? looks.push(then) : later(then, ms, ...rest);
"""
LOOK = "() => { const late = looks; window.looks = null; late.forEach((look) => look()); }"


@pytest.fixture
def upstream() -> Iterator[Front]:
    with Front() as front:
        front.on("POST", CHAT, answer)
        yield front


class Opening:
    """What a page asks to be shown in the conversation's place, held back until it is let go: `requests` are
    not sent, `answers` do not arrive."""

    def __init__(self, page: ChatPage) -> None:
        self.holding = ""
        self.held: list[Callable[[], None]] = []
        page.page.route("**/gradio_api/run/predict*", self._hold)

    def _hold(self, route: Any) -> None:
        asked = (route.request.post_data_json or {}).get("event_data") or {}
        if not self.holding or not {"number", "conversation"} & asked.keys():
            route.continue_()
        elif self.holding == "requests":
            self.held.append(route.continue_)
        else:
            response = route.fetch()
            self.held.append(lambda: route.fulfill(response=response))

    def let_go(self) -> None:
        held, self.held, self.holding = self.held, [], ""
        for go_on in held:
            go_on()


def wait_held(page: ChatPage, opening: Opening, count: int) -> None:
    while len(opening.held) < count:
        page.page.wait_for_timeout(10)  # the loop in which the requests come


def two(page: ChatPage) -> tuple[str, str]:
    """Have two conversations, each of a message; return their addresses."""
    page.ask("about apples")
    first = link(page)
    page.page.click(".chatlab-new")
    wait_said(page)
    page.ask("about pears")
    page.page.wait_for_function("a => !location.href.endsWith(a)", arg=first)
    wait_listed(page, "about pears", "about apples")
    return first, link(page)


def test_a_conversation_that_began_before_the_page_looked_at_it_is_left_when_it_is_deleted(
    upstream: Front, open_page: Open
) -> None:
    page = open_page(config(upstream))
    page.page.add_init_script(LOOKS)
    page.page.reload()
    page.wait_ready()
    page.page.evaluate(LOOK)
    page.ask("about apples")
    wait_listed(page, "about apples")
    page.page.evaluate("window.looks = []")
    page.page.click(".chatlab-new")
    wait_said(page)
    page.ask("about pears")
    page.page.evaluate(LOOK)
    wait_listed(page, "about pears", "about apples")
    link(page)
    choose(page, "about pears", "Delete")
    wait_listed(page, "about apples")
    wait_said(page)


def test_a_message_that_is_sent_while_a_conversation_is_being_opened_belongs_to_that_one(
    upstream: Front, open_page: Open
) -> None:
    page = open_page(config(upstream))
    opening = Opening(page)
    apples, _ = two(page)
    # After a reload, by Enter.
    opening.holding = "requests"
    page.page.reload()
    page.wait_ready()
    page.page.fill("#message textarea", "and quinces?")
    page.page.press("#message textarea", "Enter")
    wait_held(page, opening, 1)
    assert page.page.input_value("#message textarea") == "and quinces?"
    opening.let_go()
    page.wait_ended(2)
    assert page.said == ["about pears", "and quinces?"]
    # In another one, by the button.
    opening.holding = "requests"
    row(page, "about apples").locator(".chatlab-title").click()
    wait_held(page, opening, 1)
    page.page.fill("#message textarea", "more")
    page.page.click("#message .submit-button")
    opening.let_go()
    wait_said(page, "about apples", "more")
    page.wait_ended(2)
    assert link(page) == apples
    # In a new one.
    opening.holding = "requests"
    page.page.click(".chatlab-new")
    wait_held(page, opening, 1)
    page.page.fill("#message textarea", "about plums")
    page.page.press("#message textarea", "Enter")
    opening.let_go()
    wait_said(page, "about plums")
    page.wait_ended(1)
    assert roles(upstream.last.json) == [("user", "about plums")]
    wait_listed(page, "about plums", "about apples", "about pears")


def test_the_conversation_chosen_last_is_shown_in_whatever_order_the_answers_come(
    upstream: Front, open_page: Open
) -> None:
    page = open_page(config(upstream))
    opening = Opening(page)
    _, pears = two(page)
    page.page.click(".chatlab-new")
    wait_said(page)
    opening.holding = "answers"
    row(page, "about apples").locator(".chatlab-title").click()
    wait_held(page, opening, 1)
    row(page, "about pears").locator(".chatlab-title").click()
    wait_held(page, opening, 2)
    opening.held.pop()()
    wait_said(page, "about pears")
    opening.let_go()
    wait_said(page, "about apples")
    wait_said(page, "about pears")
    assert link(page) == pears
    expect(page.page.locator(".chatlab-row[aria-current]")).to_contain_text("about pears")


def test_back_is_heard_while_the_list_is_being_loaded(upstream: Front, open_page: Open) -> None:
    page = open_page(config(upstream))
    two(page)
    held: list[Any] = []
    page.page.route("**/chat/conversations.js", lambda route: held.append(route))
    page.page.reload()
    wait_said(page, "about pears")
    page.page.go_back()  # where it was begun
    assert len(held) == 1
    held[0].continue_()
    wait_said(page)
    expect(page.page.locator(".chatlab-title")).to_have_count(2)
    assert "?" not in page.page.url


def test_what_is_undone_is_undone_once(upstream: Front, open_page: Open) -> None:
    page = open_page(config(upstream))
    for text in ("one", "two", "three"):
        page.ask(text)
    page.page.get_by_role("button", name="Undo", exact=True).click()
    expect(page.page.locator("#message textarea")).to_have_value("three")
    page.page.fill("#message textarea", "")
    page.page.reload()
    wait_said(page, "one", "two")


LISTED = "**/-/conversations?*"
CHANGED = "new BroadcastChannel('chatlab lists ').postMessage('')"  # as another tab says it


def test_whoever_scrolls_while_the_list_is_asked_anew_gets_more_and_stays_where_they_are(
    upstream: Front, open_page: Open, tmp_path: Path
) -> None:
    page = open_page(config(upstream))
    page.ask("the newest")
    ((owner,),) = rows(tmp_path, "select owner from turns")
    adopt(
        tmp_path,
        [StoredConversation(ConversationId(f"c{n}"), owner, "old", OLD, OLD) for n in range(100)],
        [],
    )
    held: list[Any] = []
    holding = False
    page.page.route(LISTED, lambda route: held.append(route) if holding else route.continue_())
    page.page.evaluate(CHANGED)
    titles, places = page.page.locator(".chatlab-title"), page.page.locator(".chatlab-list:visible")
    expect(titles).to_have_count(40)
    holding = True
    with page.page.expect_request(LISTED):
        page.page.evaluate(CHANGED)
    places.evaluate("list => list.scrollTop = list.scrollHeight")
    page.page.evaluate("new Promise((seen) => requestAnimationFrame(() => setTimeout(seen, 50)))")
    holding = False
    held.pop().continue_()
    expect(titles).to_have_count(80)
    where = places.evaluate("list => list.scrollTop = list.scrollHeight / 2")
    with page.page.expect_response(lambda response: "after=" in response.url):
        page.page.evaluate(CHANGED)
    expect(titles).to_have_count(80)
    assert places.evaluate("list => list.scrollTop") == pytest.approx(where, abs=1)


@pytest.mark.parametrize("kept", ["requests", "answers"])
@pytest.mark.parametrize("storage", ["", "storage: none"])
def test_a_stop_that_comes_before_the_message_has_arrived_stops_its_answer(
    upstream: Front, open_page: Open, kept: str, storage: str
) -> None:
    upstream.on("POST", CHAT, says(chunks(["partial", " more"]), threading.Event(), after=1))
    page = open_page(config(upstream, storage))
    held: list[Callable[[], None]] = []

    def hold(route: Any) -> None:
        if kept == "requests":
            held.append(route.continue_)
        else:
            response = route.fetch()
            held.append(lambda: route.fulfill(response=response))

    page.page.route("**/gradio_api/queue/join*", hold)
    page.ask("too soon", wait=False)
    page.page.wait_for_selector("#message .stop-button")
    while not held:
        page.page.wait_for_timeout(10)
    page.page.press("#message textarea", "Escape")
    held.pop()()
    page.wait_text("stopped")
    page.wait_ended(1)
    assert upstream.last.closed.wait(5)
    assert page.said == ["too soon"]


def test_each_thumb_is_told_though_the_one_before_it_is_not_answered(
    upstream: Front, open_page: Open
) -> None:
    page = open_page(config(upstream, "ui: {flagging: manual, flagging_dir: flags}"))
    page.ask("one")
    page.ask("two")
    held: list[Any] = []

    def hold(route: Any) -> None:
        asked = (route.request.post_data_json or {}).get("event_data") or {}
        if "liked" in asked:
            held.append(route)
        else:
            route.continue_()

    page.page.route("**/gradio_api/run/predict*", hold)
    likes = page.page.locator("#conversation button[aria-label='Like']")
    for like in (likes.last, likes.first):
        with page.page.expect_request(lambda request: '"liked"' in (request.post_data or "")):
            like.click()
    for route in held:
        route.continue_()
