"""Changing the lanes of a comparison session: its first ones, then adding, swapping and removing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from chatlab.compare.model import Lane, Mode
from chatlab.compare.session.blind import draw
from chatlab.compare.session.branches import Branches
from chatlab.compare.session.events import (
    Drawn,
    LaneAdded,
    LaneChanged,
    LaneRemoved,
    LaneSwapped,
    ModeSet,
    Opened,
    Reordered,
    SessionError,
    SessionEvent,
    TurnPosition,
)
from chatlab.compare.session.from_chat import rounds_of_chat
from chatlab.compare.session.lanes import copied, new_lane
from chatlab.compare.session.record import SessionRecord
from chatlab.compare.session.reduce import reduce
from chatlab.compare.session.rules import Rules
from chatlab.compare.session.runner import LaneRunner
from chatlab.compare.session.state import SessionState
from chatlab.config.models import CompareLane
from chatlab.config.registry import Entry
from chatlab.ids import ConversationId, LaneId
from chatlab.store import StoredTurn


class LaneChanges:
    """The changes of one session's lanes; used within its `Serial`. Each public method but `begin` is that of
    ComparisonSession.
    """

    def __init__(
        self,
        record: SessionRecord,
        runner: LaneRunner,
        rules: Rules,
        branches: Branches,
        backends: Mapping[str, Entry],
    ) -> None:
        self._record = record
        self._runner = runner
        self._rules = rules
        self._branches = branches
        self._backends = backends

    async def begin(self, opened: Opened, lanes: Sequence[Lane], chat: Sequence[StoredTurn]) -> None:
        """Open a new session with its first lanes, and with what they have of a chat."""
        events: list[SessionEvent] = [opened]
        events += await self._begun_with(chat, lanes)
        await self._record.append(*_with_letters(self._record.state, events))

    async def add(self, lane: str | CompareLane, *, like: LaneId | None = None) -> Lane:
        """Add a lane and return it; `like` is the lane whose history it goes on from."""
        self._rules.require_lanes_changeable()
        new = new_lane(lane, self._backends, (*self._record.state.lanes, *self._record.state.removed))
        source = self._branches.history_source(like)
        reduce(self._record.state, LaneAdded(new, ConversationId("")))
        conversation = await self._record.new_conversation()
        history = await self._branches.copy_history(source, new, conversation)
        await self._record.append(*_with_letters(self._record.state, [LaneAdded(new, conversation, history)]))
        return new

    async def swap(self, old: LaneId, lane: str | CompareLane, *, keep_history: bool = False) -> Lane:
        """Put another lane in the place of one, and return it."""
        (known,) = self._rules.present([old])
        self._rules.require_lanes_changeable()
        new = new_lane(lane, self._backends, (*self._record.state.lanes, *self._record.state.removed))
        source = self._branches.history_source(known.id if keep_history else None, halting=known.id)
        conversation = await self._record.new_conversation()
        await self._runner.halt([known.id])
        history = await self._branches.copy_history(source, new, conversation)
        await self._record.append(
            *_with_letters(self._record.state, [LaneSwapped(known.id, new, conversation, history)])
        )
        return new

    async def change(self, lane: CompareLane, lane_id: LaneId) -> Lane:
        """Give a lane other parameters, label or system prompt; return it."""
        (known,) = self._rules.present([lane_id])
        self._rules.require_lanes_changeable()
        if lane.backend != known.backend:
            raise SessionError("refusal.swap")
        others = [other for other in self._record.state.lanes if other.id != lane_id]
        new = replace(new_lane(lane, self._backends, others), id=known.id)
        await self._record.append(LaneChanged(new))
        return new

    async def remove(self, lane_id: LaneId) -> None:
        """Take a lane away."""
        (known,) = self._rules.present([lane_id])
        self._rules.require_removable()
        await self._runner.halt([known.id])
        await self._record.append(*_with_letters(self._record.state, [LaneRemoved(known.id)]))

    async def reorder(self, lanes: Sequence[LaneId]) -> None:
        self._rules.require_lanes_changeable()
        await self._record.append(Reordered(tuple(lanes)))

    async def set_mode(self, mode: Mode) -> None:
        await self._record.append(ModeSet(mode))

    async def _begun_with(self, chat: Sequence[StoredTurn], lanes: Sequence[Lane]) -> list[SessionEvent]:
        """Return the events that add the first lanes, and what they have of a chat."""
        events: list[SessionEvent] = []
        path: list[TurnPosition] = []
        for lane in lanes:
            conversation = await self._record.new_conversation()
            made = copied(path[:-1], (), self._record.turns, lane.id, conversation)
            events.append(LaneAdded(lane, conversation, await self._record.add_copies(made)))
            if chat and not path:
                rounds, answers = rounds_of_chat(chat, lane.id, conversation)
                path += await self._record.add_copies(answers)
                events += rounds
        return events


def _with_letters(state: SessionState, events: list[SessionEvent]) -> list[SessionEvent]:
    """Return the events; with new letters, if they change a blind session's lanes before any message."""
    for event in events:
        state = reduce(state, event)
    if state.hidden and not state.rounds:
        events.append(Drawn(draw(lane.id for lane in state.lanes)))
    return events
