"""What is stored comes back to the letter, whatever models and people write."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatlab.messages import (
    Citation,
    FilePart,
    Finish,
    Message,
    Notice,
    ReasoningPart,
    TextPart,
    Timing,
    ToolCall,
    ToolResult,
    Trace,
    Usage,
)
from chatlab.store import Store, StoredTurn, new_id
from chatlab.store._exact import from_text, to_text
from tests.store.values import turn_in

exactly = settings(
    deadline=None,
    database=None,
    derandomize=True,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

texts = st.text(st.characters(exclude_categories=()), max_size=30) | st.sampled_from(
    ["\0", "\ud83d", "\ud83d\ude00", "\x1ad83d", "\x1a", "$pairs", "\\u0000", '"', "😀", "\r\n\t  "]
)
numbers = st.none() | st.integers(0, 10**15)
seconds = st.none() | st.floats(allow_nan=False, min_value=0)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(texts | st.integers() | st.just("$pairs"), inner, max_size=3)
    ),
    max_leaves=6,
)
settings_of_a_model = st.dictionaries(texts, values, max_size=3)
files = st.builds(
    lambda kind, name, digest: FilePart(kind, name, url=f"sha256:{digest.hex()}"),
    st.sampled_from(["image/png", "text/plain; charset=utf-8"]),
    st.none() | texts,
    st.binary(min_size=32, max_size=32),
)
parts = (
    texts.map(TextPart)
    | texts.map(ReasoningPart)
    | st.builds(ToolCall, texts, texts, texts)
    | st.builds(ToolResult, texts, texts, st.none() | texts, st.booleans())
    | files
)
some_parts = st.lists(parts, max_size=4).map(tuple)
turns: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "user": st.builds(Message, st.just("user"), some_parts),
        "backend": texts,
        "kind": texts,
        "label": texts,
        "created": st.datetimes(
            datetime(1990, 1, 1),
            datetime(2100, 1, 1),
            timezones=st.sampled_from([timezone.utc, timezone(timedelta(hours=-11))]),  # noqa: UP017
        ),
        "parameters": settings_of_a_model,
        "system": st.none() | texts,
        "sent": st.none() | settings_of_a_model,
        "status": st.sampled_from(["running", "finished", "stopped", "failed", "interrupted"]),
        "answer": some_parts,
        "notices": st.lists(
            st.builds(Notice, st.sampled_from(["file_dropped", "other"]), texts), max_size=2
        ).map(tuple),
        "citations": st.lists(
            st.builds(Citation, texts, st.none() | texts, st.none() | texts), max_size=2
        ).map(tuple),
        "traces": st.lists(st.builds(Trace, texts, st.none() | texts), max_size=2).map(tuple),
        "finish": st.none()
        | st.builds(
            Finish,
            st.sampled_from(["stop", "length", "tool_calls", "content_filter"]),
            st.builds(Usage, numbers, numbers, numbers, numbers),
            st.none() | texts,
        ),
        "timing": st.builds(Timing, *[seconds] * 9, st.integers(1, 20), seconds),
        "tool_seconds": st.dictionaries(texts, st.floats(allow_nan=False), max_size=2),
        "cost": st.none() | st.floats(allow_nan=False),
        "error": st.none() | texts,
        "asked_by": st.none() | texts,
        "asked_as": st.none() | texts,
        "copied_from": st.none() | texts,
    }
)


def everything(value: Any) -> str:
    """A value with its types: 1, 1.0 and True are equal, but not the same."""
    return repr(value)


@exactly
@given(st.lists(turns, min_size=1, max_size=4))
async def test_a_turn_comes_back_as_it_was(store: Store, fields: list[dict[str, Any]]) -> None:
    chat = await store.create("owner")
    saved = [turn_in(chat, **each) for each in fields]
    await store.save(saved)
    back = {turn.id: turn for turn in await store.turns("owner", chat.id)}
    for turn in saved:
        assert back[turn.id] == turn
        assert everything(_without_zone(back[turn.id])) == everything(_without_zone(turn))
        await store.save([turn])  # known by now
        assert await store.turn("owner", turn.id) == turn


def _without_zone(turn: StoredTurn) -> StoredTurn:
    from dataclasses import replace

    return replace(turn, created=turn.created.astimezone(timezone.utc).replace(fold=0))  # noqa: UP017


@exactly
@given(values)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    text = to_text(value)
    text.encode("utf-8")
    assert "\0" not in text
    assert everything(from_text(text)) == everything(value)


def test_numbers_that_json_has_no_word_for_come_back_too() -> None:
    back = from_text(to_text([math.nan, math.inf, -math.inf, 0.1 + 0.2, -0.0]))
    assert everything(back) == everything([math.nan, math.inf, -math.inf, 0.1 + 0.2, -0.0])


@pytest.mark.parametrize("value", [{"a": [1, {"b": "ü😀"}]}, "x", [1.5, None, True]])
def test_ordinary_values_are_stored_as_plain_json(value: Any) -> None:
    assert json.loads(to_text(value)) == value


async def test_the_smallest_half_of_an_emoji_is_a_title_too(store: Store) -> None:
    chat = await store.create("owner")
    await store.save([turn_in(chat, "\ud83d \0 cats", id=new_id())])
    assert (await store.get("owner", chat.id)).title.endswith("cats")
