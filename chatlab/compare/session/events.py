"""What can happen in a comparison session: the entries of its log, as values and as the store keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import TypeAdapter

from chatlab.codec import from_plain
from chatlab.compare.model import Lane, Mode, Vote
from chatlab.errors import ChatlabError


class SessionError(ChatlabError):
    """What was asked for is not possible in this session as it stands; the sentence says why."""

    status = 409


@dataclass(frozen=True, slots=True)
class TurnPosition:
    """Where a turn stands: in a lane, as one of the answers to a round, after its parent in the same lane.

    repeat: which of the repeats, from 0. copied_from: the turn, of another lane, whose answer this repeats.
    """

    turn: str
    lane: str
    round: str
    parent: str | None
    repeat: int = 0
    copied_from: str | None = None

    @property
    def origin(self) -> str:
        """The turn in which the answer was given."""
        return self.copied_from or self.turn


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Lanes that were not sent what they should have been.

    turns: of one lane that was not sent what its history and the prompt come to, or of two that should have
    been sent the same and were not. reason: for people.
    """

    turns: tuple[str, ...]
    lanes: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Opened:
    """The first entry: how the session is meant."""

    mode: Mode = "own"
    blind: bool = False
    reveal: str = "together"
    repeats: int = 1
    criteria: tuple[str, ...] = ("overall",)
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LaneAdded:
    """history: turns copied into the new lane's conversation, from the first on."""

    lane: Lane
    conversation: str
    history: tuple[TurnPosition, ...] = ()


@dataclass(frozen=True, slots=True)
class LaneRemoved:
    """Its conversation stays in the store."""

    lane: str


@dataclass(frozen=True, slots=True)
class LaneSwapped:
    """Another lane in the place of one: a new id, so that no answer or vote is counted for the wrong one."""

    old: str
    lane: Lane
    conversation: str
    history: tuple[TurnPosition, ...] = ()


@dataclass(frozen=True, slots=True)
class LaneChanged:
    """Label, parameters or system prompt of a lane, from its next turn on; its id and backend stay."""

    lane: Lane


@dataclass(frozen=True, slots=True)
class Reordered:
    lanes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModeSet:
    mode: Mode


@dataclass(frozen=True, slots=True)
class Drawn:
    """Which letter hides which lane."""

    letters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Asked:
    """A message to some or all lanes, with the turns that answer it.

    user: the message as JSON (`event_json.message_to_json`). replaces: the round this is an edit of.
    """

    round: str
    user: Mapping[str, Any]
    places: tuple[TurnPosition, ...]
    to_all: bool = True
    replaces: str | None = None


@dataclass(frozen=True, slots=True)
class Retried:
    """A round answered anew by some lanes: by a retry, or as one step of a lane's re-run."""

    round: str
    places: tuple[TurnPosition, ...]
    rerun: bool = False


@dataclass(frozen=True, slots=True)
class Undone:
    """These lanes stand where they stood before the round."""

    round: str
    lanes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Picked:
    """The answer to go on from. Shared mode: for all lanes, into which it and what led to it is copied.
    Own mode: for its lane, which of the repeats."""

    turn: str
    copies: tuple[TurnPosition, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckedOut:
    """These lanes go on from earlier turns of their own again: of another version of a message, of another
    answer to the same, or, in shared mode, of the one that was picked."""

    heads: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Voted:
    """Given or changed: the last one of a voter for a round and criterion counts, all are kept."""

    vote: Vote


@dataclass(frozen=True, slots=True)
class Revealed:
    """The letters were taken off; a session is not blind again after it."""


@dataclass(frozen=True, slots=True)
class ReceiptsChecked:
    """What the receipts of a round say, once all its turns had ended."""

    round: str
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
    "walked": CheckedOut,
    "voted": Voted,
    "revealed": Revealed,
    "checked": ReceiptsChecked,
}
_NAMES = {cls: name for name, cls in _TYPES.items()}
_adapters: dict[type[Any], TypeAdapter[Any]] = {cls: TypeAdapter(cls) for cls in _TYPES.values()}


def event_to_data(entry: SessionEvent) -> dict[str, Any]:
    """The entry as the store keeps it."""
    return {"type": _NAMES[type(entry)], **_adapters[type(entry)].dump_python(entry, mode="json")}


def event_from_data(data: Mapping[str, Any]) -> SessionEvent:
    """The entry again. Raises SessionError for a type that this version does not know, or a wrong field."""
    cls = _TYPES.get(str(data.get("type")))
    if cls is None:
        raise SessionError(
            f"this session holds an entry of type {data.get('type')!r}, which this version of chatlab does "
            "not know: open it with the version that wrote it"
        )
    try:
        return from_plain(cls, {name: value for name, value in data.items() if name != "type"})
    except ValueError as exc:
        raise SessionError(f"an entry of type {data['type']} of this session cannot be read: {exc}") from exc


def positions_of(entry: SessionEvent) -> tuple[TurnPosition, ...]:
    """The turns that an entry puts in their places."""
    if isinstance(entry, LaneAdded | LaneSwapped):
        return entry.history
    if isinstance(entry, Asked | Retried):
        return entry.places
    return entry.copies if isinstance(entry, Picked) else ()


_WRITTEN = {"user", "note", "reasons", "label", "system", "parameters"}
"""The keys of entries under which stands what people wrote, in which nothing is an id."""


def with_ids(data: Mapping[str, Any], ids: Mapping[str, str]) -> dict[str, Any]:
    """An entry as the store keeps it, with other ids for turns and lanes' conversations, wherever it has
    one. Those of lanes and rounds mean nothing outside of their session, and stay."""

    def moved(value: Any) -> Any:
        if isinstance(value, str):
            return ids.get(value, value)
        if isinstance(value, list | tuple):
            return [moved(item) for item in value]
        if isinstance(value, Mapping):
            return {key: item if key in _WRITTEN else moved(item) for key, item in value.items()}
        return value

    found: dict[str, Any] = moved(data)
    return found
