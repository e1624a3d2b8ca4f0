"""Receipts: what a lane was really sent, as a value that can be hashed, stored, shown and compared.

Taken from `Turn.request`, which is what the backend was given, and never from what was meant to be sent. The
content of a file is named by its hash, as in the store, so a receipt stays small and shows no picture.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from hashlib import sha256
from typing import Any

from chatlab.backend import CallContext, ChatRequest
from chatlab.codec import message_to_json
from chatlab.compare.model import Receipt
from chatlab.config.registry import Entry
from chatlab.messages import FilePart, Message, NoticeKind, Part
from chatlab.quick_json import compact, exactly
from chatlab.store import FILE_SCHEME
from chatlab.turns.ended import EndedTurn
from chatlab.turns.turn import Turn
from chatlab.words import ENGLISH

_DROPPED: tuple[NoticeKind, ...] = (
    "file_dropped",
    "parameter_ignored",
    "system_folded",
    "history_truncated",
    "thoughts_dropped",
)
_EXCERPT = 60  # characters of a message shown in a difference


def receipt_of(
    turn: Turn | EndedTurn, entry: Entry, *, ctx: CallContext | None = None, wire_sha256: str | None = None
) -> Receipt | None:
    """Return the receipt of a turn that has started; None if it failed before its request was made.

    ctx: the call's, for whose identity it had. Attached files are read: in a thread, if there are any.
    """
    request = turn.request
    if request is None:
        return None
    target = entry.cls.target(entry.config.options)
    finish = turn.answer.finish
    messages = tuple(by_content(message) for message in request.messages)
    return Receipt(
        backend=entry.name,
        kind=entry.config.kind,
        messages=messages,
        parameters=dict(request.parameters),
        sha256=digest(messages, request.parameters),
        model=target.model,
        model_answered=finish.model if finish else None,
        endpoint=target.endpoint,
        identity=None if ctx is None else entry.asked_as(ctx),
        dropped=tuple(notice.detail for notice in turn.answer.notices if notice.kind in _DROPPED),
        wire_sha256=wire_sha256,
        arrivals=str(turn.arrivals) or None,
    )


def by_content(message: Message) -> Message:
    """Return the message with each attached file named by its content's SHA-256; a URL stays."""
    if not any(isinstance(part, FilePart) for part in message.parts):
        return message
    return Message(message.role, tuple(_by_content(part) for part in message.parts))


def _by_content(part: Part) -> Part:
    if not isinstance(part, FilePart) or part.url is not None:
        return part
    name = part.name or (part.path.name if part.path else None)
    return FilePart(part.media_type, name, url=FILE_SCHEME + sha256(part.read()).hexdigest())


def canonical(value: Any) -> bytes:
    """Return a JSON value as bytes that depend on nothing but the value: keys sorted, no spaces, UTF-8."""
    try:
        return compact(exactly(value), sort_keys=True)
    except TypeError:
        return _canonical(value).encode("utf-8", "surrogatepass")


_canonical = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode


def digest(messages: tuple[Message, ...], parameters: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what a lane is sent: equal exactly if the messages and parameters are."""
    what = {
        "messages": [message_to_json(message) for message in messages],
        "parameters": dict(parameters),
    }
    try:  # of it, parameters alone can have a float, which is all that would have to be made exact
        said = compact({**what, "parameters": exactly(what["parameters"])}, sort_keys=True)
    except TypeError:
        said = canonical(what)
    return sha256(said).hexdigest()


@dataclass(frozen=True, slots=True)
class SentDifference:
    """One thing that two lanes were sent differently.

    where: `messages` or `parameters`. what: which one, in words. a, b: what each has there; None is nothing.
    """

    where: str
    what: str
    a: str | None
    b: str | None

    def __str__(self) -> str:
        nothing = ENGLISH("sent.nothing")
        return ENGLISH("sent.difference", what=self.what, one=self.a or nothing, other=self.b or nothing)


def difference(a: Receipt | ChatRequest, b: Receipt | ChatRequest) -> tuple[SentDifference, ...]:
    """Return what is different between what two lanes were sent; nothing if both were sent the same."""
    if (a.messages, a.parameters) == (b.messages, b.parameters):
        return ()
    found: list[SentDifference] = []
    ours, theirs = _keys(a), _keys(b)
    for tag, a0, a1, b0, b1 in SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        for step in range(max(a1 - a0, b1 - b0)):
            mine = a.messages[a0 + step] if a0 + step < a1 else None
            other = b.messages[b0 + step] if b0 + step < b1 else None
            number = a0 + step if mine is not None else b0 + step
            role = (mine or other or a.messages[0]).role
            shown = _excerpts(mine, other)
            what = ENGLISH("sent.message", number=number + 1, role=role)
            found.append(SentDifference("messages", what, *shown))
    for name in sorted({*a.parameters, *b.parameters}):
        mine_value, other_value = (_value(side.parameters, name) for side in (a, b))
        if mine_value != other_value:
            what = ENGLISH("sent.parameter", parameter=name)
            found.append(SentDifference("parameters", what, mine_value, other_value))
    return tuple(found)


def _keys(side: Receipt | ChatRequest) -> list[bytes]:
    return [canonical(message_to_json(by_content(message))) for message in side.messages]


def _value(parameters: Mapping[str, Any], name: str) -> str | None:
    return canonical(parameters[name]).decode("utf-8", "replace") if name in parameters else None


def _excerpts(a: Message | None, b: Message | None) -> tuple[str | None, str | None]:
    """Return both from shortly before where they part, so that what is shown does differ."""
    ours, theirs = (None if side is None else _readable(side) for side in (a, b))
    if ours is None or theirs is None:
        return (None if ours is None else _excerpt(ours, 0), None if theirs is None else _excerpt(theirs, 0))
    same = 0
    for same, (one, other) in enumerate(zip(ours, theirs, strict=False)):  # noqa: B007
        if one != other:
            break
    else:
        same = min(len(ours), len(theirs))
    start = max(0, same - _EXCERPT // 3)
    return _excerpt(ours, start), _excerpt(theirs, start)


def _readable(message: Message) -> str:
    value = message_to_json(by_content(message))
    return f"{value['role']}: " + " ".join(
        part["text"] if part["type"] == "text" else canonical(part).decode("utf-8", "replace")
        for part in value["parts"]
    )


def _excerpt(text: str, start: int) -> str:
    cut = text[start : start + _EXCERPT]
    return f"{'…' if start else ''}{cut}{'…' if start + _EXCERPT < len(text) else ''}"
