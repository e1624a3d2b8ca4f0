"""Turns as rows, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row

from chatlab.codec import from_plain, message_from_json, message_to_json, parts_to_json, to_plain
from chatlab.messages import Citation, FilePart, Finish, Message, Notice, Timing, Trace
from chatlab.store import FILE_SCHEME, StoredTurn
from chatlab.store._exact import from_text, to_text


def to_row(turn: StoredTurn) -> dict[str, Any]:
    """Return the columns of `turns`, but for the `server` that runs it. Raise ValueError for a file that is
    not in the store."""
    for file in _files(turn):
        if file.url is None or file.url.startswith("data:"):
            raise ValueError("a stored message names its files by content, as sha256:<hex>")
    return {
        "id": turn.id,
        "owner": turn.owner,
        "conversation": turn.conversation,
        "parent": turn.parent,
        "created": turn.created,
        "status": turn.status,
        "server": None,
        "asked": _text(
            user=message_to_json(turn.user),
            backend=turn.backend,
            kind=turn.kind,
            label=turn.label,
            parameters=turn.parameters,
            system=turn.system,
            asked_by=turn.asked_by,
            asked_as=turn.asked_as,
            copied_from=turn.copied_from,
        ),
        "answered": _text(
            sent=turn.sent,
            answer=parts_to_json(turn.answer),
            notices=[to_plain(notice) for notice in turn.notices],
            citations=[to_plain(citation) for citation in turn.citations],
            traces=[to_plain(trace) for trace in turn.traces],
            finish=None if turn.finish is None else to_plain(turn.finish),
            timing=to_plain(turn.timing),
            tool_seconds=turn.tool_seconds,
            cost=turn.cost,
            error=turn.error,
        ),
    }


def from_row(row: Row[Any]) -> StoredTurn:
    """Return the turn of a row of `turns`."""
    asked: dict[str, Any] = from_text(row.asked)
    answered: dict[str, Any] = from_text(row.answered)
    finish = answered.get("finish")
    return StoredTurn(
        id=row.id,
        owner=row.owner,
        conversation=row.conversation,
        parent=row.parent,
        created=row.created,
        user=message_from_json(asked["user"]),
        backend=asked["backend"],
        kind=asked["kind"],
        label=asked["label"],
        parameters=asked["parameters"],
        system=asked.get("system"),
        sent=answered.get("sent"),
        status=row.status,
        answer=message_from_json({"role": "assistant", "parts": answered["answer"]}).parts,
        notices=tuple(from_plain(Notice, notice) for notice in answered["notices"]),
        citations=tuple(from_plain(Citation, citation) for citation in answered["citations"]),
        traces=tuple(from_plain(Trace, trace) for trace in answered["traces"]),
        finish=None if finish is None else from_plain(Finish, finish),
        timing=from_plain(Timing, answered["timing"]),
        tool_seconds=answered["tool_seconds"],
        cost=answered.get("cost"),
        error=answered.get("error"),
        asked_by=asked.get("asked_by"),
        asked_as=asked.get("asked_as"),
        copied_from=asked.get("copied_from"),
    )


def attachments(turn: StoredTurn) -> Mapping[str, str]:
    """Return the files of the file store that a turn names: media types by hash."""
    return {
        file.url.removeprefix(FILE_SCHEME): file.media_type
        for file in _files(turn)
        if file.url is not None and file.url.startswith(FILE_SCHEME)
    }


def text_of(turn: StoredTurn) -> str:
    """Return the text of a turn to be searched: the message and, once it has ended, the answer."""
    answer = Message("assistant", () if turn.status == "running" else turn.answer)
    names = (file.name for file in _files(turn) if file.name)
    return "\n".join(text for text in (turn.user.text, *names, answer.text) if text)


def _files(turn: StoredTurn) -> Sequence[FilePart]:
    return [part for part in (*turn.user.parts, *turn.answer) if isinstance(part, FilePart)]


def _text(**values: Any) -> str:
    return to_text({name: value for name, value in values.items() if value is not None})
