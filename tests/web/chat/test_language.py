"""The page in another language: nothing of chatlab's own is said in English any more."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chatlab.paths import PACKAGE
from tests.web.pages import ChatPage, expect
from tests.words.other_language import left_in_english, other_texts

pytestmark = pytest.mark.browser

Open = Callable[..., ChatPage]
CONFIG = """\
version: 1
backends:
  echo:
    kind: echo
    label: Echo
    reasoning: hm
    tools: [{name: look_up, arguments: {q: moon}, result: a rock}]
    citations: [{title: The moon, url: "https://moon.example/"}]
  locked: {kind: openai, model: gpt-5-mini, label: GPT-5 mini}
storage: {sharing: true}
ui: {language: LANGUAGE, presets: {Careful: {parameters: {}}}, flagging: manual}
"""
# Of what is painted: names are given to what Gradio draws right before.
SHOWN = """async () => {
  await new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(painted)));
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (texts.nextNode()) if (!texts.currentNode.parentElement.closest("script, style")) {
    found.push(texts.currentNode.textContent.trim());
  }
  for (const one of document.body.querySelectorAll("[aria-label], [title], [placeholder]")) {
    found.push(...["aria-label", "title", "placeholder"].map((name) => one.getAttribute(name)));
  }
  return found.filter(Boolean);
}"""


def texts(language: str) -> Any:
    return json.loads((PACKAGE / "words" / f"{language}.json").read_text("utf-8"))


def english() -> set[str]:
    """What is said in English alone."""
    german = set(texts("de").values())
    return {text for text in texts("en").values() if "{" not in text and len(text) > 2} - german


def test_the_page_speaks_german(open_page: Open) -> None:
    page = open_page(CONFIG.replace("LANGUAGE", "de"), locale="fr-FR")  # whatever the browser speaks
    tab = page.page
    shown = set(tab.evaluate(SHOWN))
    tab.fill("#message textarea", "Was ist der Mond?")
    tab.press("#message textarea", "Enter")
    expect(tab.locator(".chatlab-again")).to_have_count(2)
    title = tab.locator("#conversation .title", has_text="insgesamt")
    title.click()
    expect(tab.locator("#conversation td", has_text="Anteil von chatlab")).to_be_visible()
    expect(tab.locator("#conversation .chatlab-takes-back")).to_have_count(2)  # in a part, they are hidden
    tab.fill("#message textarea", "Und die Sonne?")
    tab.press("#message textarea", "Enter")
    expect(title).to_have_count(2)
    title.last.click()  # with what is stored in English
    left_out = "Die Werkzeugaufrufe einer früheren Antwort wurden nicht noch einmal gesendet"
    expect(tab.locator("#conversation td", has_text=left_out)).to_be_visible()
    shown |= set(tab.evaluate(SHOWN))
    tab.click(".chatlab-backend")
    tab.keyboard.type("xyz")
    shown |= set(tab.evaluate(SHOWN))
    tab.keyboard.press("Escape")  # empties the box
    tab.keyboard.press("Escape")
    tab.locator(".chatlab-row summary").click()
    shown |= set(tab.evaluate(SHOWN))
    tab.locator(".chatlab-row button", has_text="Löschen").click()
    expect(tab.locator(".chatlab-told")).to_have_text("„Was ist der Mond?“ gelöscht. Rückgängig")
    page.settings()
    tab.locator("#settings").focus()
    tab.keyboard.press("?")
    expect(tab.locator(".chatlab-shortcuts")).to_contain_text("Tastenkürzel")
    shown |= set(tab.evaluate(SHOWN))
    assert shown & english() == set()
    assert {"Neuer Chat", "Optionen", "Nachricht", "Gefällt mir", "Werkzeug: look_up"} <= shown
    assert {"fertig", "Wörter, nach denen die Antwort abbricht."} <= shown
    assert tab.evaluate("document.documentElement.lang") == "de"


def test_a_file_of_words_is_used(open_page: Open, tmp_path: Path) -> None:
    (tmp_path / "fr.json").write_text('{"language": "fr", "sidebar.new": "Nouveau"}', "utf-8")
    page = open_page(CONFIG.replace("LANGUAGE", "fr.json"))
    expect(page.page.locator(".chatlab-new")).to_have_text("Nouveau")
    assert page.page.get_attribute("#message textarea", "placeholder") == "Message"
    assert page.page.evaluate("document.documentElement.lang") == "fr"


def unsaid(shown: set[str], *given: str) -> set[str]:
    """Return what of a page can be read though its own words have other letters. given: to it."""
    told = re.sub(r"[0-9a-f]{64}", " ", " ".join(shown))
    names = {"ms", "HTML", "JSON", "JSONL", "Markdown", "chatlab"}
    return left_in_english(told, but=given) - names


def test_no_word_of_the_chat_page_is_anywhere_but_in_the_file_of_words(
    open_page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    (tmp_path / "other.json").write_text(json.dumps(other_texts()), "utf-8")
    page = open_page(CONFIG.replace("LANGUAGE", "other.json").replace("Careful", "77"))
    tab = page.page
    page.choose("GPT-5 mini")
    tab.fill("#message textarea", "11")
    tab.press("#message textarea", "Enter")
    expect(tab.locator("#conversation")).to_contain_text("OPENAI_API_KEY")
    shown = set(tab.evaluate(SHOWN))
    page.choose("Echo")
    tab.fill("#message textarea", "22")
    tab.press("#message textarea", "Enter")
    expect(tab.locator(".chatlab-again")).to_have_count(2)
    expect(tab.locator("#conversation [data-testid=bot] p", has_text="22")).to_be_visible()
    shown |= set(tab.evaluate(SHOWN))
    tab.click(".chatlab-backend")
    shown |= set(tab.evaluate(SHOWN))
    assert (
        unsaid(shown, "Echo", "echo", "GPT-5 mini", "openai", "look_up", "locked", "OPENAI_API_KEY") == set()
    )
