"""The values that a store holds: conversations, turns, comparison sessions, links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

from chatlab.ids import ConversationId, TurnId
from chatlab.messages import Citation, Finish, Message, Notice, Part, Timing, Trace

Status: TypeAlias = Literal["running", "finished", "stopped", "failed", "interrupted"]
"""What became of a turn. "interrupted": the server that ran it ended; what it had saved is there."""


@dataclass(frozen=True, slots=True)
class StoredConversation:
    """A conversation without its turns.

    head: the turn last shown, from which the page opens it. comparison: the comparison session it is a lane
    of; those are not listed among the chats.
    """

    id: ConversationId
    owner: str
    title: str
    created: datetime
    updated: datetime
    pinned: bool = False
    head: TurnId | None = None
    comparison: str | None = None


@dataclass(frozen=True, slots=True)
class BegunConversation:
    """A conversation that is made with its first turn. Without a title, that turn gives it one."""

    id: ConversationId
    owner: str
    title: str = ""
    comparison: str | None = None


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """One message of the person and what came of it, whole.

    parameters, system: as asked for in this turn, over those of the configuration. `sent` is what the
    backend was given after what it cannot take was left out; None until the turn has run.
    answer: what arrived, to the last checkpoint if the turn is "running" or "interrupted".
    cost: in the currency of the prices. error: the sentence the person read.
    asked_by: who was signed in. asked_as: as whom the backend was asked, that person or "the service"; both
    None where nobody was. copied_from: the turn of another lane that this one repeats.
    """

    id: TurnId
    owner: str
    conversation: ConversationId
    parent: TurnId | None
    created: datetime
    user: Message
    backend: str
    kind: str
    label: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    system: str | None = None
    sent: Mapping[str, Any] | None = None
    status: Status = "running"
    answer: tuple[Part, ...] = ()
    notices: tuple[Notice, ...] = ()
    citations: tuple[Citation, ...] = ()
    traces: tuple[Trace, ...] = ()
    finish: Finish | None = None
    timing: Timing = field(default_factory=Timing)
    tool_seconds: Mapping[str, float] = field(default_factory=dict)
    cost: float | None = None
    error: str | None = None
    asked_by: str | None = None
    asked_as: str | None = None
    copied_from: TurnId | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of a list. `next` continues it; None at its end."""

    conversations: tuple[StoredConversation, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Hit:
    """A conversation that a search found, its best turn, and a piece of its text around the words found
    (plain text; the words between U+E000 and U+E001)."""

    conversation: StoredConversation
    turn: TurnId | None
    snippet: str


@dataclass(frozen=True, slots=True)
class StoredComparison:
    """A comparison session without its log."""

    id: str
    owner: str
    title: str
    created: datetime
    updated: datetime
    entries: int


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One thing that happened in a comparison session; a session is what its log says. seq counts from 1."""

    seq: int
    at: datetime
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WholeComparison:
    """A comparison session with all that belongs to it, of one owner. log: from its first entry. lanes: their
    conversations, which name the session. turns: those of all lanes. receipts: by turn."""

    comparison: StoredComparison
    log: Sequence[LogEntry]
    lanes: Sequence[StoredConversation]
    turns: Sequence[StoredTurn]
    receipts: Mapping[TurnId, Mapping[str, Any]]


Audience: TypeAlias = tuple[str, ...] | None
"""For whom a link is: for people of any of these groups; if there are none, for everybody who signed in.
None: for whoever has it."""


@dataclass(frozen=True, slots=True)
class Share:
    """A read-only link. token: the capability; known only when it is made, the database has its hash.

    audience: see `Audience`.
    """

    token: str
    created: datetime
    audience: Audience = None


@dataclass(frozen=True, slots=True)
class LinkReader:
    """Somebody who signed in and follows a link. owner: whose their own things are."""

    owner: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OwnerSummary:
    """The number of things that an owner has and has not deleted: chats, their turns, comparison sessions;
    and when one of them was last written to."""

    owner: str
    conversations: int
    turns: int
    comparisons: int
    updated: datetime


@dataclass(frozen=True, slots=True)
class Unwanted:
    """The number of chats and comparison sessions that the next `Store.purge` removes."""

    conversations: int
    comparisons: int


@dataclass(frozen=True, slots=True)
class Movable:
    """The number of chats and comparison sessions that `Store.move` hands over, or did."""

    conversations: int
    comparisons: int
