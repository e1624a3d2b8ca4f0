"""Where the conversation is scrolled to while answers grow, in a browser."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tests.servers.front import Front
from tests.web.chat.test_page import CHAT, config
from tests.web.pages import ChatPage, chunks, expect, says

pytestmark = pytest.mark.browser

Open = Callable[..., ChatPage]
LOG = "#conversation [role=log]"
FROM_END = "log => log.scrollHeight - log.clientHeight - log.scrollTop"
LINES = [f"line {n}\n\n" for n in range(120)]
ONE_PARAGRAPH = [f"word {n} " * 9 for n in range(120)]


@pytest.fixture
def upstream() -> Iterator[Front]:
    with Front() as front:
        yield front


def in_parts(parts: list[threading.Event], texts: Sequence[str] = LINES) -> Callable[[Request], Any]:
    """A handler that says many texts: the first ones at once, and so many more at each event."""

    async def handler(_: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            for n, piece in enumerate(chunks(texts)):
                if n in (40, 80):
                    while not parts[n // 40 - 1].is_set():
                        await asyncio.sleep(0.005)
                yield piece

        return StreamingResponse(body(), media_type="text/event-stream")

    return handler


def at_end(page: ChatPage) -> None:
    """Until the end of the conversation is in sight."""
    page.page.wait_for_function(f"({FROM_END})(document.querySelector('{LOG}')) < 30")


def test_what_is_scrolled_to_stays_while_an_answer_grows_and_ends(upstream: Front, open_page: Open) -> None:
    parts = [threading.Event(), threading.Event()]
    upstream.on("POST", CHAT, in_parts(parts))
    page = open_page(config(upstream))
    log, tab = page.page.locator(LOG), page.page
    page.ask("one", wait=False)
    page.wait_text("line 39")
    at_end(page)  # it grows in sight
    tab.mouse.move(600, 300)
    tab.mouse.wheel(0, -40)  # less than what Gradio takes for the end
    tab.wait_for_function(f"({FROM_END})(document.querySelector('{LOG}')) > 35")
    where = log.evaluate("log => log.scrollTop")
    parts[0].set()
    page.wait_text("line 79")
    assert log.evaluate("log => log.scrollTop") == where
    log.evaluate("log => { log.scrollTop = 100; }")  # as by dragging its bar
    parts[1].set()
    page.wait_text("line 119")
    page.wait_ended(1)
    assert log.evaluate("log => log.scrollTop") == 100
    # A button leads back to the end, and sending to the new message.
    tab.click("#conversation .scroll-down-button-container button")
    at_end(page)
    expect(tab.locator("#conversation .scroll-down-button-container")).to_have_count(0)
    log.evaluate("log => { log.scrollTop = 100; }")
    upstream.on("POST", CHAT, says(chunks(["fine"])))
    page.ask("two")
    at_end(page)
    expect(tab.locator("#conversation [data-testid=user]").last).to_be_in_viewport()


def test_scrolling_up_wins_against_an_answer_that_arrives_at_full_speed(
    upstream: Front, open_page: Open
) -> None:
    parts = [threading.Event(), threading.Event()]
    upstream.on("POST", CHAT, in_parts(parts))
    page = open_page(config(upstream))
    page.ask("one", wait=False)
    page.wait_text("line 39")
    at_end(page)
    moved = page.page.evaluate(
        """async (selector) => {
          const log = document.querySelector(selector);
          const places = [];
          const grown = new MutationObserver(() => places.push(log.scrollTop));
          log.scrollTop -= 60;
          grown.observe(log, { childList: true, subtree: true, characterData: true });
          for (let n = 0; n < 50; n += 1) {
            log.querySelector(".message-wrap").append(document.createElement("br"));
            await new Promise((next) => setTimeout(next, 0));
          }
          return places.concat(log.scrollTop).map((one) => one - places[0]);
        }""",
        LOG,
    )
    assert set(moved) == {0}
    for part in parts:
        part.set()
    page.wait_ended(1)


def test_a_finger_or_a_wheel_that_moves_it_by_a_few_pixels_is_scrolling_up(
    upstream: Front, open_page: Open
) -> None:
    parts = [threading.Event(), threading.Event()]
    upstream.on("POST", CHAT, in_parts(parts, ONE_PARAGRAPH))
    page = open_page(config(upstream))
    tab = page.page
    log = tab.locator(LOG)
    page.ask("one", wait=False)
    page.wait_text("word 39")
    at_end(page)
    tab.mouse.move(600, 300)
    tab.mouse.wheel(0, -6)
    tab.wait_for_function(f"({FROM_END})(document.querySelector('{LOG}')) > 4")
    where = log.evaluate("log => log.scrollTop")
    parts[0].set()
    page.wait_text("word 79")
    assert log.evaluate("log => log.scrollTop") == where
    log.evaluate("log => { log.scrollTop = log.scrollHeight; }")
    at_end(page)
    # The first pixels are a tap's still, and no finger goes one way only.
    touch(tab, [300, 330, 336, 333])
    tab.wait_for_function(f"({FROM_END})(document.querySelector('{LOG}')) > 4")
    parts[1].set()
    page.wait_text("word 119")
    page.wait_ended(1)
    left = log.evaluate(FROM_END)
    assert left > 200  # what came since, all of it


def test_a_page_without_messages_begins_at_its_first_line_on_a_low_screen(
    upstream: Front, open_page: Open
) -> None:
    upstream.on("POST", CHAT, says(chunks(LINES)))
    examples = "ui:\n  examples: [{text: A joke}, {text: Another one}, {text: A long story}, {text: A poem}]"
    low: dict[str, Any] = {"viewport": {"width": 390, "height": 450}, "is_mobile": True, "has_touch": True}
    page = open_page(config(upstream, ui=examples), **low)
    log = page.page.locator(LOG)
    expect(log.locator(".example").last).to_be_attached()

    def begins_at_its_first_line() -> None:
        first = page.page.locator("#conversation .placeholder p").first
        expect(first).to_be_in_viewport(ratio=1)
        assert log.evaluate("log => [log.scrollTop, log.scrollHeight > log.clientHeight]") == [0, True]

    page.page.set_viewport_size({"width": 390, "height": 420})
    begins_at_its_first_line()
    page.ask("one")
    at_end(page)
    page.page.click("#conversation .top-panel button:first-child")
    begins_at_its_first_line()


def touch(tab: Any, heights: list[int]) -> None:
    """Moves a finger over the conversation, from one height to the next."""
    browser = tab.context.new_cdp_session(tab)
    browser.send("Emulation.setTouchEmulationEnabled", {"enabled": True})
    for n, y in enumerate(heights):
        event = {"type": "touchMove" if n else "touchStart", "touchPoints": [{"x": 600, "y": y}]}
        browser.send("Input.dispatchTouchEvent", event)
    browser.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
