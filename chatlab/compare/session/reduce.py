"""The session's state after each event: a pure function of the events.

Whoever reads the same events has the same session, after a restart and in a second tab alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import singledispatch

from chatlab.codec import message_from_json
from chatlab.compare.session.events import (
    Asked,
    CheckedOut,
    Drawn,
    LaneAdded,
    LaneChanged,
    LaneRemoved,
    LaneSwapped,
    ModeSet,
    Opened,
    Picked,
    ReceiptsChecked,
    Reordered,
    Retried,
    Revealed,
    SessionError,
    SessionEvent,
    TurnPosition,
    Undone,
    Voted,
    event_from_data,
)
from chatlab.compare.session.state import Round, SessionState
from chatlab.ids import ConversationId, LaneId, RoundId, TurnId
from chatlab.store import LogEntry

MOST_LANES = 8


def reduce_log(entries: Iterable[LogEntry], state: SessionState | None = None) -> SessionState:
    """Return the state after these stored events, from the beginning or from `state`.

    Raises SessionError for one that is not known or cannot follow.
    """
    state = state or SessionState()
    for logged in entries:
        state = replace(reduce(state, event_from_data(logged.data)), seq=logged.seq)
    return state


def reduce(state: SessionState, event: SessionEvent) -> SessionState:
    """Return the state after one more event. Raises SessionError for one that cannot follow."""
    return reduced(event, state)


@singledispatch
def reduced(event: SessionEvent, state: SessionState) -> SessionState:
    """Return the state after an event; each type of event has a function of its own below."""
    raise TypeError(f"no state follows from {type(event).__name__}")


@reduced.register
def _(event: Opened, state: SessionState) -> SessionState:
    return replace(state, opened=event, mode=event.mode)


@reduced.register
def _(event: LaneAdded, state: SessionState) -> SessionState:
    if len(state.lanes) >= MOST_LANES:
        raise SessionError("refusal.most-lanes", most=MOST_LANES)
    state = replace(state, lanes=(*state.lanes, event.lane))
    return _with_history(state, event.lane.id, event.conversation, event.history)


@reduced.register
def _(event: LaneRemoved, state: SessionState) -> SessionState:
    return _without(state, event.lane)


@reduced.register
def _(event: LaneSwapped, state: SessionState) -> SessionState:
    at = state.lanes.index(state.lane(event.old))
    state = _without(state, event.old)
    state = replace(state, lanes=(*state.lanes[:at], event.lane, *state.lanes[at:]))
    return _with_history(state, event.lane.id, event.conversation, event.history)


@reduced.register
def _(event: LaneChanged, state: SessionState) -> SessionState:
    state.lane(event.lane.id)
    return replace(
        state, lanes=tuple(event.lane if lane.id == event.lane.id else lane for lane in state.lanes)
    )


@reduced.register
def _(event: Reordered, state: SessionState) -> SessionState:
    if sorted(event.lanes) != sorted(lane.id for lane in state.lanes):
        raise SessionError("refusal.lane-order")
    return replace(state, lanes=tuple(state.lane(lane_id) for lane_id in event.lanes))


@reduced.register
def _(event: ModeSet, state: SessionState) -> SessionState:
    return replace(state, mode=event.mode)


@reduced.register
def _(event: Drawn, state: SessionState) -> SessionState:
    return replace(state, letters=event.letters)


@reduced.register
def _(event: Asked, state: SessionState) -> SessionState:
    number = len(state.rounds)
    first = state.round(event.replaces).sort_key[0] if event.replaces else number
    user = message_from_json(event.user)
    asked = Round(event.round, user, event.to_all, {}, event.replaces, (first, number))
    return _answered(replace(state, rounds={**state.rounds, asked.id: asked}), event.round, event.positions)


@reduced.register
def _(event: Retried, state: SessionState) -> SessionState:
    return _answered(state, event.round, event.positions)


@reduced.register
def _(event: Undone, state: SessionState) -> SessionState:
    return _with_heads(state, {lane_id: _parent(state, lane_id, event.round) for lane_id in event.lanes})


@reduced.register
def _(event: Picked, state: SessionState) -> SessionState:
    chosen = state.positions[event.turn]
    heads = {copy.lane: copy.turn for copy in event.copies}
    if chosen.lane in state.heads:
        heads[chosen.lane] = chosen.turn
    positions = {**state.positions, **{copy.turn: copy for copy in event.copies}}
    return _with_heads(replace(state, positions=positions), heads)


@reduced.register
def _(event: CheckedOut, state: SessionState) -> SessionState:
    rounds = dict(state.rounds)
    for lane_id, head in event.heads.items():
        known = lane_id in state.heads and head in state.positions
        if not known or state.positions[head].lane != lane_id:
            raise SessionError("refusal.own-conversation")
        for position in state.path(head):  # what led to it is what answers its rounds again
            asked = rounds[position.round]
            for answer in asked.attempts.get(lane_id, ()):
                if position.turn in answer:
                    rounds[asked.id] = replace(asked, turns={**asked.turns, lane_id: answer})
    return _with_heads(replace(state, rounds=rounds), event.heads)


@reduced.register
def _(event: Voted, state: SessionState) -> SessionState:
    return replace(state, votes=(*state.votes, event.vote))


@reduced.register
def _(event: Revealed, state: SessionState) -> SessionState:
    return replace(state, revealed=True)


@reduced.register
def _(event: ReceiptsChecked, state: SessionState) -> SessionState:
    return replace(state, checked={**state.checked, event.round: event.mismatches})


def _with_history(
    state: SessionState, lane_id: LaneId, conversation: ConversationId, history: Sequence[TurnPosition]
) -> SessionState:
    """Return the state in which a lane goes on from this history."""
    state = replace(
        state,
        conversations={**state.conversations, lane_id: conversation},
        positions={**state.positions, **{position.turn: position for position in history}},
    )
    return _with_heads(state, {lane_id: history[-1].turn if history else None})


def _without(state: SessionState, lane_id: LaneId) -> SessionState:
    gone = state.lane(lane_id)
    return replace(
        state,
        lanes=tuple(lane for lane in state.lanes if lane.id != lane_id),
        removed=(*state.removed, gone),
        heads={other: head for other, head in state.heads.items() if other != lane_id},
    )


def _answered(state: SessionState, round_id: RoundId, positions: Sequence[TurnPosition]) -> SessionState:
    """Return the state in which these turns answer a round; each lane goes on from the first of its own."""
    asked: dict[LaneId, tuple[TurnId, ...]] = {}
    for position in positions:
        asked[position.lane] = (*asked.get(position.lane, ()), position.turn)
    known = state.round(round_id)
    attempts = {lane_id: (*known.attempts.get(lane_id, ()), turns) for lane_id, turns in asked.items()}
    together = (*known.together, frozenset(position.turn for position in positions))
    answered = replace(
        known, turns={**known.turns, **asked}, attempts={**known.attempts, **attempts}, together=together
    )
    state = replace(
        state,
        rounds={**state.rounds, round_id: answered},
        positions={**state.positions, **{position.turn: position for position in positions}},
    )
    return _with_heads(state, {lane_id: turns[0] for lane_id, turns in asked.items()})


def _with_heads(state: SessionState, heads: Mapping[LaneId, TurnId | None]) -> SessionState:
    """Return the state in which these lanes go on from these turns."""
    history = {
        lane_id: (*state.head_history.get(lane_id, ()), head)
        for lane_id, head in heads.items()
        if head is not None
    }
    return replace(state, heads={**state.heads, **heads}, head_history={**state.head_history, **history})


def _parent(state: SessionState, lane_id: LaneId, round_id: RoundId) -> TurnId | None:
    position = state.position_in(lane_id, round_id)
    if position is None:
        raise SessionError("refusal.not-from-there")
    return position.parent
