"""A conversation by keyboard alone, as a person meets it in a browser."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from tests.servers.front import Front
from tests.web.chat.test_page import CHAT, config, roles
from tests.web.pages import ChatPage, chunks, expect, says

pytestmark = pytest.mark.browser

Open = Callable[..., ChatPage]
COMPOSING = "new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, bubbles: true, cancelable: true})"
LOG = "#conversation [role=log]"


@pytest.fixture
def upstream() -> Iterator[Front]:
    with Front() as front:
        yield front


def test_a_conversation_by_keyboard_alone(upstream: Front, open_page: Open) -> None:
    go_on = threading.Event()
    upstream.on("POST", CHAT, says(chunks(["partial", " and the rest"]), go_on, after=1))
    page = open_page(config(upstream))
    tab, box, edited = page.page, page.page.locator("#message textarea"), page.page.locator(f"{LOG} textarea")

    page.ask("one", wait=False)
    page.wait_text("partial")
    tab.wait_for_selector("#message .stop-button")
    box.press_sequentially("the next")
    box.press("Enter")  # there is an answer to wait for
    expect(box).to_have_value("the next")
    assert len(upstream.requests) == 1
    go_on.set()
    page.wait_ended(1)
    expect(box).to_be_focused()
    expect(box).to_have_value("the next")
    box.evaluate(f"box => box.dispatchEvent({COMPOSING})")
    expect(box).to_have_value("the next")

    go_on.clear()
    box.press("Enter")
    page.wait_text("the next")
    expect(tab.locator(LOG).get_by_text("partial", exact=True)).to_be_visible()
    tab.wait_for_selector("#message .stop-button")
    box.press("Escape")
    page.wait_ended(2)
    assert upstream.last.closed.wait(5) and page.titles[-1].endswith("stopped")
    expect(box).to_be_focused()

    go_on.set()
    box.press("ArrowUp")
    expect(edited).to_be_focused()
    expect(edited).to_have_value("the next")
    edited.press("Escape")
    expect(edited).to_have_count(0)
    expect(box).to_be_focused()
    box.press("ArrowUp")
    expect(edited).to_be_focused()
    expect(edited).to_have_value("the next")
    edited.fill("better")
    edited.press("Shift+Enter")
    edited.press_sequentially("in two lines")
    edited.evaluate(f"box => box.dispatchEvent({COMPOSING})")
    expect(edited).to_have_value("better\nin two lines")
    edited.press("Enter")
    page.wait_text("in two lines")
    expect(tab.locator(LOG).get_by_text("partial and the rest", exact=True)).to_have_count(2)
    page.wait_ended(2)
    assert roles(upstream.last.json)[-1] == ("user", "better\nin two lines")
    expect(box).to_be_focused()

    box.press("?")
    expect(box).to_have_value("?")
    box.fill("")
    box.evaluate("box => box.blur()")
    tab.keyboard.press("?")
    expect(tab.get_by_role("dialog", name="Keyboard shortcuts")).to_contain_text("Stop the answer")
    tab.keyboard.press("Escape")
    expect(tab.get_by_role("dialog")).to_have_count(0)


def test_the_keys_work_in_a_browser_of_another_language(upstream: Front, open_page: Open) -> None:
    upstream.on("POST", CHAT, says(chunks(["fine"])))
    page = open_page(config(upstream, ui="ui: {language: de}"), locale="de-DE")
    page.page.fill("#message textarea", "one")
    page.page.press("#message textarea", "Enter")
    tab, box, edited = page.page, page.page.locator("#message textarea"), page.page.locator(f"{LOG} textarea")
    ended = tab.locator("#conversation .title", has_text="insgesamt")
    expect(ended).to_have_count(1)
    expect(tab.get_by_role("button", name="Bearbeiten")).to_have_count(1)  # Gradio's buttons, in German
    box.press("ArrowUp")
    expect(edited).to_have_value("one")
    edited.press("Escape")
    expect(edited).to_have_count(0)
    box.press("ArrowUp")
    expect(edited).to_be_focused()
    expect(edited).to_have_value("one")
    edited.fill("better")
    edited.press("Enter")
    page.wait_text("better")
    expect(ended).to_have_count(1)
    assert page.said == ["better"]


def test_up_does_nothing_where_messages_are_not_edited(upstream: Front, open_page: Open) -> None:
    upstream.on("POST", CHAT, says(chunks(["fine"])))
    page = open_page(config(upstream, ui="ui: {editable: false}"))
    page.ask("one")
    page.page.press("#message textarea", "ArrowUp")
    page.page.press("#message textarea", "x")
    expect(page.page.locator("#message textarea")).to_have_value("x")
    assert page.page.locator(f"{LOG} textarea").count() == 0 and page.said == ["one"]
