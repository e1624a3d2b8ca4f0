"""Hypothesis strategies for conversations, as each format can carry them."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st

from chatlab.messages import (
    FilePart,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolResult,
)

# The machine that runs this may be busy, and the same commit gives the same result. To look further, set more
# examples and derandomize=False; a failing example belongs into a test of its own.
relaxed = settings(deadline=None, database=None, max_examples=60, derandomize=True)

texts = st.text(min_size=1, max_size=40)
names = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
text_parts = texts.map(TextPart)
thoughts = texts.map(ReasoningPart)
ids = st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True)
json_objects = st.dictionaries(texts, st.none() | st.booleans() | st.integers() | texts, max_size=3)
arguments = json_objects.map(lambda value: json.dumps(value, ensure_ascii=False))

_blobs = st.binary(max_size=40)
_urls = names.map(lambda name: f"https://files.example/{name}")
image_files = st.builds(FilePart, st.sampled_from(["image/png", "image/jpeg"]), data=_blobs) | _urls.map(
    lambda url: FilePart("image/png", url=f"{url}.png")
)
audio_files = st.builds(FilePart, st.sampled_from(["audio/wav", "audio/mpeg"]), data=_blobs)
documents = st.builds(FilePart, st.sampled_from(["application/pdf", "text/plain"]), names, data=_blobs)


def users(files: st.SearchStrategy[FilePart]) -> st.SearchStrategy[Message]:
    """User messages: nothing, one text, or texts and at least one file in any order."""
    mixed = st.lists(text_parts | files, min_size=1, max_size=4).filter(
        lambda parts: any(isinstance(part, FilePart) for part in parts)
    )
    alone = st.just([]) | text_parts.map(lambda part: [part])
    return (alone | mixed).map(lambda parts: Message("user", tuple(parts)))


systems = texts.map(lambda text: Message.of("system", text))
calls = st.builds(ToolCall, ids, names, arguments)


def assistants(call: st.SearchStrategy[ToolCall] = calls) -> st.SearchStrategy[Message]:
    """Assistant messages: text if any, then tool calls if any."""
    text = st.just(()) | text_parts.map(lambda part: (part,))
    called = st.lists(call, max_size=2).map(tuple)
    return st.builds(lambda first, then: Message("assistant", (*first, *then)), text, called)


bare_results = st.builds(ToolResult, ids, texts | st.just(""))


def tools(result: st.SearchStrategy[ToolResult]) -> st.SearchStrategy[Message]:
    """Tool messages of one result each."""
    return result.map(lambda part: Message("tool", (part,)))


def conversations(*kinds: st.SearchStrategy[Message]) -> st.SearchStrategy[tuple[Message, ...]]:
    """Messages of these kinds, in any order."""
    return st.lists(st.one_of(*kinds), max_size=6).map(tuple)


_any_assistant: st.SearchStrategy[list[Part]] = st.lists(
    text_parts | thoughts | calls | bare_results, max_size=6
)
anything = conversations(
    users(image_files | documents),
    systems,
    tools(bare_results),
    _any_assistant.map(lambda parts: Message("assistant", tuple(parts))),
)
"""Conversations as agents leave them: thoughts, calls and results anywhere in an answer."""

local_files = st.builds(
    lambda name, media_type: FilePart(media_type, name, path=Path("/cache/0") / name),
    names.map(lambda name: f"{name}.bin"),
    st.sampled_from(["image/png", "text/plain", "application/pdf"]),
)
