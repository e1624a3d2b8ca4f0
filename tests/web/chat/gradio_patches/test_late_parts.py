"""What a page has before all of its parts are there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.web.pages import Served, expect

BACKENDS = "backends: {first: {kind: echo}, second: {kind: echo}}"
HELD = """
const frame = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = (then) =>
  String(then).includes("painted") ? (window.late = then, 0) : frame(then);
"""


def test_one_writes_and_sends_before_the_rest_of_the_page_is_there_and_nothing_moves_when_it_comes(
    browser: Any, serve: Callable[..., Served]
) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.add_init_script(HELD)
    page.goto(serve(BACKENDS).url)
    page.wait_for_function("Boolean(window.late)")
    box = page.locator("#message textarea")
    box.fill("early")
    box.press("Enter")
    expect(page.locator("#conversation [data-testid=bot] .text")).to_contain_text("early")
    box.type("next")
    rest = page.locator("#conversations-panel, .chatlab-pages a, #backend, #backend-menu, #settings")
    expect(rest).to_have_count(0)
    before = box.bounding_box()

    page.evaluate("window.late()")
    expect(page.locator(".chatlab-chosen")).to_have_text("first")
    expect(page.locator("#conversations .chatlab-conversations > *").first).to_be_visible()
    expect(page.locator(".chatlab-pages a")).to_have_count(2)
    assert box.bounding_box() == before
    assert box.input_value() == "next"
    expect(box).to_be_focused()

    page.click("#settings")
    expect(page.locator("#system textarea")).to_be_visible()
    context.close()
