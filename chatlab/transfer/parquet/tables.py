"""The tables of an export as Parquet: their columns, and how what is stored becomes rows of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

from chatlab.codec import message_to_json
from chatlab.compare.model import Lane
from chatlab.compare.session.events import LaneAdded, LaneChanged, LaneSwapped, Voted, event_from_data
from chatlab.ids import LaneId
from chatlab.messages import FilePart, Message, ReasoningPart, Timing
from chatlab.store import LogEntry, StoredComparison, StoredConversation, StoredTurn

Row: TypeAlias = dict[str, Any]
TableName: TypeAlias = Literal["turns", "timings", "receipts", "votes", "conversations", "comparisons"]
ColumnType: TypeAlias = Literal["text", "texts", "JSON", "integer", "number", "time", "boolean"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. content: whether it has what people or models wrote, and can be left out."""

    name: str
    type: ColumnType
    description: str
    content: bool = False


@dataclass(frozen=True, slots=True)
class TableColumns:
    """The columns of a table. key: those by which a row is known. dated: the time whose day, in UTC, is the
    partition of a row."""

    key: tuple[str, ...]
    dated: str
    columns: tuple[Column, ...]


_OWNER = Column("owner", "text", "person who signed in or, without sign-in, browser")
_CONVERSATION = Column("conversation", "text", "`id` of `conversations`")
_TURN = Column("turn", "text", "`id` of `turns`")
_CREATED = Column("created", "time", "when the turn was asked")

TABLES: Mapping[TableName, TableColumns] = {
    "turns": TableColumns(
        ("id",),
        "created",
        (
            Column("id", "text", "id of the turn: one message and what came of it"),
            _OWNER,
            _CONVERSATION,
            Column("comparison", "text", "`id` of `comparisons`, of which the conversation is a lane"),
            Column("parent", "text", "turn before it; an edit or a retry has the same one"),
            _CREATED,
            Column("status", "text", "finished, stopped, failed or interrupted"),
            Column("backend", "text", "name in the configuration"),
            Column("kind", "text", "kind of backend"),
            Column("label", "text", "name that people saw"),
            Column("model", "text", "model that answered, as the upstream said"),
            Column("finish_reason", "text", "stop, length, tool_calls or content_filter"),
            Column("input_tokens", "integer", "tokens of the prompt, as the upstream counted them"),
            Column("output_tokens", "integer", "tokens of the answer"),
            Column("cached_tokens", "integer", "part of the input that was read from a cache"),
            Column("cache_written_tokens", "integer", "part of the input that was written to a cache"),
            Column("reasoning_tokens", "integer", "part of the output that was thought"),
            Column("cost", "number", "in the currency of `prices`"),
            Column("parameters", "JSON", "parameters, as they were asked for in this turn"),
            Column("notices", "texts", "kinds of notices, such as file_dropped"),
            Column("files", "integer", "number of attachments"),
            Column("asked_by", "text", "person who was signed in"),
            Column("copied_from", "text", "turn of another lane whose answer this repeats"),
            Column("system", "text", "system prompt, as asked for in this turn", content=True),
            Column("question", "text", "text of the message", content=True),
            Column("answer", "text", "text of the answer, as far as it came", content=True),
            Column("reasoning", "text", "text that was thought", content=True),
            Column("parts", "JSON", "all parts of the answer, tool calls too", content=True),
            Column("error", "text", "sentence that the person read", content=True),
        ),
    ),
    "timings": TableColumns(
        ("turn",),
        "created",
        (
            _TURN,
            _OWNER,
            _CONVERSATION,
            _CREATED,
            *(
                Column(one.name, "integer" if one.name == "attempts" else "number", "see docs/timing.md")
                for one in fields(Timing)
            ),
            Column("tool_seconds", "JSON", "seconds of each tool call, by its id"),
        ),
    ),
    "receipts": TableColumns(
        ("turn",),
        "created",
        (
            _TURN,
            _OWNER,
            _CONVERSATION,
            _CREATED,
            Column("backend", "text", "name in the configuration"),
            Column("kind", "text", "kind of backend"),
            Column("model", "text", "model that was asked for"),
            Column("model_answered", "text", "model that answered"),
            Column("endpoint", "text", "address that was called"),
            Column("identity", "text", "person with whose rights it was called"),
            Column("sha256", "text", "hash of what was sent"),
            Column("wire_sha256", "text", "hash of the bytes that went out"),
            Column("parameters", "JSON", "parameters that were sent"),
            Column("dropped", "texts", "what the backend could not take", content=True),
            Column("messages", "JSON", "messages that were sent", content=True),
        ),
    ),
    "votes": TableColumns(
        ("comparison", "seq"),
        "at",
        (
            Column("comparison", "text", "`id` of `comparisons`"),
            Column("seq", "integer", "number of the entry in its log; the last of a voter counts"),
            _OWNER,
            Column("at", "time", "when it was given"),
            Column("voter", "text", "person or browser"),
            Column("round", "text", "message that was voted on"),
            Column("criterion", "text", "criterion, such as overall"),
            Column("best", "text", "lane, or tie, or bad: all are"),
            Column("best_backend", "text", "backend of that lane"),
            Column("shown", "texts", "lanes from left to right, as the voter saw them"),
            Column("shown_backends", "texts", "backends of these"),
            Column("answers", "texts", "`id`s of `turns` that it was given on"),
            Column("blind", "boolean", "whether names were hidden"),
            Column("reasons", "texts", "reasons that were ticked"),
            Column("marked", "texts", "why it should be taken with care"),
            Column("note", "text", "note of the voter", content=True),
        ),
    ),
    "conversations": TableColumns(
        ("id", "updated"),
        "updated",
        (
            Column("id", "text", "id of the conversation"),
            _OWNER,
            Column("comparison", "text", "`id` of `comparisons`, of which it is a lane"),
            Column("created", "time", "when it was begun"),
            Column("updated", "time", "when it was last written to: the row with the last one counts"),
            Column("pinned", "boolean", "whether it is pinned"),
            Column("title", "text", "title", content=True),
        ),
    ),
    "comparisons": TableColumns(
        ("id", "entries"),
        "updated",
        (
            Column("id", "text", "id of the comparison session"),
            _OWNER,
            Column("created", "time", "when it was begun"),
            Column("updated", "time", "when it was last written to"),
            Column("entries", "integer", "length of its log: the row with the most counts"),
            Column("title", "text", "title", content=True),
        ),
    ),
}
"""In the order in which they are written: the last two say that all of a conversation or session is there."""


def conversation_row(one: StoredConversation) -> Row:
    """Return the row of a conversation."""
    names = ("id", "owner", "comparison", "created", "updated", "pinned", "title")
    return {name: getattr(one, name) for name in names}


def comparison_row(one: StoredComparison) -> Row:
    """Return the row of a comparison session."""
    return {name: getattr(one, name) for name in ("id", "owner", "created", "updated", "entries", "title")}


def turn_row(turn: StoredTurn, comparison: str | None) -> Row:
    """Return the row of a turn that has ended, in a lane of a comparison if it is one."""
    answer, finish = Message("assistant", turn.answer), turn.finish
    usage = finish.usage if finish else None
    return {
        **_of_turn(turn, "id"),
        "comparison": comparison,
        "parent": turn.parent,
        "status": turn.status,
        "backend": turn.backend,
        "kind": turn.kind,
        "label": turn.label,
        "model": finish.model if finish else None,
        "finish_reason": finish.reason if finish else None,
        "input_tokens": usage.input if usage else None,
        "output_tokens": usage.output if usage else None,
        "cached_tokens": usage.cached if usage else None,
        "cache_written_tokens": usage.cache_written if usage else None,
        "reasoning_tokens": usage.reasoning if usage else None,
        "cost": turn.cost,
        "parameters": _json(dict(turn.parameters)),
        "notices": [notice.kind for notice in turn.notices],
        "files": sum(isinstance(part, FilePart) for part in turn.user.parts),
        "asked_by": turn.asked_by,
        "copied_from": turn.copied_from,
        "system": turn.system,
        "question": turn.user.text,
        "answer": answer.text,
        "reasoning": "".join(part.text for part in turn.answer if isinstance(part, ReasoningPart)) or None,
        "parts": _json(message_to_json(answer)["parts"]),
        "error": turn.error,
    }


def timing_row(turn: StoredTurn) -> Row:
    """Return the row of a turn's times."""
    times = {one.name: getattr(turn.timing, one.name) for one in fields(Timing)}
    return {**_of_turn(turn, "turn"), **times, "tool_seconds": _json(dict(turn.tool_seconds))}


def receipt_row(turn: StoredTurn, receipt: Mapping[str, Any]) -> Row:
    """Return the row of what a turn was sent. receipt: as it is stored."""
    names = ("backend", "kind", "model", "model_answered", "endpoint", "identity", "sha256", "wire_sha256")
    return {
        **_of_turn(turn, "turn"),
        **{name: receipt.get(name) for name in names},
        "parameters": _json(receipt.get("parameters")),
        "dropped": list(receipt.get("dropped") or ()),
        "messages": _json(receipt.get("messages")),
    }


def vote_rows(session: StoredComparison, log: Sequence[LogEntry]) -> Iterator[Row]:
    """Yield the rows of the votes in a session's log, whole from its first entry. Raise SessionError."""
    lanes: dict[LaneId, Lane] = {}
    for entry in log:
        match event := event_from_data(entry.data):
            case LaneAdded() | LaneSwapped() | LaneChanged():
                lanes[event.lane.id] = event.lane
            case Voted():
                vote = event.vote
                best = lanes.get(LaneId(vote.best))
                yield {
                    "comparison": session.id,
                    "seq": entry.seq,
                    "owner": session.owner,
                    "at": vote.at,
                    "voter": vote.voter,
                    "round": vote.round,
                    "criterion": vote.criterion,
                    "best": vote.best,
                    "best_backend": best.backend if best else None,
                    "shown": list(vote.shown),
                    "shown_backends": [lanes[lane].backend for lane in vote.shown if lane in lanes],
                    "answers": list(vote.answers),
                    "blind": vote.blind,
                    "reasons": list(vote.reasons),
                    "marked": list(vote.marked),
                    "note": vote.note or None,
                }
            case _:
                pass


def _of_turn(turn: StoredTurn, called: str) -> Row:
    return {
        called: turn.id,
        "owner": turn.owner,
        "conversation": turn.conversation,
        "created": turn.created,
    }


def _json(value: Any) -> str:
    return json.dumps(value, default=str)
