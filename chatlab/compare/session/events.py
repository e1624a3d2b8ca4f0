"""The events of a comparison session: what can happen in one, as values and as they are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from chatlab.codec import adapter_of, from_plain
from chatlab.compare.model import Lane, Mode, Vote
from chatlab.ids import ConversationId, LaneId, RoundId, TurnId
from chatlab.words import WordedError


class SessionError(WordedError):
    """A request that is not possible in this session as it stands; the sentence says why."""

    http_status = 409


NOTHING_TO_PICK = "refusal.nothing-to-pick"


@dataclass(frozen=True, slots=True)
class TurnPosition:
    """The position of a turn: its lane, the round it answers, and the turn before it in the same lane.

    repeat: which of the repeats, from 0. copied_from: the turn, of another lane, whose answer this repeats.
    """

    turn: TurnId
    lane: LaneId
    round: RoundId
    parent: TurnId | None
    repeat: int = 0
    copied_from: TurnId | None = None

    @property
    def origin(self) -> TurnId:
        """Return the turn in which the answer was given."""
        return self.copied_from or self.turn


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Lanes that were not sent what they should have been.

    turns: of one lane that was not sent what its history and the prompt come to, or of two that should have
    been sent the same and were not. reason: for people.
    """

    turns: tuple[TurnId, ...]
    lanes: tuple[LaneId, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Opened:
    """A session was begun; always the first event. Its fields are the settings of the session."""

    mode: Mode = "own"
    blind: bool = False
    reveal: str = "together"
    repeats: int = 1
    criteria: tuple[str, ...] = ("overall",)
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LaneAdded:
    """A lane was added. history: turns copied into its conversation, from the first on."""

    lane: Lane
    conversation: ConversationId
    history: tuple[TurnPosition, ...] = ()


@dataclass(frozen=True, slots=True)
class LaneRemoved:
    """A lane was taken away. Its conversation stays in the store."""

    lane: LaneId


@dataclass(frozen=True, slots=True)
class LaneSwapped:
    """A lane replaced another one. It has a new id, so that no answer or vote counts for the wrong lane."""

    old: LaneId
    lane: Lane
    conversation: ConversationId
    history: tuple[TurnPosition, ...] = ()


@dataclass(frozen=True, slots=True)
class LaneChanged:
    """A lane got another label, parameters or system prompt, from its next turn on; id and backend stay."""

    lane: Lane


@dataclass(frozen=True, slots=True)
class Reordered:
    """The lanes were put into another order."""

    lanes: tuple[LaneId, ...]


@dataclass(frozen=True, slots=True)
class ModeSet:
    """The mode was changed, from the next message on."""

    mode: Mode


@dataclass(frozen=True, slots=True)
class Drawn:
    """The letters that hide the lanes were drawn, by lane."""

    letters: Mapping[LaneId, str]


@dataclass(frozen=True, slots=True)
class Asked:
    """A message was sent to some or all lanes; positions: of the turns that answer it.

    user: the message as JSON (`chatlab.codec.message_to_json`). replaces: the round this is an edit of.
    """

    round: RoundId
    user: Mapping[str, Any]
    positions: tuple[TurnPosition, ...]
    to_all: bool = True
    replaces: RoundId | None = None


@dataclass(frozen=True, slots=True)
class Retried:
    """Some lanes were asked a round again: by a retry, or as one step of a lane's re-run."""

    round: RoundId
    positions: tuple[TurnPosition, ...]
    rerun: bool = False


@dataclass(frozen=True, slots=True)
class Undone:
    """These lanes went back to what was before the round."""

    round: RoundId
    lanes: tuple[LaneId, ...]


@dataclass(frozen=True, slots=True)
class Picked:
    """An answer was picked to go on from. Shared mode: for all lanes, into which it and what led to it is
    copied. Own mode: for its lane, which of the repeats."""

    turn: TurnId
    copies: tuple[TurnPosition, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckedOut:
    """These lanes went to earlier turns of their own: of another version of a message, of another answer to
    the same, or, in shared mode, of the one that was picked."""

    heads: Mapping[LaneId, TurnId]


@dataclass(frozen=True, slots=True)
class Voted:
    """A vote was given or changed: the last one of a voter for a round and criterion counts."""

    vote: Vote


@dataclass(frozen=True, slots=True)
class Revealed:
    """The names were revealed; a session is not blind again after it."""


@dataclass(frozen=True, slots=True)
class ReceiptsChecked:
    """The receipts of a round were compared, once all its turns had ended."""

    round: RoundId
    mismatches: tuple[Mismatch, ...] = ()


SessionEvent: TypeAlias = (
    Opened
    | LaneAdded
    | LaneRemoved
    | LaneSwapped
    | LaneChanged
    | Reordered
    | ModeSet
    | Drawn
    | Asked
    | Retried
    | Undone
    | Picked
    | CheckedOut
    | Voted
    | Revealed
    | ReceiptsChecked
)

_TYPES: Mapping[str, type[SessionEvent]] = {
    "opened": Opened,
    "lane_added": LaneAdded,
    "lane_removed": LaneRemoved,
    "lane_swapped": LaneSwapped,
    "lane_changed": LaneChanged,
    "reordered": Reordered,
    "mode_set": ModeSet,
    "drawn": Drawn,
    "asked": Asked,
    "retried": Retried,
    "undone": Undone,
    "picked": Picked,
    "checked_out": CheckedOut,
    "voted": Voted,
    "revealed": Revealed,
    "checked": ReceiptsChecked,
}
_NAMES = {cls: name for name, cls in _TYPES.items()}
EVENT_TYPES: tuple[type[SessionEvent], ...] = tuple(_NAMES)
"""Every type of event there is."""

_OLDER_TYPES = {"walked": "checked_out"}
_OLDER_FIELDS = {"places": "positions"}
"""What sessions of before 2026-11-29 call a type or a field. They stay readable."""


def event_to_data(event: SessionEvent) -> dict[str, Any]:
    """Return the event as the store has it: its type's name, and its fields as JSON values."""
    values = adapter_of(type(event)).dump_python(event, mode="json")
    return {"type": _NAMES[type(event)], **values}


def event_from_data(data: Mapping[str, Any]) -> SessionEvent:
    """Return the event that was stored. Raises SessionError for an unknown type or a wrong field."""
    name = str(data.get("type"))
    cls = _TYPES.get(_OLDER_TYPES.get(name, name))
    if cls is None:
        raise SessionError("refusal.unknown-entry", type=data.get("type"))
    try:
        fields = {_OLDER_FIELDS.get(key, key): value for key, value in data.items() if key != "type"}
        return from_plain(cls, fields)
    except ValueError as exc:
        raise SessionError("refusal.unreadable-entry", type=data["type"], detail=exc) from exc


def positions_of(event: SessionEvent) -> tuple[TurnPosition, ...]:
    """Return the positions of the turns that an event adds."""
    if isinstance(event, LaneAdded | LaneSwapped):
        return event.history
    if isinstance(event, Asked | Retried):
        return event.positions
    return event.copies if isinstance(event, Picked) else ()


_WRITTEN = {"user", "note", "reasons", "label", "system", "parameters"}
"""The keys of events under which stands what people wrote, in which nothing is an id."""


def with_ids(data: Mapping[str, Any], new_ids: Mapping[str, str]) -> dict[str, Any]:
    """Return a stored event with other ids for turns and lanes' conversations, wherever it has one.

    The ids of lanes and rounds mean nothing outside of their session, and stay.
    """

    def moved(value: Any) -> Any:
        if isinstance(value, str):
            return new_ids.get(value, value)
        if isinstance(value, list | tuple):
            return [moved(item) for item in value]
        if isinstance(value, Mapping):
            return {key: item if key in _WRITTEN else moved(item) for key, item in value.items()}
        return value

    found: dict[str, Any] = moved(data)
    return found
