"""Letting lanes go on from other turns than their last: copies of another's, or earlier ones of their own."""

from __future__ import annotations

from collections.abc import Mapping

from chatlab.compare.model import Lane
from chatlab.compare.session.events import (
    NOTHING_TO_PICK,
    CheckedOut,
    Picked,
    ReceiptsChecked,
    SessionError,
    TurnPosition,
)
from chatlab.compare.session.lanes import copied, without_answer
from chatlab.compare.session.record import SessionRecord
from chatlab.compare.session.reduce import reduce
from chatlab.compare.session.rules import Rules
from chatlab.compare.session.runner import LaneRunner
from chatlab.ids import ConversationId, LaneId, RoundId, TurnId
from chatlab.store import StoredTurn


class Branches:
    """The branches of one session; used within its `Serial`."""

    def __init__(self, record: SessionRecord, runner: LaneRunner, rules: Rules) -> None:
        self._record = record
        self._runner = runner
        self._rules = rules

    def history_source(self, like: LaneId | None, *, halting: LaneId | None = None) -> LaneId | None:
        """Return the lane from whose history a new lane goes on; None if it begins anew.

        halting: a lane that is stopped before, and so may be running. Raises SessionError.
        """
        if self._record.state.mode == "shared" and self._record.state.lanes:
            if not self._record.state.common:
                raise SessionError("refusal.pick-then-change")
            like = self._record.state.lanes[0].id
        if like is None:
            return None
        (source,) = self._rules.present([like])
        if source.id != halting:
            self._rules.require_idle([source])
        return source.id

    async def copy_history(
        self, source: LaneId | None, new: Lane, conversation: ConversationId
    ) -> tuple[TurnPosition, ...]:
        """Copy a lane's history into a new lane's conversation; return the positions of the copies."""
        if source is None:
            return ()
        made = copied(self._record.state.history(source), (), self._record.turns, new.id, conversation)
        return await self._record.add_copies(made)

    async def copies_for_all(self, picked: TurnPosition) -> tuple[list[TurnPosition], dict[LaneId, TurnId]]:
        """Copy what led to a picked answer into the other lanes.

        Returns the copies, and the lanes that go back to a turn of their own instead.
        """
        state = self._record.state
        path = state.path(picked.turn)
        copies: list[tuple[TurnPosition, StoredTurn]] = []
        back: dict[LaneId, TurnId] = {}
        for lane_id in state.heads:
            if lane_id == picked.lane:
                continue
            have = state.history(lane_id)
            made = copied(path, have, self._record.turns, lane_id, state.conversations[lane_id])
            if not made and len(have) > len(path):  # it was asked more, alone
                back[lane_id] = have[len(path) - 1].turn
            copies.extend(made)
        return list(await self._record.add_copies(copies)), back

    async def check_out(self, heads: Mapping[LaneId, TurnId]) -> None:
        """Let lanes go on from earlier heads; compare the receipts of the answers that are there again."""
        if not heads:
            return
        self._rules.require_idle(self._rules.present(list(heads)))
        before, event = self._record.state.rounds, CheckedOut(heads)
        state = reduce(self._record.state, event)
        checked = [
            ReceiptsChecked(asked.id, self._runner.mismatches(asked.id, state))
            for asked in state.rounds.values()
            if asked.turns != before[asked.id].turns and self._runner.is_checked(asked.id)
        ]
        await self._record.append(event, *checked)

    async def pick(self, turn_id: TurnId) -> None:
        """Let all lanes go on from an answer, or one lane from one of its repeats."""
        state = self._record.state
        position = state.positions.get(turn_id)
        ends = {state.positions[head].round for head in state.heads.values() if head is not None}
        if position is None or position.round not in ends:
            raise SessionError("refusal.pick-last")
        self._rules.require_idle([state.lane(position.lane)])
        if without_answer(self._record.turns[turn_id]):
            raise SessionError(NOTHING_TO_PICK)
        if state.mode == "shared":
            copies, back = await self.copies_for_all(position)
        elif turn_id in state.round(position.round).turns.get(position.lane, ()):
            copies, back = [], {}
        else:
            raise SessionError("refusal.pick-last")
        await self._record.append(Picked(turn_id, tuple(copies)), *([CheckedOut(back)] if back else []))

    async def to_version(self, round_id: RoundId) -> None:
        """Check out another version of a message, in every lane that was asked it."""
        state = self._record.state
        state.round(round_id)
        back = {
            lane_id: state.previous_head(lane_id, round_id)
            for lane_id in state.heads
            if not state.position_in(lane_id, round_id)
        }
        await self.check_out({lane_id: head for lane_id, head in back.items() if head is not None})

    async def to_answer(self, round_id: RoundId, lane_id: LaneId, answer: int) -> None:
        """Check out another of a lane's answers to a round, by its number from 0."""
        (lane,) = self._rules.present([lane_id])
        attempts = self._record.state.round(round_id).attempts.get(lane.id, ())
        if not 0 <= answer < len(attempts):
            raise SessionError("refusal.no-answer")
        position = self._record.state.position_in(lane.id, round_id)
        head = self._record.state.previous_head(lane.id, round_id, attempts[answer])
        if head is not None and (position is None or position.turn not in attempts[answer]):
            await self.check_out({lane.id: head})
