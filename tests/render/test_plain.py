"""Text without markup is shown as if it had been read as Markdown."""

from __future__ import annotations

import random

import pytest

from chatlab.render.formulas import DELIMITERS, Delimiters
from chatlab.render.markdown import render
from chatlab.render.plain import plain_paragraphs

_HIDDEN_END = "\n\n\u200b"  # no plain text has it, so what is before it is read as Markdown


def read_as_markdown(text: str) -> str:
    return render(text + _HIDDEN_END).removesuffix('<p dir="auto">\u200b</p>\n')


@pytest.mark.parametrize(
    "text",
    [
        "Paris",
        "42",
        "1789 it was, 3.5 years later",
        'One line,\nanother (with a sign): it\'s 5 - 3 = 2!  \nA "third".\n\n\n\nA paragraph | {x} # 1.\n',
        "\n\n(Ärger) 中文 ² 😀 #1 @somebody",
    ],
)
def test_plain_text_is_what_markdown_makes_of_it(text: str) -> None:
    assert plain_paragraphs(text, DELIMITERS) == read_as_markdown(text) == render(text)


def test_any_text_of_letters_and_signs_is_what_markdown_makes_of_it() -> None:
    drawn = random.Random(0)
    pieces = [*"ab中 \n\n345.)(-+=:;,!?|#^@/\"'%{}]", "http", "1. ", " \n", "\n\n", "\u0301", "²", "a@b.org"]
    plain = 0
    for _ in range(2000):
        text = "".join(drawn.choices(pieces, k=drawn.randint(1, 12)))
        if plain_paragraphs(text, DELIMITERS) is not None:
            plain += 1
            assert render(text) == read_as_markdown(text), repr(text)
    assert plain > 300


@pytest.mark.parametrize(
    "text",
    [
        *("*a*", "a_b_", "`a`", "a\n===", "a\n---", "# a", "- a", "1. a", "2) a", "> a", "    a"),
        *("<b>a</b>", "[a](b)", "https://a.org", "a\\\nb", "~~a~~", "$a$", "| a |\n|---|"),
        *("a &amp; b", "a\u00a0b", "a\tb"),
    ],
)
def test_what_may_be_markup_is_read(text: str) -> None:
    assert plain_paragraphs(text, DELIMITERS) is None


def test_the_signs_of_formulas_are_those_of_the_configuration() -> None:
    assert plain_paragraphs("a ((b))", [Delimiters("((", "))", False)]) is None
