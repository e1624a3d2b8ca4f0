"""Text of the chat page is shown, copied and edited as it was written, from right to left too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.servers.front import Front
from tests.web.pages import ChatPage, chunks, expect, says

pytestmark = pytest.mark.browser
Open = Callable[..., ChatPage]

ECHO = "backends: {echo: {kind: echo, rate: 0}}\nstorage: {url: 'sqlite:p.db', files: files}\n"
PASTE = """text => {
  const data = new DataTransfer();
  data.setData("text/plain", text);
  const box = document.querySelector("#message textarea");
  box.focus();
  const event = new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true });
  if (box.dispatchEvent(event)) document.execCommand("insertText", false, text);
}"""
EVERYTHING = (Path(__file__).resolve().parents[2] / "data" / "everything.md").read_text("utf-8")
AS_SHOWN = """one => {
  const copy = one.cloneNode(true);
  for (const [attribute, of] of [["tabindex", "pre, table"], ["rel", "a"]])  // scripts of a page add these
    copy.querySelectorAll(of).forEach(one => one.removeAttribute(attribute));
  return copy.innerHTML;
}"""
DIRECTIONS = """all => all.map(one => {
  const style = getComputedStyle(one);
  return [style.direction, style.textAlign];
})"""


def served(upstream: Front) -> str:
    return f'backends: {{a: {{kind: openai, model: tiny, base_url: "{upstream.url}/v1", files: true}}}}\n'


def sent(upstream: Front) -> Any:
    return upstream.last.json["messages"][-1]["content"]


def test_words_in_angle_brackets_are_shown_copied_and_edited_as_they_were_written(open_page: Open) -> None:
    question = "Center a <div> in a <table>, then <br>, <script> and Vec<T>: `<b>`?"
    with Front() as upstream:
        upstream.on("POST", "/v1/chat/completions", says(chunks(["Use <fl", "ex> or <p>.\n\n```\n<i>\n```"])))
        page = open_page(served(upstream), permissions=["clipboard-read", "clipboard-write"])
        page.ask(question)

        assert page.said == [question]
        assert [line for line in page.answers[-1].split("\n") if "<" in line] == ["Use <flex> or <p>.", "<i>"]
        assert sent(upstream) == question

        page.page.locator("[data-testid=user]").hover()
        page.page.locator("button[aria-label='Copy message']").first.click()
        page.page.wait_for_function(
            "async text => (await navigator.clipboard.readText()) === text", arg=question
        )
        page.page.locator("button[aria-label=Edit]").first.click()
        box = page.page.locator("#conversation textarea")
        expect(box).to_have_value(question)
        box.fill(f"{question} And <em>?")
        page.page.locator("button[aria-label=Submit]").first.click()
        page.wait_text("And <em>?")
        page.wait_ended(1)
        assert sent(upstream) == f"{question} And <em>?"


def test_a_text_is_the_same_on_the_chat_page_as_in_a_lane(open_page: Open) -> None:
    page = open_page(
        f"{ECHO}compare: {{lanes: [echo, echo]}}\n", permissions=["clipboard-read", "clipboard-write"]
    )
    page.ask(EVERYTHING)
    tab = page.page
    answer = tab.eval_on_selector("#conversation [data-testid=bot] .text", AS_SHOWN)
    asked = tab.eval_on_selector("#conversation [data-testid=user] .text", AS_SHOWN)
    assert "<math" in answer and "<table" in answer and 'class="footnotes"' in answer
    tab.locator(".code-block .copy").first.click()
    tab.wait_for_function("async () => (await navigator.clipboard.readText()).startsWith('def f(x: int)')")
    style = "e => getComputedStyle(e).whiteSpaceCollapse + ' ' + getComputedStyle(e).textWrapMode"
    assert tab.eval_on_selector(".code-block .code", style) == "preserve nowrap"
    tab.locator(".code-block .wrap").first.click()
    assert tab.eval_on_selector(".code-block .code", style) == "preserve wrap"

    with tab.expect_request(
        lambda one: "queue/join" in one.url and "and now" in (one.post_data or "")
    ) as seen:
        page.ask("and now")
    assert "Everything &lt;div&gt;" in seen.value.post_data, "the text goes back to the server"
    assert "code-block" not in seen.value.post_data and "dir=" not in seen.value.post_data

    tab.goto(f"{page.served.url}/compare")
    tab.get_by_role("button", name="Start").click()
    tab.fill("#composer textarea", EVERYTHING)
    tab.press("#composer textarea", "Enter")
    tab.wait_for_selector(".answer.finished .text")
    assert tab.eval_on_selector(".answer.finished .text", AS_SHOWN) == answer
    assert tab.eval_on_selector(".question .text", AS_SHOWN) == asked
    assert tab.eval_on_selector(".code-block .code", style) == "preserve wrap", (
        "the choice is one for all pages"
    )


def test_text_reads_from_the_side_that_its_own_letters_begin_at(open_page: Open) -> None:
    page = open_page(ECHO)
    page.ask("مرحبا بالعالم، نص مع English\n\n- عنصر\n\nleft to right")

    assert page.page.get_attribute("#message textarea", "dir") == "auto"
    for blocks in (".typed > :not(:has(br))", "[data-testid=bot] .text > *"):
        blocks = page.page.locator(f"#conversation {blocks}")
        expect(blocks.first).to_have_attribute("dir", "auto")
        found = blocks.evaluate_all(DIRECTIONS)
        assert found[:3] == [["rtl", "start"], ["rtl", "start"], ["ltr", "start"]]


@pytest.mark.parametrize("size", [150_000, 400_000])
def test_a_long_text_that_is_pasted_is_the_message(open_page: Open, size: int) -> None:
    with Front() as upstream:
        upstream.on("POST", "/v1/chat/completions", says(chunks(["ok"])))
        page = open_page(served(upstream))
        text = ("long " * size)[:size]
        page.page.fill("#message textarea", "What is this? ")
        page.page.press("#message textarea", "End")
        page.page.evaluate(PASTE, text)

        assert len(page.page.input_value("#message textarea")) == size + 14
        page.page.press("#message textarea", "Enter")
        page.wait_ended(1)
        assert sent(upstream) == f"What is this? {text}"


@pytest.mark.parametrize("composing", [{"isComposing": True}, {"isComposing": False, "keyCode": 229}])
def test_enter_that_ends_a_composition_does_not_save_a_title(open_page: Open, composing: Any) -> None:
    page = open_page(ECHO)
    page.ask("first")
    row = page.page.locator("#conversations .chatlab-row")
    row.locator("summary").click()
    row.get_by_role("button", name="Rename").click()
    title = page.page.locator(".chatlab-rename")
    title.fill("日本")
    for key in ("Enter", "Escape"):
        title.dispatch_event("keydown", {"key": key, "bubbles": True, "cancelable": True, **composing})
        expect(title).to_have_value("日本")
    title.press("Enter")
    expect(row.locator(".chatlab-title")).to_have_text("日本")
