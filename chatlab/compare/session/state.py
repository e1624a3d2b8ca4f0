"""A comparison session as the state its log comes to.

The log is append-only and the state a pure reduce_log over it: whoever reads the same entries has the same
session, after a restart and in a second tab alike. What people and models said is not in the state but in
the lanes' stored turns; the state says which turn stands where. `events` says what can happen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

from chatlab.codec import message_from_json
from chatlab.compare.model import Lane, Mode, Vote
from chatlab.compare.session.events import (
    Asked,
    CheckedOut,
    Drawn,
    LaneAdded,
    LaneChanged,
    LaneRemoved,
    LaneSwapped,
    Mismatch,
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
from chatlab.messages import Message, Notice
from chatlab.store import LogEntry, StoredTurn
from chatlab.turns import fit

MOST_LANES = 8


@dataclass(frozen=True, slots=True)
class Round:
    """One message, and the turns that answer it now, by lane: as many as there are repeats.

    to_all: asked of every lane there was. replaces: the round it is an edit of. place: sorts rounds as a
    person reads them, an edit beside what it replaces. given: by lane every answer there ever was, in the
    order they were asked for; `turns` has one of them.
    """

    id: str
    user: Message
    to_all: bool
    turns: Mapping[str, tuple[str, ...]]
    replaces: str | None
    place: tuple[int, int]
    given: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SessionState:
    """A session at one moment. `seq` is the last entry that is part of it.

    lanes: the present ones, in their order. heads: the last turn of each present lane; None before its first.
    trail: by lane, where it stood, from its first turn on. letters: by lane, once they are drawn. votes: all
    ever given. checked: by round.
    """

    seq: int = 0
    opened: Opened = field(default_factory=Opened)
    mode: Mode = "own"
    lanes: tuple[Lane, ...] = ()
    removed: tuple[Lane, ...] = ()
    conversations: Mapping[str, str] = field(default_factory=dict)
    heads: Mapping[str, str | None] = field(default_factory=dict)
    trail: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    places: Mapping[str, TurnPosition] = field(default_factory=dict)
    rounds: Mapping[str, Round] = field(default_factory=dict)
    letters: Mapping[str, str] = field(default_factory=dict)
    revealed: bool = False
    votes: tuple[Vote, ...] = ()
    checked: Mapping[str, tuple[Mismatch, ...]] = field(default_factory=dict)

    @property
    def hidden(self) -> bool:
        """Whether names must not be told."""
        return self.opened.blind and not self.revealed

    def lane(self, id: str) -> Lane:
        """A lane, present or removed. Raises SessionError."""
        for lane in (*self.lanes, *self.removed):
            if lane.id == id:
                return lane
        raise SessionError("there is no such lane in this session")

    def round(self, id: str) -> Round:
        """Raises SessionError."""
        if id not in self.rounds:
            raise SessionError("there is no such message in this session")
        return self.rounds[id]

    def path(self, last: str | None) -> tuple[TurnPosition, ...]:
        """The turns of a lane from its first to this one."""
        found: list[TurnPosition] = []
        while last is not None:
            found.append(self.places[last])
            last = found[-1].parent
        return tuple(reversed(found))

    def history(self, lane: str) -> tuple[TurnPosition, ...]:
        """The turns that a present lane goes on from. Raises SessionError."""
        if lane not in self.heads:
            raise SessionError("there is no such lane in this session")
        return self.path(self.heads[lane])

    def standing(self, lane: str, round: str) -> TurnPosition | None:
        """The turn of a round that a lane goes on from, if it does from one."""
        return next((place for place in self.history(lane) if place.round == round), None)

    def stood(self, lane: str, round: str, answer: Sequence[str] | None = None) -> str | None:
        """The turn where a lane stood last that goes on from a round: from any answer to it, or from this."""
        for head in reversed(self.trail.get(lane, ())):
            for place in self.path(head):
                if place.round == round and (answer is None or place.turn in answer):
                    return head
        return None

    def versions(self, round: str) -> tuple[Round, ...]:
        """A message and what it was edited to, or from, in the order they were asked. Raises SessionError."""
        first = self.round(round).place[0]
        found = (one for one in self.rounds.values() if one.place[0] == first)
        return tuple(sorted(found, key=lambda one: one.place))

    def apart(self, round: str) -> tuple[str, ...]:
        """The present lanes that answered a round and do not go on from it now."""
        answered = (lane.id for lane in self.lanes if lane.id in self.round(round).given)
        return tuple(lane for lane in answered if self.standing(lane, round) is None)

    def judges(self, vote: Vote) -> bool:
        """Whether a vote is on the answers that its round has now; of a vote from before votes said which
        they are on, that is taken to be so."""
        now = {turn for turns in self.round(vote.round).turns.values() for turn in turns}
        return now.issuperset(vote.answers)

    @property
    def visible(self) -> tuple[Round, ...]:
        """The rounds that some present lane goes on from, as a person reads them."""
        ids = {place.round for lane in self.heads for place in self.history(lane)}
        return tuple(sorted((self.rounds[id] for id in ids), key=lambda round: round.place))

    @property
    def common(self) -> bool:
        """Whether all present lanes go on from the same answers."""
        return len({tuple(place.origin for place in self.history(lane)) for lane in self.heads}) <= 1

    def shown(self, round: Round) -> tuple[str, ...]:
        """The lanes that answered a round, from left to right as a person sees them."""
        if self.hidden:
            return tuple(
                sorted((lane for lane in round.turns if lane in self.heads), key=self.letters.__getitem__)
            )
        return tuple(lane.id for lane in self.lanes if lane.id in round.turns)

    @property
    def current_votes(self) -> tuple[Vote, ...]:
        """The votes that count: of each voter the last for a round and criterion."""
        last = {(vote.round, vote.criterion, vote.voter): vote for vote in self.votes}
        return tuple(last.values())


def reduce_log(entries: Iterable[LogEntry], state: SessionState | None = None) -> SessionState:
    """The state after these entries. Raises SessionError for one that is not known or cannot follow."""
    state = state or SessionState()
    for logged in entries:
        state = replace(reduce(state, event_from_data(logged.data)), seq=logged.seq)
    return state


def reduce(state: SessionState, entry: SessionEvent) -> SessionState:
    """The state after one more entry. Raises SessionError for one that cannot follow."""
    if isinstance(entry, Opened):
        return replace(state, opened=entry, mode=entry.mode)
    if isinstance(entry, LaneAdded):
        if len(state.lanes) >= MOST_LANES:
            raise SessionError(f"a comparison has at most {MOST_LANES} lanes")
        state = replace(state, lanes=(*state.lanes, entry.lane))
        return _with_history(state, entry.lane.id, entry.conversation, entry.history)
    if isinstance(entry, LaneRemoved):
        return _without(state, entry.lane)
    if isinstance(entry, LaneSwapped):
        at = state.lanes.index(state.lane(entry.old))
        state = _without(state, entry.old)
        state = replace(state, lanes=(*state.lanes[:at], entry.lane, *state.lanes[at:]))
        return _with_history(state, entry.lane.id, entry.conversation, entry.history)
    if isinstance(entry, LaneChanged):
        state.lane(entry.lane.id)
        lanes = tuple(entry.lane if lane.id == entry.lane.id else lane for lane in state.lanes)
        return replace(state, lanes=lanes)
    if isinstance(entry, Reordered):
        if sorted(entry.lanes) != sorted(lane.id for lane in state.lanes):
            raise SessionError("name every lane once, in the new order")
        return replace(state, lanes=tuple(state.lane(id) for id in entry.lanes))
    if isinstance(entry, ModeSet):
        return replace(state, mode=entry.mode)
    if isinstance(entry, Drawn):
        return replace(state, letters=entry.letters)
    if isinstance(entry, Asked):
        sort = len(state.rounds)
        first = state.round(entry.replaces).place[0] if entry.replaces else sort
        user = message_from_json(entry.user)
        round = Round(entry.round, user, entry.to_all, {}, entry.replaces, (first, sort))
        return _placed(replace(state, rounds={**state.rounds, round.id: round}), round.id, entry.places)
    if isinstance(entry, Retried):
        return _placed(state, entry.round, entry.places)
    if isinstance(entry, Undone):
        return _stand(state, {lane: _parent(state, lane, entry.round) for lane in entry.lanes})
    if isinstance(entry, Picked):
        chosen = state.places[entry.turn]
        picked = {place.lane: place.turn for place in entry.copies}
        if chosen.lane in state.heads:
            picked[chosen.lane] = chosen.turn
        places = {**state.places, **{place.turn: place for place in entry.copies}}
        return _stand(replace(state, places=places), picked)
    if isinstance(entry, CheckedOut):
        return _walked(state, entry.heads)
    if isinstance(entry, Voted):
        return replace(state, votes=(*state.votes, entry.vote))
    if isinstance(entry, Revealed):
        return replace(state, revealed=True)
    if isinstance(entry, ReceiptsChecked):
        return replace(state, checked={**state.checked, entry.round: entry.mismatches})
    assert_never(entry)


def _with_history(
    state: SessionState, lane: str, conversation: str, history: Sequence[TurnPosition]
) -> SessionState:
    state = replace(
        state,
        conversations={**state.conversations, lane: conversation},
        places={**state.places, **{place.turn: place for place in history}},
    )
    return _stand(state, {lane: history[-1].turn if history else None})


def _without(state: SessionState, id: str) -> SessionState:
    gone = state.lane(id)
    return replace(
        state,
        lanes=tuple(lane for lane in state.lanes if lane.id != id),
        removed=(*state.removed, gone),
        heads={lane: head for lane, head in state.heads.items() if lane != id},
    )


def _placed(state: SessionState, round: str, places: Sequence[TurnPosition]) -> SessionState:
    """A round answered by these turns; each lane goes on from the first of its own."""
    asked: dict[str, tuple[str, ...]] = {}
    for place in places:
        asked[place.lane] = (*asked.get(place.lane, ()), place.turn)
    known = state.round(round)
    given = {lane: (*known.given.get(lane, ()), turns) for lane, turns in asked.items()}
    answered = replace(known, turns={**known.turns, **asked}, given={**known.given, **given})
    state = replace(
        state,
        rounds={**state.rounds, round: answered},
        places={**state.places, **{place.turn: place for place in places}},
    )
    return _stand(state, {lane: turns[0] for lane, turns in asked.items()})


def _stand(state: SessionState, heads: Mapping[str, str | None]) -> SessionState:
    """These lanes go on from these turns."""
    trail = {lane: (*state.trail.get(lane, ()), head) for lane, head in heads.items() if head is not None}
    return replace(state, heads={**state.heads, **heads}, trail={**state.trail, **trail})


def _walked(state: SessionState, heads: Mapping[str, str]) -> SessionState:
    """These lanes stand where they stood; what led to it is what answers its rounds again."""
    rounds = dict(state.rounds)
    for lane, head in heads.items():
        if lane not in state.heads or head not in state.places or state.places[head].lane != lane:
            raise SessionError("a lane can go on only from an answer in its own conversation")
        for place in state.path(head):
            round = rounds[place.round]
            for answer in round.given.get(lane, ()):
                if place.turn in answer:
                    rounds[round.id] = replace(round, turns={**round.turns, lane: answer})
    return _stand(replace(state, rounds=rounds), heads)


def _parent(state: SessionState, lane: str, round: str) -> str | None:
    standing = state.standing(lane, round)
    if standing is None:
        raise SessionError("this lane does not go on from that message")
    return standing.parent


# -- what a lane should be sent


def expected_messages(
    state: SessionState, turns: Mapping[str, StoredTurn], lane: str, round: str
) -> tuple[Message, ...]:
    """What a lane should be sent for a round: its own history, and the round's message.

    Without the system prompt, and before anything that its backend cannot take is left out of it.
    """
    return prompt(state, turns, state.places[state.round(round).turns[lane][0]])[0]


def prompt(
    state: SessionState, turns: Mapping[str, StoredTurn], place: TurnPosition
) -> tuple[tuple[Message, ...], tuple[Notice, ...]]:
    """What should be sent for one turn, and what of the lane's history is no part of it: see `fit.prompt`."""
    earlier = (
        (state.rounds[before.round].user, turns[before.turn].answer) for before in state.path(place.parent)
    )
    return fit.prompt(earlier, state.rounds[place.round].user)


def to_rerun(state: SessionState, lane: str) -> tuple[tuple[Round, ...], str | None]:
    """The rounds that a re-run asks a lane, and the turn it goes on from: in own mode, from the start, all
    that it stands on and those that were asked of all before it came; in shared mode the last one."""
    stands_on = {place.round: place for place in state.history(lane)}
    if state.mode == "shared":
        last = state.visible[-1:]
        standing = stands_on.get(last[0].id) if last else None
        return last, standing.parent if standing else state.heads[lane]
    return tuple(
        round
        for round in state.visible
        if round.id in stands_on or (round.to_all and lane not in round.turns)
    ), None


_RUN_ROUND = re.compile(r"(\d+)\.(\d+)")  # of a run of many prompts: the prompt's number, and which message


def is_run(state: SessionState) -> bool:
    """Whether it is a run of many prompts, in which every round but a later step of one begins anew."""
    return bool(state.rounds) and all(_RUN_ROUND.fullmatch(id) for id in state.rounds)


def rounds_shown(state: SessionState) -> tuple[Round, ...]:
    """The rounds that a reader is shown: of a run all, in the order of its prompts whichever was done first;
    of a session those that some lane goes on from."""
    if not is_run(state):
        return state.visible
    return tuple(sorted(state.rounds.values(), key=lambda round: [*map(int, round.id.split("."))]))


def in_order(state: SessionState, round: Round) -> list[str]:
    """The lanes that answered a round, as they stand on the page, then those that were removed."""
    order = [lane.id for lane in (*state.lanes, *state.removed)]
    return [id for id in order if id in round.turns]
