"""Judging the answers of a comparison session: votes, the names they reveal, and going on with one lane."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from chatlab.compare.model import Vote
from chatlab.compare.session.blind import marks
from chatlab.compare.session.events import Revealed, SessionError, Voted
from chatlab.compare.session.lanes import copied
from chatlab.compare.session.record import SessionRecord
from chatlab.compare.session.rules import Rules
from chatlab.compare.session.runner import LaneRunner
from chatlab.config.registry import Entry
from chatlab.ids import ConversationId, LaneId, RoundId
from chatlab.store import now


class Judging:
    """The votes of one session; used within its `Serial`. Each method is that of ComparisonSession."""

    def __init__(
        self, record: SessionRecord, runner: LaneRunner, rules: Rules, backends: Mapping[str, Entry]
    ) -> None:
        self._record = record
        self._runner = runner
        self._rules = rules
        self._backends = backends

    async def vote(
        self,
        round_id: RoundId,
        best: str,
        *,
        voter: str,
        criterion: str | None = None,
        reasons: Sequence[str] = (),
        note: str = "",
    ) -> Vote:
        """Record a vote for a lane, for a tie, or that all are bad; return it."""
        state = self._record.state
        known = state.round(round_id)
        criteria = state.opened.criteria
        if criterion is not None and criterion not in criteria:
            raise SessionError("refusal.no-criterion", name=criterion, names=", ".join(criteria))
        if strange := [reason for reason in reasons if reason not in state.opened.reasons]:
            raise SessionError("refusal.no-reason", name=strange[0][:60])
        if not state.visible or state.visible[-1].id != round_id:
            raise SessionError("refusal.vote-late")
        if self._runner.round_runs(round_id):
            raise SessionError("refusal.wait-then-vote")
        shown = state.shown(known)
        if best not in (*shown, "tie", "bad"):
            raise SessionError("refusal.vote-for")
        marked: tuple[str, ...] = ()
        if state.hidden:  # in a thread, and with a copy: answers can be long
            turns = {turn_id: self._runner.turn(turn_id) for ids in known.turns.values() for turn_id in ids}
            marked = await asyncio.to_thread(marks, known, state, turns, self._backends)
        given = Vote(
            round=known.id,
            criterion=criterion or criteria[0],
            best=best,
            shown=shown,
            voter=voter,
            at=now(),
            blind=state.hidden,
            reasons=tuple(reasons),
            note=note,
            marked=marked,
            answers=tuple(turn_id for lane_id in shown for turn_id in known.turns[lane_id]),
        )
        await self._record.append(Voted(given))
        return given

    async def reveal(self) -> None:
        """Reveal the names, for good."""
        if self._runner.is_running():
            raise SessionError("refusal.wait-then-reveal")
        if self._record.state.hidden:
            await self._record.append(Revealed())

    async def continue_in_chat(self, lane_id: LaneId) -> ConversationId:
        """Make a chat that goes on from where a lane is, and return its id."""
        if self._record.state.hidden:
            raise SessionError("refusal.chat-tells")
        store = self._record.store
        if store is None:
            raise SessionError("refusal.no-storage-chat")
        (lane,) = self._rules.present([lane_id])
        self._rules.require_idle([lane])
        conversation = (await store.create(self._record.owner)).id
        made = copied(self._record.state.history(lane.id), (), self._record.turns, lane.id, conversation)
        if made:
            await store.save([copy for _, copy in made])
        return conversation
