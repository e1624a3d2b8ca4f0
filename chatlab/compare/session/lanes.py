"""Making lanes from what was asked for, and copying one lane's history into another's."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from chatlab.compare.model import Lane
from chatlab.compare.session.events import SessionError, TurnPosition
from chatlab.config.models import CompareLane
from chatlab.config.registry import Entry
from chatlab.ids import ConversationId, LaneId, TurnId
from chatlab.messages import TextPart
from chatlab.store import StoredTurn, new_id, now

if TYPE_CHECKING:
    from chatlab.compare.session.state import SessionState


def new_lane(spec: str | CompareLane, backends: Mapping[str, Entry], others: Collection[Lane]) -> Lane:
    """Return a lane with an id of its own, and a label that none of the others has.

    Raises ConfigError for a backend that does not exist, SessionError for a parameter it does not take.
    """
    if isinstance(spec, str):
        spec = CompareLane(backend=spec)
    entry = backends[spec.backend]
    known = {parameter.name: parameter for parameter in entry.capabilities.parameters}
    for name, value in spec.parameters.items():
        if name not in known:
            raise SessionError(
                "refusal.no-parameter", label=entry.label, name=name, names=", ".join(known) or "none"
            )
        problem = known[name].problem(value)
        if problem is not None:
            raise SessionError("refusal.parameter", label=entry.label, name=name, problem=problem)
    label = wanted = spec.label or entry.label
    taken = {lane.label for lane in others}
    number = 1
    while label in taken:
        number += 1
        label = f"{wanted} ({number})"
    return Lane(LaneId(new_id()), spec.backend, label, dict(spec.parameters), spec.system)


def without_answer(turn: StoredTurn) -> bool:
    """Return whether there is no text in it that a conversation could go on from."""
    return not any(isinstance(part, TextPart) and part.text for part in turn.answer)


def copied(
    path: Sequence[TurnPosition],
    have: Sequence[TurnPosition],
    turns: Mapping[TurnId, StoredTurn],
    lane_id: LaneId,
    conversation: ConversationId,
) -> list[tuple[TurnPosition, StoredTurn]]:
    """Return the copies that make a lane go on from the same answers as `path`.

    They are of the turns from which on the lane's own history, `have`, is another. Each copy says where its
    answer was given.
    """
    same = 0
    for ours, theirs in zip(have, path, strict=False):
        if ours.origin != theirs.origin:
            break
        same += 1
    parent = have[same - 1].turn if same else None
    made: list[tuple[TurnPosition, StoredTurn]] = []
    for position in path[same:]:
        copy = TurnPosition(
            turn=TurnId(new_id()),
            lane=lane_id,
            round=position.round,
            parent=parent,
            repeat=position.repeat,
            copied_from=position.origin,
        )
        turn = replace(
            turns[position.turn],
            id=copy.turn,
            conversation=conversation,
            parent=parent,
            created=now(),
            copied_from=position.origin,
        )
        made.append((copy, turn))
        parent = copy.turn
    return made


def lost(state: SessionState, position: TurnPosition, owner: str) -> StoredTurn:
    """Return what stands for a turn that the log names and the store has not.

    The server ended before it was written.
    """
    lane = state.lane(position.lane)
    return StoredTurn(
        id=position.turn,
        owner=owner,
        conversation=state.conversations[lane.id],
        parent=position.parent,
        created=now(),
        user=state.rounds[position.round].user,
        backend=lane.backend,
        kind="",
        label=lane.label,
        parameters=lane.parameters,
        system=lane.system,
        status="interrupted",
        error="this answer was lost: the server ended before it was saved",
    )
