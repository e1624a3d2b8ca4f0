"""Text: what is no character is joined or replaced, wherever it came from, and nothing else is changed."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.codec import event_from_json, message_from_json, message_to_json
from chatlab.compare.batch.prompts import load_items
from chatlab.formats import to_gradio, to_langchain, to_openai, to_responses
from chatlab.messages import (
    Accumulator,
    Citation,
    FilePart,
    Finish,
    Message,
    Notice,
    ReasoningPart,
    TextDelta,
    TextPart,
    ToolCall,
    ToolResult,
)
from chatlab.text import Pieces, encodable, well_formed

SMILE = "\U0001f600"
FIRST, SECOND = "\ud83d", "\ude00"
anything = st.text(st.characters(codec=None))


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (f"a{FIRST}{SECOND}b", f"a{SMILE}b"),
        (FIRST, "\ufffd"),
        (SECOND, "\ufffd"),
        (f"{SECOND}{FIRST}", "\ufffd\ufffd"),
        (f"{FIRST}{FIRST}{SECOND}", f"\ufffd{SMILE}"),
        ("a\0b", "a\ufffdb"),
        ("a\ufffe\uffffb", "a\ufffd\ufffdb"),
        ("\x07\x08\x7f", "\x07\x08\x7f"),
        (" \t\n\r\v\f\x1c\x85\u2028\u00a0\u200d\ufeff", " \t\n\r\v\f\x1c\x85\u2028\u00a0\u200d\ufeff"),
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        (f"{SMILE}\ufffd", f"{SMILE}\ufffd"),
    ],
)
@pytest.mark.parametrize("around", ["", "long " * 500, "länger " * 500])
def test_what_is_no_character_becomes_one_and_white_space_stays(
    given_: str, expected: str, around: str
) -> None:
    assert well_formed(around + given_) == around + expected


@given(anything)
def test_well_formed_text_is_utf8_and_stays_as_it_is(text: str) -> None:
    formed = well_formed(text)
    formed.encode()
    assert well_formed(formed) == formed
    assert "\0" not in formed


@given(anything, st.lists(st.integers(0, 20)))
def test_pieces_give_what_the_whole_gives_wherever_it_was_cut(text: str, cuts: list[int]) -> None:
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = Pieces()
    made = [pieces.add(text[start:end]) for start, end in itertools.pairwise(places)]
    for piece in made:
        piece.encode()
    assert "".join(made) + pieces.end() == well_formed(text)


def test_every_part_and_event_that_holds_text_is_well_formed() -> None:
    values: tuple[Any, ...] = (
        TextPart(FIRST),
        ReasoningPart(FIRST),
        ToolCall(FIRST, FIRST, FIRST),
        ToolResult(FIRST, FIRST, FIRST),
        FilePart("text/plain", FIRST, data=b""),
        Citation(FIRST, FIRST, FIRST),
        Notice("other", FIRST),
        Finish("stop", model=FIRST),
    )
    for value in values:
        assert FIRST not in repr(value) and "\ud83d" not in repr(value)
        assert "\ufffd" in repr(value)


def test_an_answer_joins_halves_that_two_deltas_brought() -> None:
    answer = Accumulator()
    for text in ("hi ", FIRST, SECOND, " ok"):
        answer.add(TextDelta(text))
    assert answer.message.text == f"hi {SMILE} ok"


def test_an_answer_that_is_looked_at_again_is_not_checked_again() -> None:
    answer = Accumulator()
    for text in ("one ", "two"):
        answer.add(TextDelta(text))
        assert answer.parts is answer.parts
    assert answer.message.text == "one two"


def test_what_is_imported_is_well_formed() -> None:
    read = message_from_json(
        json.loads(r'{"role": "user", "parts": [{"type": "text", "text": "a\ud83d\u0000"}]}')
    )
    assert read.text == "a\ufffd\ufffd"
    assert json.dumps(message_to_json(read), ensure_ascii=False).encode()
    event = event_from_json({"type": "citation", "title": FIRST})
    assert event == Citation("\ufffd")


def test_tool_arguments_that_escape_half_a_character_reach_every_format_whole() -> None:
    messages = [
        Message.of("user", "a"),
        Message("assistant", (ToolCall("1", "look", r'{"q": "\ud83d"}'), ToolResult("1", "no"))),
    ]
    for translated in (
        to_openai(messages),
        to_responses(messages),
        to_gradio(messages),
        [message.model_dump() for message in to_langchain(messages)],
    ):
        json.dumps(translated, ensure_ascii=False).encode()


def test_json_values_are_well_formed_to_their_keys() -> None:
    assert encodable({FIRST: [FIRST, 1, None, {"a": (SECOND,)}]}) == {
        "\ufffd": ["\ufffd", 1, None, {"a": ["\ufffd"]}]
    }


def test_a_file_of_prompts_gives_whole_characters_in_every_field(tmp_path: Path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text(r'{"prompt": "a\ud83d", "expected": "\ud83d\ude00", "tags": ["\ude00"]}')
    (item,) = load_items(file)
    assert [message.text for message in item.messages] == ["a\ufffd"]
    assert (item.expected, item.tags) == (SMILE, ("\ufffd",))
