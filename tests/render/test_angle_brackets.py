"""Words in angle brackets are text on the chat page, outside of code, formulas and addresses."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.render.angle_brackets import REFERENCE, tags_as_text, tags_as_written

AS_TEXT = [
    "center a «div> inside a «table>, with «br> and «input> and «script>",
    "Vec«T> and Map«String, List«T>>",
    "«think>no«/think> «!-- gone? --> «?xml version='1.0'?> «!DOCTYPE html>",
    "# «h1> as a heading\n\n- «li> in a list\n\n| «td> | in a table |",
    "1. one\n\n   «p> goes on\n\n    «q> too",
    "- a\n  - b «x>\n\n      goes on «y>",
    "«div>\nat the beginning of a line",
    "an unclosed ` tick and «b>",
    "```\nended\n```\n«p>",
    "> ```\n> quoted\n> ```\n> «b>",
]
AS_IT_IS = [
    "`<div>` and ``a ` <b>``",
    "```html\n<div>\n```",
    "~~~~\n```\n<a>\n~~~~",
    "- in a list\n\n  ```\n  <div>\n  ```",
    "> ```\n> <a>",
    "    <code>, indented",
    "1. in a list\n\n       <code>, indented",
    "$$x<y$$ and \\(a<b\\) and \\[\nc<d\n\\]",
    "<https://example.org/a> and <me@example.org> and [a](<b c>)",
    "a < b, 2 <3, <- and <=",
    "\\<div>",
]


@pytest.mark.parametrize("marked", AS_TEXT)
def test_what_looks_like_a_tag_is_shown_as_text(marked: str) -> None:
    assert tags_as_text(marked.replace("«", "<")) == marked.replace("«", REFERENCE)


@pytest.mark.parametrize("text", AS_IT_IS)
def test_code_formulas_and_addresses_are_left_alone(text: str) -> None:
    assert tags_as_text(text) == text


@given(st.text(alphabet="<>a/`~$\\[]()-1.| \n\t&;@:", max_size=200))
def test_the_text_can_be_had_again_as_it_was(text: str) -> None:
    assert tags_as_written(tags_as_text(text)) == text


def test_a_growing_text_is_converted_as_the_whole_is() -> None:
    text = "Say <b> and `<i>`.\n\n```\n<pre>\n\n<pre>\n```\n\n" * 500
    grown = ""
    for at in range(0, len(text), 997):
        grown = tags_as_text(text[: at + 997])

    assert grown == text.replace("<b>", f"{REFERENCE}b>")


@pytest.mark.parametrize(
    "piece", ["\\(", "\\[", "$$", "`", "<a:", "<a@", "](<", "<", "` <a> ``", "~~~\n<a>\n"]
)
def test_no_text_takes_long(piece: str) -> None:
    text = f"<a> {piece * 20_000}"[:100_000]
    begun = time.thread_time()
    tags_as_text(text)

    assert time.thread_time() - begun < 5
