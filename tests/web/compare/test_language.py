"""The comparison page in another language: nothing of its own is said in English any more."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.web.chat.test_language import SHOWN, english, unsaid
from tests.web.pages import Served, expect
from tests.words.other_language import other_texts

pytestmark = pytest.mark.browser

CONFIG = """\
version: 1
backends:
  one: {kind: echo, label: Eins, citations: [{title: Der Mond, url: "https://moon.example/"}]}
  two: {kind: echo, label: Zwei}
storage: {sharing: true}
compare: {repeats: 2}
ui: {language: de}
"""


def test_the_comparison_page_speaks_german(warm: Any, serve: Callable[..., Served]) -> None:
    tab = warm.new_page()
    tab.goto(f"{serve(CONFIG).url}/compare")
    expect(tab.locator("h2")).to_have_text("Neuer Vergleich")
    tab.locator(".setup summary").first.click()
    shown = set(tab.evaluate(SHOWN))
    tab.click(".setup button[type=submit]")
    tab.fill("#composer textarea", "Was ist der Mond?")
    tab.press("#composer textarea", "Enter")
    expect(tab.locator(".figures")).to_have_count(4)
    expect(tab.locator(".figures").first).to_contain_text("erstes Token")
    expect(tab.locator(".vote")).to_contain_text("Unentschieden")
    tab.locator(".answer summary", has_text="Quellen (1)").first.click()
    source = tab.get_by_role("link", name="moon.example").first
    expect(source).to_be_visible()
    assert (source.get_attribute("target"), source.get_attribute("rel")) == (
        "_blank",
        "noopener noreferrer nofollow",
    )
    shown |= set(tab.evaluate(SHOWN))
    for name in ("Rangliste", "Bericht", "Teilen"):
        tab.get_by_role("button", name=name, exact=True).first.click()
        expect(tab.locator("#dialog")).to_be_visible()
        expect(tab.locator("#dialog h2")).not_to_be_empty()
        shown |= set(tab.evaluate(SHOWN))
        tab.get_by_role("button", name="Schließen").click()
    tab.locator(".vote").get_by_role("button", name="Eins").click()
    tab.locator(".vote button[aria-pressed=true]").wait_for()
    tab.get_by_role("button", name="Rangliste", exact=True).first.click()
    dialog = tab.locator("#dialog")
    expect(dialog).to_contain_text("Nur 1 Prompt wurde beurteilt: Unter 6 gibt es keine Intervalle.")
    expect(dialog).to_contain_text("Eins und Zwei sind nicht zu unterscheiden: 1 Prompt wurde beurteilt")
    tab.get_by_role("button", name="Schließen").click()
    spread = tab.locator(".spread", has_text="Streuung: erstes Token")
    expect(spread).to_contain_text("Eins: Median")
    expect(spread).to_contain_text("Es gibt nur 1 gemeinsamen Prompt und 2 Wiederholungen")
    tab.get_by_role("button", name="Beleg", exact=True).first.click()  # its fields are called as they are
    expect(tab.locator("#dialog h2")).to_have_text("Was an Eins gesendet wurde")
    assert shown & english() == set()
    assert {"Alle Spuren", "Diese Runde: Zeit bis zum ersten Token / insgesamt"} <= shown
    assert "Es gibt noch keine Stimmen." in shown


def test_no_word_of_the_comparison_page_is_anywhere_but_in_the_file_of_words(
    warm: Any, serve: Callable[..., Served], tmp_path: Path
) -> None:
    (tmp_path / "other.json").write_text(json.dumps(other_texts()), "utf-8")
    tab = warm.new_page()
    tab.goto(f"{serve(CONFIG.replace('de}', f'{tmp_path}/other.json}}')).url}/compare")
    tab.locator(".setup summary").first.click()
    shown = set(tab.evaluate(SHOWN))
    tab.click(".setup button[type=submit]")
    tab.fill("#composer textarea", "11")
    tab.press("#composer textarea", "Enter")
    expect(tab.locator(".figures")).to_have_count(4)
    expect(tab.locator(".vote")).to_be_visible()
    shown |= set(tab.evaluate(SHOWN))
    tab.locator(".vote button").first.click()
    tab.locator(".vote button[aria-pressed=true]").wait_for()
    shown |= set(tab.evaluate(SHOWN))
    given = "Eins", "Zwei", "Der Mond", "moon.example", "one", "two", "echo", "max tokens", "rate", "https"
    assert unsaid(shown, *given) == set()
