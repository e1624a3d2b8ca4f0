"""What a person is asked about a call, and the call that a question is about."""

from __future__ import annotations

import pytest

from chatlab.formats.approval import calls_in, question_of

CALLS = [
    {"name": "search", "args": {"query": 'a "quoted" text, {braces}?\nand a line'}},
    {"name": "order", "args": {"number": 3, "to": ["Zoë", None]}},
]


def test_a_question_says_again_which_calls_it_is_about() -> None:
    asked = [question_of(call) for call in CALLS]
    assert calls_in("\n".join(asked)) == CALLS
    assert calls_in(f"{asked[0]}\n\n") == CALLS[:1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "May I help you?",
        f"Well. {question_of(CALLS[0])}",
        f"{question_of(CALLS[0])}\nOr not?",
        "May search run with {no json}? Say approve, or what is wrong with it.",
        "May search run with [1]? Say approve, or what is wrong with it.",
    ],
)
def test_any_other_text_is_about_none(text: str) -> None:
    assert calls_in(text) == []
