"""Markdown that grows: what is shown of it on the way, that it ends as the whole, and what it costs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import nh3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatlab.render import incremental_markdown
from chatlab.render.code import code_block
from chatlab.render.incremental_markdown import IncrementalMarkdown
from chatlab.render.markdown import MarkdownRenderer, render
from chatlab.words import ENGLISH

PARAGRAPHS = (
    "# A title\n\nSome *words* and **more of them**, said at length?\nA [link](https://a.example) too.\n\n"
    "```python\ndef f(x):\n\n    return '<b>'\n```\nAfter it.\n\n"
    "| a | b |\n| - | - |\n| 1 | `2` |\n\n> quoted\n> more\n\nThe end, $x^2$ at https://b.example/c.\n"
)


def shown(text: str, step: int) -> Iterator[tuple[str, str]]:
    """What stands on a page after each piece, and what of the text that is."""
    growing, settled = IncrementalMarkdown(), ""
    for end in [*range(step, len(text), step), len(text)]:
        update = growing.update(text[:end])
        assert update is not None
        settled += update[0]
        yield settled + closed(update[1]), text[:end]


def closed(html: str) -> str:
    """HTML as a browser closes it."""
    tags = {"math", "mi", "mrow", "msup", "mn", "button", "div", "sup"} | nh3.ALLOWED_TAGS
    return nh3.clean(html, tags=tags, attributes={"*": {"class", "href", "title", "dir"}}, link_rel=None)


def same(html: str) -> str:
    return re.sub(r"\s+", "", re.sub("</?span[^>]*>", "", closed(html)))


@pytest.mark.parametrize("step", [1, 2, 7, 40])
def test_on_the_way_a_text_looks_as_far_as_it_has_come_as_it_does_when_it_is_whole(step: int) -> None:
    for html, text in shown(PARAGRAPHS, step):
        if text.count("```") % 2:
            before, _, code = text.rpartition("```")
            text = before if "\n" not in code else text.rstrip("`").rstrip("\n") + "\n```"
        assert same(html) == same(render(text)), text


PIECES = st.sampled_from(
    ["word ", "an", "other, ", *"*`_[)#1.:=-(@&;$|", "**", "](", "\n", "\n\n", "> ", "https://a.b"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=14))
def test_a_word_that_is_put_behind_a_block_is_where_it_would_be_rendered(pieces: list[str]) -> None:
    text = re.sub("`{3,}", "``", "".join(pieces).split("\n\n")[0])
    growing = IncrementalMarkdown()
    for end in range(1, len(text) + 1):
        update = growing.update(text[:end])
        assert update is not None
        assert same(update[1]) == same(render(text[:end]))


def test_an_update_renders_the_unfinished_block_alone_and_words_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rendered: list[int] = []
    real = MarkdownRenderer.render

    def noted(self: MarkdownRenderer, text: str) -> Any:
        rendered.append(len(text))
        return real(self, text)

    monkeypatch.setattr(MarkdownRenderer, "render", noted)
    costs = []
    for blocks in (10, 100):
        rendered.clear()
        growing, text = IncrementalMarkdown(), ""
        for word in ("word " * 30 + "\n\n") * blocks:
            text += word
            growing.update(text)
        costs.append(sum(rendered) / len(text))
    assert costs[1] < 1.2 * costs[0] < 6
    rendered.clear()
    growing, text = IncrementalMarkdown(), "```python\n"
    for line in ["x = '<b>'  # a line of code\n"] * 600:
        text += line
        growing.update(text)
    assert sum(rendered) < 8 * len(text)


def test_of_a_list_that_is_longer_than_one_update_renders_the_end_is_shown_as_text() -> None:
    *_, (html, _) = shown("- an item\n" * 2_000, 500)
    assert "<pre" not in html
    assert html.count("an item") == 2_000


def test_code_that_is_not_closed_is_shown_as_code_however_long_it_is() -> None:
    text = "```python\n" + "x = '<b>'\n" * 1_000
    *_, (html, _) = shown(text, 500)
    whole = code_block("x = '<b>'\n" * 1_000, "python", ENGLISH)
    assert same(html) == same(whole)


CODE = st.sampled_from(["x = 1\n", "``x", "<b>", "\n", "word ", " ", "~~~\n", "    ```\n", "``` x\n", "`\n"])


@settings(max_examples=200, deadline=None)
@given(st.lists(CODE, max_size=30), st.sampled_from(["```", "  ```", "```  ", "`````"]), st.integers(1, 30))
def test_long_code_ends_as_it_is_rendered_whole(pieces: list[str], end: str, step: int) -> None:
    text = f"```\n{''.join(pieces)}\n{end}\nAfter it.\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(incremental_markdown, "_LONGEST_STEP", 20)
        *_, (html, _) = shown(text, step)
    assert same(html) == same(render(text))


def test_the_price_of_a_piece_of_code_does_not_grow_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    monkeypatch.setattr(incremental_markdown.html, "escape", lambda part, **_: read.append(len(part)) or part)
    monkeypatch.setattr(MarkdownRenderer, "render", lambda _, part: read.append(len(part)) or part)
    costs = []
    for pieces in (1_000, 4_000):
        read.clear()
        growing, text = IncrementalMarkdown(), "```python\n"
        for piece in ("x = ", "'<b>'\n") * pieces:
            text += piece
            growing.update(text)
        costs.append(sum(read) / len(text))
    assert costs[1] < costs[0]


LONG_CODE = "```\n" + "a line of code\n" * 10_000 + "```\n"


@pytest.mark.parametrize(
    "text",
    [
        LONG_CODE + "After it.\n",
        LONG_CODE * 2,
        "- a\n" * 30_000,
        "a\n" * 60_000,
        "word " * 20_000,
        "One paragraph.\n\n" * 5_000,
    ],
)
def test_no_update_renders_more_than_the_loop_can_wait_for_and_all_of_the_text_is_there(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[int] = []
    lines: list[int] = []
    render_markdown = MarkdownRenderer.render

    def noted(look: MarkdownRenderer, part: str) -> str:
        rendered.append(len(part))
        lines.append(part.count("\n"))
        return render_markdown(look, part)

    monkeypatch.setattr(MarkdownRenderer, "render", noted)
    growing, settled = IncrementalMarkdown(), ""
    for end in (9_000, *range(30_000, len(text), 30_000), len(text)):
        before = len(rendered)
        update = growing.update(text[:end])
        assert update is not None
        settled += update[0]
        assert sum(rendered[before:]) <= 20_000 and sum(lines[before:]) <= 2_000
        words = re.sub(r"<[^>]*>", "", settled + update[1])
        assert re.findall(r"\w+", words) == re.findall(r"\w+", text[:end])
