"""The line at the top of the pages: the same on each, wherever its parts come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.web.pages import ChatPage, expect

pytestmark = pytest.mark.browser

CONFIG = """\
version: 1
backends: {one: {kind: echo}, two: {kind: echo}}
storage: {}
ui: {title: Our lab, description: Three models and what they cost}
"""
PARTS = """() => {
  const looks = (found) => {
    const { x, y, right, bottom } = found.getBoundingClientRect();
    const { color, font, borderTopWidth: above, borderBottomWidth: below, borderBottomColor, backgroundColor }
      = getComputedStyle(found);
    const line = parseFloat(below) ? borderBottomColor : "none";
    return [x, y, right, bottom, color, font, above, below, line, backgroundColor];
  };
  const head = document.querySelector(".chatlab-head");
  const title = head.querySelector("h1"), [x, y, , bottom, ...rest] = looks(title);
  return {
    head: looks(head).toSpliced(4, 2), // of Gradio's row nothing is written in the row's own type
    title: [x, y, bottom, ...rest, title.innerText],
    links: [...head.querySelectorAll("a")].map((one) => [one.innerText, ...looks(one).slice(0, 4)]),
    current: looks(head.querySelector("a[aria-current]")).slice(4),
    fold: looks(document.querySelector("#fold, #conversations-panel > .toggle-button")),
  };
}"""


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_every_page_has_the_same_head(open_page: Callable[..., ChatPage], width: int, scheme: str) -> None:
    """To the pixel: what is at the top of one page stands still when one goes to the other."""
    page = open_page(CONFIG, viewport={"width": width, "height": 844}, color_scheme=scheme)
    tab = page.page
    both = [parts(tab, folded=False)]
    expect(tab.get_by_text("Three models and what they cost")).to_be_visible(visible=width > 1000)
    if width > 1000:
        tab.locator("#conversations-panel > .toggle-button").click()
        both.append(parts(tab, folded=True))
        tab.locator("#conversations-panel .toggle-button").click()  # it stays as it is left
    tab.get_by_role("link", name="Compare", exact=True).click()
    expect(tab.get_by_role("heading", name="New comparison")).to_be_visible()
    others = [parts(tab, folded=False)]
    if width > 1000:
        tab.locator("#fold").click()
        others.append(parts(tab, folded=True))
    for one, other in zip(both, others, strict=True):
        for part, looks in one.items():
            assert looks == other[part], part


def parts(tab: Any, *, folded: bool) -> Any:
    """Returns where the parts of the head are and what they look like, once nothing of it moves any more."""
    tab.mouse.move(700, 700)
    wide = tab.viewport_size["width"] > 1000
    left = 280 if wide and not folded else 0
    tab.wait_for_function(
        """([head, fold]) => {
          const at = (part) => document.querySelector(part)?.getBoundingClientRect().x;
          return at(".chatlab-head") === head && at("#fold, #conversations-panel > .toggle-button") === fold;
        }""",
        arg=[left, left + (16 if wide else 12)],
    )
    return tab.evaluate(PARTS)
