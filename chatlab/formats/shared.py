"""Changes to a conversation that more than one format needs, and the words for a shape that is not known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn, TypeVar

from chatlab.errors import UnsupportedContent
from chatlab.messages import Message, Notice, Part, TextPart, ToolCall, ToolResult
from chatlab.words import ENGLISH

P = TypeVar("P")

_TOOL_PARTS = (ToolCall, ToolResult)


def fold_system(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return the conversation without system messages: their text stands before the first user message's.

    A blank line is put between them. For models and templates that take no system message; whoever folds
    owes the person a `system_folded` notice.
    """
    system = "\n\n".join(message.text for message in messages if message.role == "system" and message.text)
    rest = [message for message in messages if message.role != "system"]
    if not system:
        return tuple(rest)
    for index, message in enumerate(rest):
        if message.role == "user":
            rest[index] = Message("user", _prefixed(system, message.parts))
            return tuple(rest)
    return (Message.of("user", system), *rest)


def _prefixed(text: str, parts: Sequence[Part]) -> tuple[Part, ...]:
    for index, part in enumerate(parts):
        if isinstance(part, TextPart):
            return (*parts[:index], TextPart(f"{text}\n\n{part.text}"), *parts[index + 1 :])
    return (*parts, TextPart(text))


def merge_consecutive(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return the same conversation with neighbours of one role joined, a blank line between their texts.

    Turns that failed leave consecutive user messages, which some models' templates refuse. Only user
    and assistant messages are joined; messages without any part vanish.
    """
    merged: list[Message] = []
    for message in messages:
        if not message.parts:
            continue
        last = merged[-1] if merged else None
        if last is None or last.role != message.role or message.role not in ("user", "assistant"):
            merged.append(message)
            continue
        head, first = last.parts[-1], message.parts[0]
        if isinstance(head, TextPart) and isinstance(first, TextPart):
            joined = TextPart(f"{head.text}\n\n{first.text}")
            merged[-1] = Message(last.role, (*last.parts[:-1], joined, *message.parts[1:]))
        else:
            merged[-1] = Message(last.role, (*last.parts, *message.parts))
    return tuple(merged)


def without_tools(messages: Sequence[Message]) -> tuple[tuple[Message, ...], tuple[Notice, ...]]:
    """Return the same conversation without tool calls and results, for what cannot be told of them.

    At most one notice, saying how many were left out. Messages that held nothing else vanish.
    """
    kept: list[Message] = []
    dropped = 0
    for message in messages:
        parts = tuple(p for p in message.parts if not isinstance(p, ToolCall | ToolResult))
        calls = sum(isinstance(p, ToolCall) for p in message.parts)
        results = len(message.parts) - len(parts) - calls
        # A call and its result are one thing to a reader; results of their own count where no call is seen.
        dropped += max(calls, results) if message.role != "tool" else 0
        if parts or not message.parts:
            kept.append(Message(message.role, parts))
    if len(kept) == len(messages) and not dropped:
        return tuple(kept), ()
    said = ENGLISH("notice.no-place-for-results")
    if dropped:
        said = ENGLISH.counted("notice.no-place-for-tool", dropped)
    return tuple(kept), (Notice("other", said),)


def without_unmatched_tools(
    messages: Sequence[Message],
) -> tuple[tuple[Message, ...], tuple[Notice, ...]]:
    """Return the same conversation without tool calls that got no result, and without results of no call.

    Upstreams refuse both; a model that asked for a tool which nobody runs leaves such a call behind, and
    every later turn of the conversation would fail. One notice counts them. Messages that held nothing else
    vanish.
    """
    if not any(isinstance(part, _TOOL_PARTS) for message in messages for part in message.parts):
        return tuple(messages), ()
    # By place, not by id alone: some upstreams count their ids anew in every answer.
    open_calls: dict[str, tuple[int, int]] = {}
    matched: set[tuple[int, int]] = set()
    for at, message in enumerate(messages):
        for number, part in enumerate(message.parts):
            if isinstance(part, ToolCall):
                open_calls[part.id] = (at, number)
            elif isinstance(part, ToolResult) and part.id in open_calls:
                matched |= {open_calls.pop(part.id), (at, number)}
    kept: list[Message] = []
    dropped = 0
    for at, message in enumerate(messages):
        parts = tuple(
            part
            for number, part in enumerate(message.parts)
            if not isinstance(part, ToolCall | ToolResult) or (at, number) in matched
        )
        dropped += len(message.parts) - len(parts)
        if parts or not message.parts:
            kept.append(Message(message.role, parts))
    if not dropped:
        return tuple(messages), ()
    return tuple(kept), (Notice("other", ENGLISH.counted("notice.unmatched-tool", dropped)),)


def only(parts: Sequence[Part], kind: type[P], where: str, role: str) -> list[P]:
    """Return the parts, all of this kind. Raises UnsupportedContent naming the first that is not."""
    found: list[P] = []
    for part in parts:
        if not isinstance(part, kind):
            raise UnsupportedContent(f"{where}: a {role} message cannot hold a {type(part).__name__}")
        found.append(part)
    return found


def unknown(where: str, expected: str, found: object) -> NoReturn:
    """Raise UnsupportedContent: what was expected where, and the shape, never the content, of what is."""
    raise UnsupportedContent(f"{where}: expected {expected}, found {shape(found)}")


def shape(value: object) -> str:
    """Return what a value looks like, without what it says: it may be private."""
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        kind = value.get("type")
        named = f" of type {kind!r}"[:60] if isinstance(kind, str) else ""
        keys = ", ".join(str(key)[:30] for key in list(value)[:8])
        return f"an object{named} with {keys}" if keys else "an empty object"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return f"a {type(value).__name__}"
