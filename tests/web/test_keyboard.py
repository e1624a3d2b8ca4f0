"""A whole session on each page by keyboard alone: what is reached by Tab is used, and nothing is clicked."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.web.chat.test_stored import wait_listed, wait_said
from tests.web.pages import ChatPage, expect

pytestmark = pytest.mark.browser

CONFIG = """\
version: 1
default: quick
backends:
  quick: {{kind: echo, label: Quick}}
  slow: {{kind: echo, label: Slow, rate: 20}}
  other: {{kind: echo, label: Other, reply: Something else is said here.}}
storage: {{sharing: true}}
compare: {{lanes: [quick, slow]}}
ui: {{flagging: manual, flagging_dir: {folder}/flagged}}
"""
FOCUSED = """() => {
  const { activeElement: one } = document;
  const name = one.ariaLabel || (one.labels?.[0] ?? one).innerText || "";
  return [name.replace(/\\s+/g, " ").trim(), one === document.body];
}"""
SEEN = """() => {
  const one = document.activeElement;
  const { left, right, top, bottom } = one.getBoundingClientRect();
  const at = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
  const style = (of) => getComputedStyle(of);
  const framed = one.closest(".gr-group:focus-within") ?? one;
  const marked = [one, framed].some((of) =>
    style(of).outlineStyle !== "none" || style(of).boxShadow !== "none");
  const uncovered = Boolean(at) && (one.contains(at) || at.contains(one));
  return uncovered && (marked || one.matches("#message textarea"));
}"""


class Keys:
    """The keyboard of a page."""

    def __init__(self, tab: Any) -> None:
        self.tab = tab

    def press(self, *keys: str) -> None:
        for key in keys:
            self.tab.keyboard.press(key)

    def write(self, text: str, *keys: str) -> None:
        self.tab.keyboard.type(text)
        self.press(*keys)

    def go(self, name: str, *keys: str, by: str = "Tab") -> None:
        """Moves the focus to what is called so, which must be seen there, and presses keys on it."""
        passed = []
        for _ in range(80):
            self.press(by)
            found, nowhere = self.tab.evaluate(FOCUSED)
            if re.fullmatch(name, found) and not nowhere:
                assert self.tab.evaluate(SEEN), f"nobody sees that {found} has the focus"
                return self.press(*keys)
            passed.append(found)
        raise AssertionError(f"{name} is not reached: {passed}")

    def expect_at(self, name: str) -> None:
        """Waits until what is called so has the focus."""
        self.tab.wait_for_function(f"name => new RegExp(`^${{name}}$`).test(({FOCUSED})()[0])", arg=name)


def test_a_session_of_chat(open_page: Callable[..., ChatPage], tmp_path: Path) -> None:
    page = open_page(CONFIG.format(folder=tmp_path), permissions=["clipboard-read", "clipboard-write"])
    tab, keys = page.page, Keys(page.page)
    box = tab.locator("#message textarea")
    expect(box).to_be_focused()
    keys.go("Backend: Quick", "Enter")
    expect(tab.get_by_role("dialog", name="Backend")).to_be_visible()
    keys.press("Escape")
    keys.expect_at("Backend: Quick")
    keys.press("Enter")
    keys.write("slow", "Enter")
    expect(box).to_be_focused()

    keys.go("Options", "Enter")
    keys.expect_at("System prompt")
    keys.write("Be brief.", "Escape")
    keys.expect_at("Options")
    expect(tab.locator("#settings-panel")).not_to_have_class(re.compile(r"\bopen\b"))

    keys.go("Message", by="Shift+Tab")
    keys.write("word " * 80, "Enter")
    expect(tab.locator("#conversation [data-testid=bot]", has_text="word word")).to_have_count(1)
    keys.press("Escape")
    expect(tab.locator("#conversation .title").last).to_contain_text("stopped")
    page.wait_ended(1)
    keys.press("ArrowUp")
    keys.expect_at("Your message")
    keys.press("Control+a")
    keys.write("about apples", "Enter")
    expect(tab.get_by_text("about apples").last).to_be_visible()
    page.wait_ended(1)
    expect(box).to_be_focused()

    keys.go("Retry", "Enter")
    page.wait_ended(1)
    keys.go("Copy message", "Enter", by="Shift+Tab")
    tab.wait_for_function("navigator.clipboard.readText().then(text => text === 'about apples')")
    with tab.expect_response(lambda answer: answer.url.endswith("/queue/join") or "/run/" in answer.url):
        keys.go("Like", "Enter")

    keys.go("New chat", "Enter")
    wait_said(page)
    keys.go("Message")
    keys.write("about pears", "Enter")
    page.wait_ended(1)
    wait_listed(page, "about pears", "word word")
    keys.go("More about word.*", "Enter", "ArrowDown")
    keys.expect_at("Rename")
    keys.press("Escape")
    keys.expect_at("More about word.*")
    keys.press("ArrowDown", "Enter")
    keys.expect_at("New title")
    keys.press("Control+a")
    keys.write("Fruit", "Enter")
    wait_listed(page, "about pears", "Fruit")
    keys.go("Search conversations", by="Shift+Tab")
    keys.write("apples")
    wait_listed(page, "Fruit")
    keys.press("Escape")
    wait_listed(page, "about pears", "Fruit")
    keys.go("Fruit", "Enter")
    wait_said(page, "about apples")
    keys.go("More about Fruit", "ArrowUp")
    keys.expect_at("Delete")
    keys.press("Enter")
    wait_listed(page, "about pears")
    keys.expect_at("Undo")
    keys.press("Enter")
    wait_listed(page, "about pears", "Fruit")
    keys.expect_at("Chats")


def test_a_session_of_comparison(open_page: Callable[..., ChatPage], tmp_path: Path) -> None:
    page = open_page(CONFIG.format(folder=tmp_path))
    tab, keys = page.page, Keys(page.page)
    keys.go("Compare", "Enter")
    expect(tab.get_by_role("button", name="Start")).to_be_visible()
    keys.go("Add a lane", "Enter")
    keys.go("Backend", by="Shift+Tab")
    keys.write("Other")
    keys.go("Blind: names are hidden.*", "Space")
    keys.go("Start", "Enter")
    keys.expect_at("Message")
    keys.write("one", "Enter")
    votes = tab.locator(".vote")
    expect(votes.first).to_be_visible()
    keys.go("B", "Enter", by="Shift+Tab")
    expect(tab.locator(".vote button[aria-pressed=true]")).to_have_text("B")
    keys.expect_at("B")
    keys.go("Reveal names.*", "Enter", by="Shift+Tab")
    keys.expect_at("Reveal names")
    keys.press("Enter")
    names = tab.locator(".lane > strong")
    expect(names.filter(has_text="Other")).to_have_count(1)

    last = names.last.inner_text()
    keys.go(f"Lane {last}", "Enter", "ArrowDown")
    keys.go("Move left", "Enter", by="ArrowDown")
    expect(names.nth(1)).to_have_text(last)
    keys.expect_at(f"Lane {last}")
    for name, leads in (("Ranking", "Close"), ("Report", "Open the report.*"), ("Share", "Make a link")):
        keys.go(name, "Enter", by="Shift+Tab" if name == "Ranking" else "Tab")
        expect(tab.locator("dialog[open]")).to_be_visible()
        for _ in range(8):  # the dialog holds the focus
            keys.press("Tab")
            assert tab.evaluate(
                "['DIALOG', 'BODY'].includes(document.activeElement.tagName)"
                " || Boolean(document.activeElement.closest('dialog'))"
            )
        if name == "Report":
            with tab.context.expect_page() as opened:
                keys.go(leads, "Enter")
            opened.value.close()
        elif name == "Share":
            keys.go(leads, "Enter")
            expect(tab.get_by_text("There is one link.")).to_be_visible()
        keys.press("Escape")
        keys.expect_at(name)
