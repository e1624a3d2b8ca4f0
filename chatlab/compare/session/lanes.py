"""Lanes made from what was asked for, and one lane's history copied into another's."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from chatlab.compare.model import Lane
from chatlab.compare.session.events import SessionError, TurnPosition
from chatlab.compare.session.state import SessionState
from chatlab.config.models import CompareLane
from chatlab.config.registry import Entry
from chatlab.messages import TextPart
from chatlab.store import StoredTurn, new_id, now


def new_lane(spec: str | CompareLane, backends: Mapping[str, Entry], others: Collection[Lane]) -> Lane:
    """A lane with an id of its own, and a label that none of the others has.

    Raises ConfigError for a backend that does not exist, SessionError for a parameter it does not take.
    """
    if isinstance(spec, str):
        spec = CompareLane(backend=spec)
    entry = backends[spec.backend]
    known = {parameter.name: parameter for parameter in entry.capabilities.parameters}
    for name, value in spec.parameters.items():
        if name not in known:
            raise SessionError(
                f"{entry.label} has no parameter {name}: it takes {', '.join(known) or 'none'}"
            )
        problem = known[name].problem(value)
        if problem is not None:
            raise SessionError(f"{entry.label}: {name} {problem}")
    label = wanted = spec.label or entry.label
    taken = {lane.label for lane in others}
    number = 1
    while label in taken:
        number += 1
        label = f"{wanted} ({number})"
    return Lane(new_id(), spec.backend, label, dict(spec.parameters), spec.system)


def without_answer(turn: StoredTurn) -> bool:
    """Whether there is no text in it that a conversation could go on from."""
    return not any(isinstance(part, TextPart) and part.text for part in turn.answer)


def copied(
    path: Sequence[TurnPosition],
    have: Sequence[TurnPosition],
    turns: Mapping[str, StoredTurn],
    lane: str,
    conversation: str,
) -> list[tuple[TurnPosition, StoredTurn]]:
    """The turns that make a lane go on from the same answers as `path`: copies of those from which on its
    own history, `have`, is another. Each copy says where its answer was given."""
    same = 0
    for ours, theirs in zip(have, path, strict=False):
        if ours.origin != theirs.origin:
            break
        same += 1
    parent = have[same - 1].turn if same else None
    made: list[tuple[TurnPosition, StoredTurn]] = []
    for place in path[same:]:
        copy = TurnPosition(new_id(), lane, place.round, parent, place.repeat, place.origin)
        made.append(
            (
                copy,
                replace(
                    turns[place.turn],
                    id=copy.turn,
                    conversation=conversation,
                    parent=parent,
                    created=now(),
                    copied_from=place.origin,
                ),
            )
        )
        parent = copy.turn
    return made


def lost(state: SessionState, place: TurnPosition, owner: str) -> StoredTurn:
    """What stands for a turn that the log names and the store does not have."""
    """A turn that the log names and the store has not: the server ended before it was written."""
    lane, round = state.lane(place.lane), state.rounds[place.round]
    return StoredTurn(
        *(place.turn, owner, state.conversations[lane.id], place.parent, now(), round.user),
        *(lane.backend, "", lane.label, lane.parameters, lane.system),
        status="interrupted",
        error="this answer was lost: the server ended before it was saved",
    )
