"""The state of a comparison session, which `reduce` makes from its events.

What people and models said is not in the state but in
the lanes' stored turns; the state says at which position each turn is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from chatlab.compare.model import Lane, Mode, Vote
from chatlab.compare.session.events import Mismatch, Opened, SessionError, TurnPosition
from chatlab.ids import ConversationId, LaneId, RoundId, TurnId
from chatlab.messages import Message, Notice
from chatlab.store import StoredTurn
from chatlab.turns import fit


@dataclass(frozen=True, slots=True)
class Round:
    """One message, and the turns that answer it now, by lane: as many as there are repeats.

    to_all: asked of every lane there was. replaces: the round it is an edit of. sort_key: sorts rounds as a
    person reads them, an edit beside what it replaces. attempts: by lane the turns of every time it was
    asked this, in order; `turns` has those of one of them. together: the turns that were asked at the same
    time, each time some were.
    """

    id: RoundId
    user: Message
    to_all: bool
    turns: Mapping[LaneId, tuple[TurnId, ...]]
    replaces: RoundId | None
    sort_key: tuple[int, int]
    attempts: Mapping[LaneId, tuple[tuple[TurnId, ...], ...]] = field(default_factory=dict)
    together: tuple[frozenset[TurnId], ...] = ()


@dataclass(frozen=True, slots=True)
class SessionState:
    """A session at one moment. `seq` is the number of the last event that is part of it.

    lanes: the present ones, in their order. heads: the last turn of each present lane; None before its first.
    head_history: by lane every head it ever had, in order. letters: by lane, once they are drawn. votes: all
    ever given. checked: the mismatches of each round whose receipts were compared.
    """

    seq: int = 0
    opened: Opened = field(default_factory=Opened)
    mode: Mode = "own"
    lanes: tuple[Lane, ...] = ()
    removed: tuple[Lane, ...] = ()
    conversations: Mapping[LaneId, ConversationId] = field(default_factory=dict)
    heads: Mapping[LaneId, TurnId | None] = field(default_factory=dict)
    head_history: Mapping[LaneId, tuple[TurnId, ...]] = field(default_factory=dict)
    positions: Mapping[TurnId, TurnPosition] = field(default_factory=dict)
    rounds: Mapping[RoundId, Round] = field(default_factory=dict)
    letters: Mapping[LaneId, str] = field(default_factory=dict)
    revealed: bool = False
    votes: tuple[Vote, ...] = ()
    checked: Mapping[RoundId, tuple[Mismatch, ...]] = field(default_factory=dict)

    @property
    def hidden(self) -> bool:
        """Return whether names must not be told."""
        return self.opened.blind and not self.revealed

    def lane(self, lane_id: LaneId) -> Lane:
        """Return a lane, present or removed. Raises SessionError."""
        for lane in (*self.lanes, *self.removed):
            if lane.id == lane_id:
                return lane
        raise SessionError("refusal.no-lane")

    def round(self, round_id: RoundId) -> Round:
        """Return a round. Raises SessionError for an id that there is not."""
        found = self.rounds.get(round_id)
        if found is None:
            raise SessionError("refusal.no-message")
        return found

    def path(self, last: TurnId | None) -> tuple[TurnPosition, ...]:
        """Return the positions of a lane's turns from its first to this one."""
        found: list[TurnPosition] = []
        while last is not None:
            found.append(self.positions[last])
            last = found[-1].parent
        return tuple(reversed(found))

    def history(self, lane_id: LaneId) -> tuple[TurnPosition, ...]:
        """Return the turns that a present lane goes on from. Raises SessionError."""
        if lane_id not in self.heads:
            raise SessionError("refusal.no-lane")
        return self.path(self.heads[lane_id])

    def position_in(self, lane_id: LaneId, round_id: RoundId) -> TurnPosition | None:
        """Return the turn of a round that a lane goes on from, if it goes on from one."""
        return next((one for one in self.history(lane_id) if one.round == round_id), None)

    def previous_head(
        self, lane_id: LaneId, round_id: RoundId, answers: Sequence[TurnId] | None = None
    ) -> TurnId | None:
        """Return the last head of a lane that goes on from a round: from any answer to it, or from these."""
        for head in reversed(self.head_history.get(lane_id, ())):
            for position in self.path(head):
                if position.round == round_id and (answers is None or position.turn in answers):
                    return head
        return None

    def versions(self, round_id: RoundId) -> tuple[Round, ...]:
        """Return a message and its edits in the order they were asked. Raises SessionError."""
        first = self.round(round_id).sort_key[0]
        found = (one for one in self.rounds.values() if one.sort_key[0] == first)
        return tuple(sorted(found, key=lambda one: one.sort_key))

    def lanes_elsewhere(self, round_id: RoundId) -> tuple[LaneId, ...]:
        """Return the present lanes that answered a round and do not go on from it now."""
        answered = (lane.id for lane in self.lanes if lane.id in self.round(round_id).attempts)
        return tuple(lane_id for lane_id in answered if self.position_in(lane_id, round_id) is None)

    def is_current(self, vote: Vote) -> bool:
        """Return whether a vote is on the answers its round has now; old votes do not say, and are."""
        current = {turn for turns in self.round(vote.round).turns.values() for turn in turns}
        return current.issuperset(vote.answers)

    def asked_with(self, turn_id: TurnId) -> frozenset[TurnId]:
        """Return the turns that were asked at the same time as one, and it; of removed lanes too."""
        asked = self.rounds[self.positions[turn_id].round]
        return next((group for group in asked.together if turn_id in group), frozenset((turn_id,)))

    @property
    def visible(self) -> tuple[Round, ...]:
        """Return the rounds that some present lane goes on from, as a person reads them."""
        ids = {position.round for lane_id in self.heads for position in self.history(lane_id)}
        return tuple(sorted((self.rounds[one] for one in ids), key=lambda one: one.sort_key))

    @property
    def common(self) -> bool:
        """Return whether all present lanes go on from the same answers."""
        return len({tuple(one.origin for one in self.history(lane_id)) for lane_id in self.heads}) <= 1

    def shown(self, asked: Round) -> tuple[LaneId, ...]:
        """Return the lanes that answered a round, from left to right as a person sees them."""
        if self.hidden:
            present = (lane_id for lane_id in asked.turns if lane_id in self.heads)
            return tuple(sorted(present, key=self.letters.__getitem__))
        return tuple(lane.id for lane in self.lanes if lane.id in asked.turns)

    @property
    def current_votes(self) -> tuple[Vote, ...]:
        """Return the votes that count: of each voter the last for a round and criterion."""
        last = {(vote.round, vote.criterion, vote.voter): vote for vote in self.votes}
        return tuple(last.values())


# -- what a lane should be sent


def prompt(
    state: SessionState, turns: Mapping[TurnId, StoredTurn], position: TurnPosition
) -> tuple[tuple[Message, ...], tuple[Notice, ...]]:
    """Return what should be sent for one turn, and notices of what of the history is no part of it.

    See `fit.prompt`.
    """
    earlier = (
        (state.rounds[before.round].user, turns[before.turn].answer) for before in state.path(position.parent)
    )
    return fit.prompt(earlier, state.rounds[position.round].user)


def to_rerun(state: SessionState, lane_id: LaneId) -> tuple[tuple[Round, ...], TurnId | None]:
    """Return the rounds that a re-run asks a lane, and the turn it goes on from.

    In own mode, from the start, all that the lane goes on from and those that were asked of all before it
    came; in shared mode the last one.
    """
    own = {position.round: position for position in state.history(lane_id)}
    if state.mode == "shared":
        last = state.visible[-1:]
        position = own.get(last[0].id) if last else None
        return last, position.parent if position else state.heads[lane_id]
    return tuple(
        asked for asked in state.visible if asked.id in own or (asked.to_all and lane_id not in asked.turns)
    ), None


_RUN_ROUND = re.compile(r"(\d+)\.(\d+)")  # of a run of many prompts: the prompt's number, and which message


def is_run(state: SessionState) -> bool:
    """Return whether it is a run of many prompts, in which every round but a later step of one
    begins anew.
    """
    return bool(state.rounds) and all(_RUN_ROUND.fullmatch(round_id) for round_id in state.rounds)


def rounds_shown(state: SessionState) -> tuple[Round, ...]:
    """Return the rounds that a reader is shown.

    Of a run all, in the order of its prompts whichever was done first, and then what was asked since; of a
    session those that some lane goes on from.
    """
    run = [one for round_id, one in state.rounds.items() if _RUN_ROUND.fullmatch(round_id)]
    run.sort(key=lambda one: [*map(int, one.id.split("."))])
    return (*run, *(one for one in state.visible if not _RUN_ROUND.fullmatch(one.id)))


def in_order(state: SessionState, asked: Round) -> list[LaneId]:
    """Return the lanes that answered a round, in the order of the page, then those that were removed."""
    order = [lane.id for lane in (*state.lanes, *state.removed)]
    return [lane_id for lane_id in order if lane_id in asked.turns]
