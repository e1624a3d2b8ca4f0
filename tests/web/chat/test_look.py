"""How the chat page is laid out, as a browser measures it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from chatlab.messages import Finish, Message, TextPart, Timing, Usage
from chatlab.store import StoredConversation, StoredTurn
from tests.servers.front import Front
from tests.web.chat.test_page import CHAT
from tests.web.chat.test_stored import adopt, answer, config, follow, rows, wait_listed, wait_said
from tests.web.pages import ChatPage, expect

pytestmark = pytest.mark.browser

Open = Callable[..., ChatPage]
OLD = datetime(2024, 5, 1, tzinfo=UTC)
EXCHANGES = 12


@pytest.fixture
def upstream() -> Iterator[Front]:
    with Front() as front:
        front.on("POST", CHAT, answer)
        yield front


def open_short(page: ChatPage, tmp_path: Path) -> None:
    """Opens a stored conversation of short exchanges."""
    page.ask("first")
    ((owner,),) = rows(tmp_path, "select owner from turns")
    turns = [
        StoredTurn(
            f"t{n}",
            owner,
            "short",
            f"t{n - 1}" if n else None,
            OLD + timedelta(seconds=n),
            Message.of("user", f"question {n}?"),
            "tiny",
            "openai",
            "Tiny model",
            status="finished",
            answer=(TextPart(f"A short answer, number {n}."),),
            finish=Finish("stop", Usage(5, 4), "tiny"),
            timing=Timing(first_token=0.1, total=0.4),
        )
        for n in range(EXCHANGES)
    ]
    last = turns[-1].id
    adopt(tmp_path, [StoredConversation("short", owner, "short ones", OLD, OLD, head=last)], turns)
    follow(page, "?c=short")
    wait_said(page, *(turn.user.text for turn in turns))
    expect(page.page.locator("button.chatlab-again")).to_have_count(EXCHANGES)
    page.page.wait_for_function(AT_END)


AT_END = """() => {
  const around = document.querySelector("#conversation [role=log]");
  return around.scrollHeight - around.scrollTop - around.clientHeight < 2;
}"""

WHOLLY_SEEN = """() => {
  const around = document.querySelector("#conversation [role=log]").getBoundingClientRect();
  const within = (row) => {
    const { top, bottom } = row.getBoundingClientRect();
    return top >= around.top && bottom <= Math.min(around.bottom, innerHeight);
  };
  const seen = (kind) => [...document.querySelectorAll(`#conversation .${kind}-row`)].filter(within).length;
  return Math.min(seen("user"), seen("bot"));
}"""

PLACES = """() => [...document.querySelectorAll("#conversation .message-row")].map((row) => {
  const { x, y, width, height } = row.getBoundingClientRect();
  return [x, y, width, height].join();
})"""

SHOWN = """selector => [...document.querySelectorAll(selector)].map(
  (one) => Number(getComputedStyle(one).opacity) === 1)"""


def test_eight_short_exchanges_are_seen_at_once(upstream: Front, open_page: Open, tmp_path: Path) -> None:
    page = open_page(config(upstream), viewport={"width": 1440, "height": 900})
    open_short(page, tmp_path)
    assert page.page.evaluate(WHOLLY_SEEN) >= 8


def test_what_can_be_done_with_a_message_is_shown_where_one_points_and_moves_nothing(
    upstream: Front, open_page: Open, tmp_path: Path
) -> None:
    page = open_page(config(upstream), viewport={"width": 1440, "height": 900})
    open_short(page, tmp_path)
    tab = page.page
    tab.mouse.move(5, 5)
    places = tab.evaluate(PLACES)
    again, buttons = "button.chatlab-again", "#conversation .message-buttons-left"
    for kind in (again, buttons):
        assert tab.evaluate(SHOWN, kind) == [False] * (EXCHANGES - 1) + [True], kind
    at = EXCHANGES - 3
    tab.locator("#conversation .bot-row").nth(at).hover()
    for kind in (again, buttons):
        assert [n for n, shown in enumerate(tab.evaluate(SHOWN, kind)) if shown] == [at, EXCHANGES - 1], kind
    tab.locator("#conversation .user-row").nth(at).hover()
    users = tab.evaluate(SHOWN, "#conversation .message-buttons-right")
    assert [n for n, shown in enumerate(users) if shown] == [at]
    tab.locator("#conversation .message-buttons-right button[aria-label=Edit]").nth(at - 1).focus()
    assert tab.evaluate(SHOWN, "#conversation .message-buttons-right")[at - 1]
    assert tab.evaluate(PLACES) == places
    assert not overlapping(tab)


def test_what_can_be_done_with_a_message_is_always_shown_where_nothing_can_point(
    upstream: Front, open_page: Open, tmp_path: Path
) -> None:
    phone: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    page = open_page(config(upstream), **phone)
    open_short(page, tmp_path)
    assert all(page.page.evaluate(SHOWN, "button.chatlab-again, #conversation .message-buttons"))
    assert not overlapping(page.page)


MENU = """\
version: 1
default: echo
backends:
  echo: {kind: echo, label: Echo, description: Says what you say.}
  slow: {kind: echo, label: Slow parrot, description: Takes its time., rate: 50}
  locked: {kind: openai, model: gpt-5-mini, label: GPT-5 mini}
storage: none
"""
STORED = MENU.replace("storage: none\n", "")


def test_the_menu_of_backends_says_what_each_is_and_finds_by_typing(open_page: Open) -> None:
    page = open_page(MENU)
    tab = page.page
    opener = tab.get_by_role("button", name="Backend: Echo")
    opener.click()
    menu = tab.get_by_role("dialog", name="Backend")
    expect(menu.get_by_role("option")).to_have_text(
        [
            "EchoechoreadySays what you say.",
            "Slow parrotechoreadyTakes its time.",
            "GPT-5 miniopenaiset OPENAI_API_KEY",
        ]
    )
    expect(menu.get_by_role("option", selected=True)).to_contain_text("Echo")
    box = menu.get_by_role("combobox")
    expect(box).to_be_focused()
    box.fill("nothing of the kind")
    expect(menu.get_by_role("option")).to_have_count(0)
    expect(menu.get_by_role("status")).to_have_text("No backend is called that.")
    box.fill("ECHO time")
    expect(menu.get_by_role("option")).to_have_count(1)
    tab.keyboard.press("Enter")
    expect(menu).to_have_count(0)
    expect(tab.locator("#message textarea")).to_be_focused()
    tab.keyboard.type("who?")
    tab.keyboard.press("Enter")
    page.wait_ended(1)
    assert page.titles[-1].startswith("Slow parrot")

    tab.get_by_role("button", name="Backend: Slow parrot").click()
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("Escape")
    expect(menu).to_have_count(0)
    expect(tab.locator(".chatlab-chosen")).to_have_text("Slow parrot")


def test_the_message_box_holds_what_belongs_to_it_in_one_frame(open_page: Open) -> None:
    page = open_page(MENU, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    frame = page.page.locator(".gr-group:has(#message)").first.bounding_box()
    for part in ("#message textarea", "[data-testid=upload-button]", ".chatlab-backend", "#settings"):
        box = page.page.locator(part).bounding_box()
        assert box["x"] >= frame["x"] and box["x"] + box["width"] <= frame["x"] + frame["width"], part
        assert box["y"] >= frame["y"] and box["y"] + box["height"] <= frame["y"] + frame["height"], part
        assert part == "#message textarea" or min(box["width"], box["height"]) >= 24, part
    page.page.locator(".chatlab-backend").tap()
    sheet = page.page.get_by_role("dialog", name="Backend").bounding_box()
    assert sheet["x"] == 0 and sheet["width"] == 390 and round(sheet["y"] + sheet["height"]) == 844


def test_the_waste_basket_deletes_the_conversation_and_can_be_undone(
    upstream: Front, open_page: Open, tmp_path: Path
) -> None:
    page = open_page(config(upstream))
    page.ask("one")
    page.page.locator(".chatlab-new").click()
    wait_said(page)
    page.ask("two")
    wait_listed(page, "two", "one")
    page.page.get_by_role("button", name="Delete this conversation").click()
    wait_said(page)
    wait_listed(page, "one")
    assert rows(tmp_path, "select count(*) from conversations where deleted is null") == [(1,)]
    page.page.get_by_role("button", name="Undo", exact=True).click()
    wait_listed(page, "two", "one")


TABLE = """\
| Parameter | Default | Presence penalty |
| --- | --- | --- |
| presence_penalty | 0 | less repetition |"""
BROKEN_WORDS = """() => [...document.querySelectorAll("#conversation :is(th, td)")].filter((cell) => {
  const text = cell.querySelector("p, span")?.firstChild ?? cell.firstChild;
  return cell.innerText.split(/\\s+/).some((word) => {
    const at = text.textContent.indexOf(word);
    if (at < 0) return false;
    const range = document.createRange();
    range.setStart(text, at);
    range.setEnd(text, at + word.length);
    return range.getClientRects().length > 1;
  });
}).map((cell) => cell.innerText)"""


UNREACHABLE_FORMULAS = """() => {
  const formulas = [...document.querySelectorAll("#conversation math")];
  if (!formulas.length) throw new Error("there is no formula");
  return formulas.filter(({ parentElement }) => {
    parentElement.scrollLeft = 1e6;
    return parentElement.scrollLeft + parentElement.clientWidth < parentElement.scrollWidth;
  }).length;
}"""


def test_on_a_phone_nothing_is_cut_or_covered(upstream: Front, open_page: Open, tmp_path: Path) -> None:
    page = open_page(config(upstream), viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    tab = page.page
    page.choose("Echo")
    page.ask(TABLE)
    assert tab.locator("#conversation th:not(.thought-group th)").count() == 3  # not in the typed message
    assert tab.evaluate(BROKEN_WORDS) == []
    page.ask(f"$${'x + ' * 60}y$$")
    assert tab.evaluate(UNREACHABLE_FORMULAS) == 0
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    assert tab.locator(".chatlab-head").bounding_box()["height"] <= 56
    list_opener = "#conversations-panel .toggle-button"
    for opener, panel in (("#settings", "#settings-panel"), (list_opener, "#conversations-panel")):
        tab.locator(opener).click()
        sheet = tab.locator(panel)
        expect(sheet).to_have_class(re.compile(r"\bopen\b"))
        box = sheet.bounding_box()
        assert (
            (box["x"], box["width"]) == (0, 390) and box["y"] > 100 and round(box["y"] + box["height"]) == 844
        )
        sheet.locator(".toggle-button").click()
    tab.get_by_role("button", name="Edit").last.click()
    edited = tab.locator("#conversation textarea").bounding_box()
    assert edited["width"] > 0.6 * 390


def test_what_is_told_for_a_moment_covers_no_control(open_page: Open) -> None:
    page = open_page(STORED)
    tab = page.page
    page.ask("hello")
    tab.route("**/queue/join*", lambda route: route.fulfill(status=503, json={"detail": "Queue is full."}))
    page.ask("again", wait=False)
    expect(tab.locator("[data-testid=toast-body]")).to_contain_text("Too many messages wait")
    # With the list open, and closed; on a phone it is a sheet before all.
    tab.set_viewport_size({"width": 820, "height": 1100})
    tab.wait_for_function(f"({COVERED})().length === 0")
    tab.locator("#conversations-panel > .toggle-button").click()
    tab.set_viewport_size({"width": 390, "height": 450})
    tab.wait_for_function(f"({COVERED})().length === 0")


def test_a_list_that_was_closed_stays_closed_on_both_pages(open_page: Open) -> None:
    page = open_page(STORED)
    tab = page.page
    panel = tab.locator("#conversations-panel")
    expect(panel).to_have_class(re.compile(r"\bopen\b"))
    tab.wait_for_selector(".chatlab-new")
    panel.locator(".toggle-button").click()
    tab.goto(f"{page.served.url}/compare")
    expect(tab.locator("#fold")).to_have_attribute("aria-expanded", "false")
    page.open()
    expect(panel).not_to_have_class(re.compile(r"\bopen\b"))
    panel.locator(".toggle-button").click()
    tab.reload()
    tab.wait_for_selector(".chatlab-new")
    expect(panel).to_have_class(re.compile(r"\bopen\b"))


COVERED = """() => {
  const told = document.querySelector("[data-testid=toast-body]").getBoundingClientRect();
  return [...document.querySelectorAll("button, a, input, textarea, summary")].filter((one) => {
    const { left, right, top, bottom, width } = one.getBoundingClientRect();
    const seen = one.checkVisibility({ visibilityProperty: true });
    return width && seen && !one.closest("[data-testid=toast-body]")
      && left < told.right && right > told.left && top < told.bottom && bottom > told.top;
  }).map((one) => one.outerHTML.slice(0, 80));
}"""


OVERLAPPING = """() => {
  const texts = [...document.querySelectorAll("#conversation .message-wrap :is(button, .md)")];
  const parts = texts.map((one) => {
    const range = document.createRange();
    range.selectNodeContents(one);
    const { left, right, top, bottom } = (one.matches("button") ? one : range).getBoundingClientRect();
    return { one, left, right, top, bottom };
  }).filter((part) => part.right > part.left);
  const meets = (a, b) => a.left < b.right - 1 && b.left < a.right - 1
    && a.top < b.bottom - 1 && b.top < a.bottom - 1 && !a.one.contains(b.one) && !b.one.contains(a.one);
  const name = ({ one }) => one.ariaLabel || one.innerText;
  return parts.flatMap((a, n) => parts.slice(n + 1).filter((b) => meets(a, b)).map(
    (b) => `${name(a)} meets ${name(b)}`));
}"""


def overlapping(tab: Any) -> list[str]:
    """What of the texts and buttons in the conversation covers another one."""
    found: list[str] = tab.evaluate(OVERLAPPING)
    return found
