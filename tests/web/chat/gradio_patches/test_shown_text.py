"""What the chat page shows of a text is what every other surface shows, and comes back as the text."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gradio.utils import diff
from hypothesis import given, settings
from hypothesis import strategies as st

from chatlab.messages import Message, TextPart
from chatlab.render.markdown import MarkdownRenderer, as_typed, render
from chatlab.store import StoredTurn, now
from chatlab.store.files import Files
from chatlab.transfer.html import exchange
from chatlab.web.chat.gradio_patches.shown_text import (
    GrowingAnswer,
    from_page,
    to_page,
)
from tests.render.test_markdown import XSS

EVERYTHING = (Path(__file__).resolve().parents[3] / "data" / "everything.md").read_text("utf-8")
SNIPPETS = [
    EVERYTHING,
    *EVERYTHING.split("\n\n"),
    *XSS[:12],
    "a\n\nb",
    "```\n\n\n\n```",
    "    \n\n\tx",
    '<div class="text">x</div><span hidden content="y"></span>\n\nz',
    "&lt; &#x3c; &#10; %%%LATEX_BLOCK_1%%%",
    "- a\n\n  b\n\n      c",
    "\ud83d half",
    " leading and trailing \n",
]
LOOK = MarkdownRenderer()


@pytest.mark.parametrize("text", SNIPPETS)
async def test_a_text_is_the_same_html_on_every_surface(text: str, tmp_path: Path) -> None:
    made = render(text)
    shown = to_page(text, "assistant", LOOK)
    assert shown.startswith('<div class="text">') and "\n" not in shown.removesuffix("\n\n")
    inside = shown.removeprefix('<div class="text">').rpartition("</div><span hidden content=")[0]
    assert inside.replace("&#10;", "\n").replace("%%&#37;", "%%%") == made
    assert from_page(shown) == text

    turn = StoredTurn(
        "t", "o", "c", None, now(), Message.of("user", text), "b", "echo", "B", status="finished"
    )
    turn = replace(turn, answer=(TextPart(text),))
    exported = await exchange(Files("files", tmp_path), turn.user, [("B", turn)], settings=False)
    assert made in exported and as_typed(text) in exported


@settings(max_examples=200, deadline=None)
@given(st.text(), st.sampled_from(["user", "assistant"]))
def test_whatever_the_text_is_it_comes_back(text: str, role: str) -> None:
    assert from_page(to_page(text, role, LOOK)) == text


def sent(text: str) -> tuple[int, str]:
    """How many characters the edits of an answer that grows come to, and what the page shows at last."""
    growing, shown, length = GrowingAnswer(LOOK), [], 0
    for end in range(1, len(text) + 4, 4):
        before = shown
        shown = growing.shown([{"role": "assistant", "content": [{"type": "text", "text": text[:end]}]}])
        length += sum(len(json.dumps(edit)) - 50 for edit in diff(before, shown)) if before else 0
    return length, "".join(part["text"] for part in shown[0]["content"])


def test_edits_of_a_growing_answer_are_about_as_long_as_what_they_add_however_long_it_is() -> None:
    paragraph = "Some *words*, and then more of them: see `this` or that. " * 5 + "\n\n"
    short, shown = sent(paragraph * 10)
    long, _ = sent(paragraph * 40)
    assert long < 4.4 * short and long < 15 * len(paragraph * 40)
    assert from_page(shown).startswith(paragraph * 9)
    _, shown = sent(EVERYTHING)
    assert from_page(shown).startswith(EVERYTHING.partition("[^n]:")[0])


async def test_of_a_long_answer_the_html_is_made_beside_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[str] = []
    plainly = GrowingAnswer.shown

    def shown(growing: GrowingAnswer, *args: Any, **kwargs: Any) -> Any:
        threads.append(threading.current_thread().name)
        return plainly(growing, *args, **kwargs)

    monkeypatch.setattr(GrowingAnswer, "shown", shown)
    for size, name in ((100, "MainThread"), (200_000, "rendering_0")):
        answer = [{"role": "assistant", "content": [{"type": "text", "text": "x" * size}]}]
        made = await GrowingAnswer(LOOK).shown_soon(answer, ended=True)
        assert from_page(made[0]["content"][0]["text"]) == "x" * size and threads.pop() == name


def test_a_thought_that_grows_is_shown_as_it_comes_and_as_markdown_once_it_has_ended() -> None:
    growing = GrowingAnswer(LOOK)
    thought = {"role": "assistant", "metadata": {"title": "Thinking", "id": "turn:t:k0", "status": "pending"}}
    content = [{"type": "text", "text": "So *this* <b>\n\nand"}]
    (message,) = growing.shown([{**thought, "content": content}])
    assert message["content"][0]["text"] == (
        '<div class="text"><div class="typed">So *this* &lt;b&gt;&#10;&#10;and'
    )
    ended = {**thought, "metadata": {**thought["metadata"], "status": "done"}, "content": content}
    (message,) = growing.shown([ended])
    assert message["content"][0]["text"] == to_page("So *this* <b>\n\nand", "assistant", LOOK)
