"""The report in a browser: from a file, without a network, on a screen, a phone and paper."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chatlab.compare.report import report
from tests.compare.report.samples import comparison, run_of_many


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Opens a report as a file, offline; fails if the page complained or asked for anything but itself."""
    (tmp_path / "report.html").write_text(report(comparison()), "utf-8")
    contexts: list[Any] = []
    complaints: list[str] = []
    asked: list[str] = []

    def start(**context: Any) -> Any:
        contexts.append(browser.new_context(**{"offline": True, **context}))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url.partition(":")[0]))
        page.goto((tmp_path / "report.html").as_uri())
        return page

    yield start
    for context in contexts:
        context.close()
    assert complaints == []
    assert set(asked) <= {"file", "data"} and asked.count("file") == len(contexts)


def test_it_opens_without_a_network_and_without_scripts(opened: Callable[..., Any]) -> None:
    page = opened(java_script_enabled=False)
    assert page.title() == "Sky & <light>"
    assert page.locator("article.answer").count() == 16
    assert page.get_by_text("Answer 1 of").first.is_visible()
    request = page.get_by_text("The exact request").first
    assert not request.is_visible()
    page.get_by_text("What was sent").first.click()
    request.click()
    assert page.locator("details pre", has_text='"role": "user"').first.is_visible()
    assert page.locator("img").evaluate("image => image.naturalWidth") == 1


def test_answers_stand_side_by_side_and_on_a_phone_below_each_other(opened: Callable[..., Any]) -> None:
    for width, beside in ((1200, True), (375, False)):
        page = opened(viewport={"width": width, "height": 800})
        first, second = (page.locator("article.answer").nth(number).bounding_box() for number in (0, 1))
        assert (second["x"] > first["x"] + first["width"] - 1) is beside
        assert (second["y"] >= first["y"] + first["height"] - 1) is not beside
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_plot_puts_each_value_where_it_belongs(opened: Callable[..., Any]) -> None:
    page = opened(viewport={"width": 1200, "height": 800})
    rows = page.locator(".plot").nth(1).locator(".row:not(.axis)")  # the totals
    for lane, values in enumerate(
        [
            [one.turn.timing.total for one in comparison().results if one.lane == found_id]
            for found_id in ("l1", "l2")
        ]
    ):
        kept = sorted(value for value in values if value is not None)
        kept = kept if lane == 0 else [value for value in kept if value != 0.4 + 1 + 0.06]  # it failed
        box = rows.nth(lane).locator("svg").bounding_box()
        dots = [
            rows.nth(lane).locator("circle").nth(number).bounding_box()
            for number in range(rows.nth(lane).locator("circle").count())
        ]
        shares = [(dot["x"] + dot["width"] / 2 - box["x"]) / box["width"] for dot in dots]
        assert shares == pytest.approx([value / 1.64 for value in kept], abs=0.01)


def test_it_is_dark_where_the_reader_is_and_prints_without_what_is_for_screens(
    opened: Callable[..., Any],
) -> None:
    shades = []
    for scheme in ("light", "dark"):
        page = opened(color_scheme=scheme)
        shade = page.evaluate(
            "() => { const c = document.createElement('div'); c.style.background = 'Canvas';"
            "document.body.append(c); return getComputedStyle(c).backgroundColor }"
        )
        shades.append(shade)
        text = page.evaluate("getComputedStyle(document.body).color")
        assert text != shade
    assert shades[0] != shades[1]
    page.emulate_media(media="print")
    assert not page.locator(".filters").is_visible()
    assert page.locator("article.answer").last.is_visible()


def test_a_page_of_many_answers_scrolls_to_its_end(browser: Any, tmp_path: Path) -> None:
    whole = comparison(150)
    (tmp_path / "many.html").write_text(report(replace(whole, votes=(), verdicts=())), "utf-8")
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    page.goto((tmp_path / "many.html").as_uri())
    page.locator(".matrix a", has_text=re.compile("^150$")).click()
    page.locator("#item-150").get_by_text("Answer 150 of").first.wait_for()
    assert page.locator("#item-150").bounding_box()["y"] < 800
    page.close()


def test_prompts_are_filtered_without_a_script(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "many.html").write_text(report(run_of_many(3)), "utf-8")
    page = browser.new_page(java_script_enabled=False)
    page.goto((tmp_path / "many.html").as_uri())
    shown = {}
    for name in ("all", "a lane failed", "checks differ"):
        page.get_by_role("radio", name=name).check()
        shown[name] = [page.locator(f"{which}:visible").count() for which in (".matrix tbody tr", ".item")]
    assert shown == {"all": [12, 12], "a lane failed": [9, 9], "checks differ": [8, 8]}
    page.close()


# 210 and 216 mm without the 15 mm of both margins, at 96 pixels an inch
@pytest.mark.parametrize(("paper", "width"), [("A4", 680), ("Letter", 703)])
def test_eight_lanes_print_without_a_column_cut(browser: Any, tmp_path: Path, paper: str, width: int) -> None:
    (tmp_path / "many.html").write_text(report(run_of_many()), "utf-8")
    page = browser.new_page(viewport={"width": width, "height": 1000})
    page.goto((tmp_path / "many.html").as_uri())
    page.emulate_media(media="print")
    cut = page.evaluate(
        "() => [...document.querySelectorAll('body *')].filter((one) =>"
        " one.getBoundingClientRect().right > innerWidth + 1 ||"
        " (one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX !== 'visible')"
        ").map((one) => one.outerHTML.slice(0, 80))"
    )
    assert cut == []
    broken = page.evaluate(
        "() => [...document.querySelectorAll('.matrix td, thead th:not(.lane)')].filter((cell) => {"
        " const range = document.createRange(); const text = cell.firstChild;"
        " return [...text.textContent.matchAll(/[a-z]+/gi)].some((word) => {"
        "  range.setStart(text, word.index); range.setEnd(text, word.index + word[0].length);"
        "  return range.getClientRects().length > 1 }) }).map((cell) => cell.textContent)"
    )
    assert broken == [], "no word is broken"
    margin = dict.fromkeys(("top", "right", "bottom", "left"), "15mm")
    assert page.pdf(format=paper, margin=margin).startswith(b"%PDF")
    page.close()
