"""Stored conversations as JSON and back: the lines of the format that docs/export-format.md describes."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar, get_args

from chatlab.codec import from_plain, message_from_json, message_to_json, to_plain
from chatlab.ids import ConversationId, TurnId
from chatlab.messages import Citation, FilePart, Finish, Message, Notice, Timing, Trace
from chatlab.store import (
    FILE_SCHEME,
    LogEntry,
    NotStored,
    Status,
    StoredComparison,
    StoredConversation,
    StoredTurn,
)
from chatlab.store._exact import keyed, unkeyed
from chatlab.store.files import Files
from chatlab.strict_json import load_json
from chatlab.text import well_formed

T = TypeVar("T")

FORMAT = "chatlab-conversations"
VERSION = 1

_LONE = re.compile("[\ud800-\udfff]")
_URL = re.compile(rf"(?i:https?://)|{FILE_SCHEME}[0-9a-f]{{64}}\Z")
_ID = re.compile(r"[\w.-]{1,100}")


def to_line(value: Mapping[str, Any]) -> str:
    """One line of JSON. The same value always gives the same line, which any UTF-8 file takes."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if _LONE.search(text):  # two halves that met become their character; one alone is escaped
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        text = _LONE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return text + "\n"


def conversation_to_json(conversation: StoredConversation) -> dict[str, Any]:
    """Return a conversation without its owner."""
    return {
        "type": "conversation",
        "id": conversation.id,
        "title": conversation.title,
        "created": conversation.created.isoformat(),
        "updated": conversation.updated.isoformat(),
        "pinned": conversation.pinned,
        "head": conversation.head,
    }


def conversation_from_json(value: Mapping[str, Any], owner: str) -> StoredConversation:
    """Return the conversation again, as this owner's. Raises ValueError with a sentence."""
    return StoredConversation(
        id=ConversationId(_id(value, "id")),
        owner=owner,
        title=well_formed(_field(value, "title", str)),
        created=_moment(value, "created"),
        updated=_moment(value, "updated"),
        pinned=_field(value, "pinned", bool),
        head=_optional_turn_id(value, "head"),
    )


def comparison_to_json(comparison: StoredComparison) -> dict[str, Any]:
    """Return a comparison session without its owner and its log."""
    return {
        "type": "comparison",
        "id": comparison.id,
        "title": comparison.title,
        "created": comparison.created.isoformat(),
        "updated": comparison.updated.isoformat(),
    }


def comparison_from_json(value: Mapping[str, Any], owner: str) -> StoredComparison:
    """Return the session again, as this owner's, before its log. Raises ValueError with a sentence."""
    return StoredComparison(
        id=_id(value, "id"),
        owner=owner,
        title=well_formed(_field(value, "title", str)),
        created=_moment(value, "created"),
        updated=_moment(value, "updated"),
        entries=0,
    )


def entry_to_json(entry: LogEntry) -> dict[str, Any]:
    """Return an entry of a session's log."""
    return {"type": "entry", "seq": entry.seq, "at": entry.at.isoformat(), "data": keyed(entry.data)}


def entry_from_json(value: Mapping[str, Any]) -> LogEntry:
    """Return the entry again. Raises ValueError with a sentence."""
    data = unkeyed(_field(value, "data", dict))
    return LogEntry(_field(value, "seq", int), _moment(value, "at"), data)


def stored_receipt_to_json(turn: TurnId, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a turn was sent."""
    return {"type": "receipt", "turn": turn, "data": keyed(data)}


def stored_receipt_from_json(value: Mapping[str, Any]) -> tuple[TurnId, dict[str, Any]]:
    """Return the turn and its receipt again. Raises ValueError with a sentence."""
    return TurnId(_id(value, "turn")), unkeyed(_field(value, "data", dict))


async def turn_lines(files: Files, turns: Sequence[StoredTurn], written: set[str]) -> AsyncIterator[str]:
    """Yield the lines of turns, each after the attachments that it names. written: those that were written
    before, to which these are added.
    """
    for turn in turns:
        for sha256 in _named(turn):
            if sha256 not in written:
                written.add(sha256)
                try:
                    path = await files.path(sha256)
                except NotStored:
                    continue  # the turn still names it; an import says that it was not there
                data = base64.b64encode(path.read_bytes()).decode("ascii")
                yield to_line({"type": "file", "sha256": sha256, "data": data})
        yield to_line(turn_to_json(turn))


def _named(turn: StoredTurn) -> list[str]:
    urls = [part.url for part in (*turn.user.parts, *turn.answer) if isinstance(part, FilePart)]
    return [url.removeprefix(FILE_SCHEME) for url in urls if url is not None and url.startswith(FILE_SCHEME)]


def turn_to_json(turn: StoredTurn) -> dict[str, Any]:
    """Return a turn without its owner.

    One that is still running is told as it would be if its server stopped.
    """
    return {
        "type": "turn",
        "id": turn.id,
        "parent": turn.parent,
        "created": turn.created.isoformat(),
        "user": message_to_json(turn.user),
        "backend": turn.backend,
        "kind": turn.kind,
        "label": turn.label,
        "parameters": turn.parameters,
        "system": turn.system,
        "sent": turn.sent,
        "status": "interrupted" if turn.status == "running" else turn.status,
        "answer": message_to_json(Message("assistant", turn.answer))["parts"],
        "notices": [to_plain(notice) for notice in turn.notices],
        "citations": [to_plain(citation) for citation in turn.citations],
        "traces": [to_plain(trace) for trace in turn.traces],
        "finish": None if turn.finish is None else to_plain(turn.finish),
        "timing": to_plain(turn.timing),
        "tool_seconds": turn.tool_seconds,
        "cost": turn.cost,
        "error": turn.error,
        "asked_by": turn.asked_by,
        "asked_as": turn.asked_as,
        "copied_from": turn.copied_from,
    }


def turn_from_json(value: Mapping[str, Any], owner: str, conversation: ConversationId) -> StoredTurn:
    """Return the turn again, in this owner's conversation. Raises ValueError with a sentence."""
    status: Any = value.get("status")
    if status not in get_args(Status) or status == "running":
        raise ValueError("status should be finished, stopped, failed or interrupted")
    user = user_from_json(value.get("user"))
    answer = _nothing_local(message_from_json({"role": "assistant", "parts": value.get("answer")}))
    cost = value.get("cost")
    if cost is not None and (isinstance(cost, bool) or not isinstance(cost, int | float)):
        raise ValueError("cost should be a number")
    return StoredTurn(
        id=TurnId(_id(value, "id")),
        owner=owner,
        conversation=conversation,
        parent=_optional_turn_id(value, "parent"),
        created=_moment(value, "created"),
        user=user,
        backend=_field(value, "backend", str),
        kind=_field(value, "kind", str),
        label=_field(value, "label", str),
        parameters=_field(value, "parameters", dict),
        system=_optional(value, "system", str),
        sent=_optional(value, "sent", dict),
        status=status,
        answer=answer.parts,
        notices=_all(Notice, value, "notices"),
        citations=_all(Citation, value, "citations"),
        traces=_all(Trace, value, "traces"),
        finish=None if value.get("finish") is None else from_plain(Finish, _field(value, "finish", dict)),
        timing=from_plain(Timing, _field(value, "timing", dict)),
        tool_seconds=_field(value, "tool_seconds", dict),
        cost=cost,
        error=_optional(value, "error", str),
        asked_by=_optional(value, "asked_by", str),
        asked_as=_optional(value, "asked_as", str),
        copied_from=_optional_turn_id(value, "copied_from"),
    )


def user_from_json(value: Any) -> Message:
    """Return a message of the person again. Raises ValueError with a sentence."""
    user = _nothing_local(message_from_json(value))
    if user.role != "user":
        raise ValueError("user should be a message of the role user")
    return user


def _nothing_local(message: Message) -> Message:
    for part in message.parts:
        if isinstance(part, FilePart) and part.url is not None and not _URL.match(part.url):
            raise ValueError("a file's url should be sha256:, data: or http(s)")
    return message


def object_from_line(line: str | bytes) -> dict[str, Any]:
    """Return the JSON object of a line. Raises ValueError with a sentence, for numbers that no database takes
    too.
    """
    try:
        value = load_json(line, bits=64)
    except (json.JSONDecodeError, UnicodeDecodeError) as exc:
        raise ValueError("is not JSON: the file may have been cut short or changed") from exc
    except ValueError as exc:
        raise ValueError(f"cannot be read: {exc}") from exc
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")
    return value


def _field(value: Mapping[str, Any], name: str, kind: type[T]) -> T:
    found = value.get(name)
    if not isinstance(found, kind):
        raise ValueError(f"{name} is missing or of another type")
    return found


def _optional(value: Mapping[str, Any], name: str, kind: type[T]) -> T | None:
    return None if value.get(name) is None else _field(value, name, kind)


def _all(cls: type[T], value: Mapping[str, Any], name: str) -> tuple[T, ...]:
    found = _field(value, name, list)
    if not all(isinstance(item, dict) for item in found):
        raise ValueError(f"{name} should be a list of objects")
    return tuple(from_plain(cls, item) for item in found)


def _id(value: Mapping[str, Any], name: str) -> str:
    found = _field(value, name, str)
    if not _ID.fullmatch(found):
        raise ValueError(f"{name} should be at most 100 letters, digits, '-', '_' and '.'")
    return found


def _optional_turn_id(value: Mapping[str, Any], name: str) -> TurnId | None:
    return None if value.get(name) is None else TurnId(_id(value, name))


def _moment(value: Mapping[str, Any], name: str) -> datetime:
    try:
        moment = datetime.fromisoformat(_field(value, name, str))
        moment.astimezone(UTC)  # as a store has it; the first and the last hours there are none
    except (ValueError, OverflowError):
        raise ValueError(f"{name} should be a time, such as 2026-01-31T12:00:00+00:00") from None
    if moment.tzinfo is None:
        raise ValueError(f"{name} should have a time zone")
    return moment
