"""Asking the lanes of a comparison session: a message, an edited one, the same again, and taking one back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chatlab.backend import CallContext
from chatlab.codec import message_to_json
from chatlab.compare.session.attachments import Attachments, asked_for
from chatlab.compare.session.events import Asked, Retried, SessionError, TurnPosition, Undone
from chatlab.compare.session.record import SessionRecord
from chatlab.compare.session.rules import Rules
from chatlab.compare.session.runner import LaneRunner
from chatlab.compare.session.running import Places
from chatlab.ids import LaneId, RoundId, TurnId
from chatlab.messages import Message
from chatlab.store import new_id

MOST_REPEATS = 20


class Questions:
    """The questions of one session; used within its `Serial`. Each method is that of ComparisonSession."""

    def __init__(
        self, record: SessionRecord, runner: LaneRunner, rules: Rules, attachments: Attachments
    ) -> None:
        self._record = record
        self._runner = runner
        self._rules = rules
        self._attachments = attachments

    async def ask(
        self,
        message: str | Message,
        *,
        lanes: Sequence[LaneId] | None = None,
        repeats: int | None = None,
        ctx: CallContext | None = None,
        places: Places | None = None,
    ) -> RoundId:
        """Ask all lanes, or only these, together; return the round's id."""
        user = asked_for(message)
        asked = self._rules.present(lanes)
        self._rules.require_idle(asked)
        if self._record.state.mode == "shared" and not self._record.state.common:
            raise SessionError("refusal.pick-then-ask")
        parents = {lane.id: self._record.state.heads[lane.id] for lane in asked}
        return await self._ask(user, parents, to_all=lanes is None, repeats=repeats, ctx=ctx, places=places)

    async def edit(
        self,
        round_id: RoundId,
        message: str | Message,
        *,
        lanes: Sequence[LaneId] | None = None,
        ctx: CallContext | None = None,
        places: Places | None = None,
    ) -> RoundId:
        """Ask another message in the place of one; return the new round's id."""
        user = asked_for(message)
        parents = self._rules.before(round_id, lanes)
        return await self._ask(user, parents, to_all=lanes is None, ctx=ctx, places=places, replaces=round_id)

    async def retry(
        self,
        round_id: RoundId,
        *,
        lanes: Sequence[LaneId] | None = None,
        ctx: CallContext | None = None,
        places: Places | None = None,
    ) -> None:
        """Ask a round anew, in all lanes that go on from it or in these."""
        parents = self._rules.before(round_id, lanes)
        known = self._record.state.round(round_id)
        repeats = {lane_id: len(known.turns.get(lane_id, ("",))) for lane_id in parents}
        positions = _positions(known.id, parents, repeats)
        await self._runner.start(Retried(known.id, positions), ctx, places=places, halting=parents)

    async def ask_others(self, *, places: Places | None = None) -> None:
        """Ask the last message of the lanes that were not asked it yet."""
        state = self._record.state
        if not state.visible:
            return
        last = state.visible[-1]
        heads = {lane.id: state.heads[lane.id] for lane in state.lanes if lane.id not in last.turns}
        for lane in self._rules.present(list(heads)) if heads else ():
            self._runner.entry(lane, self._rules.name(lane))
        positions = _positions(last.id, heads, dict.fromkeys(heads, state.opened.repeats))
        if positions:
            await self._runner.start(Retried(last.id, positions), None, places=places)

    async def rerun(
        self, lane_id: LaneId, *, ctx: CallContext | None = None, places: Places | None = None
    ) -> None:
        """Ask a lane anew all that it goes on from; return when that has begun."""
        (lane,) = self._rules.present([lane_id])
        self._runner.entry(lane, self._rules.name(lane))
        await self._runner.rerun(lane.id, ctx, places)

    async def undo(self, *, lanes: Sequence[LaneId] | None = None) -> Message:
        """Take back the last round of all lanes or of these; return its message."""
        state = self._record.state
        present = [lane.id for lane in self._rules.present(lanes)]
        for last in reversed(state.visible):
            back = tuple(lane_id for lane_id in sorted(present) if state.position_in(lane_id, last.id))
            if back:
                break
        else:
            raise SessionError("refusal.nothing-to-undo")
        (user,) = await self._attachments.to_send([last.user])
        await self._runner.halt(back)
        await self._record.append(Undone(last.id, back))
        return user

    async def _ask(
        self,
        user: Message,
        parents: Mapping[LaneId, TurnId | None],
        *,
        to_all: bool,
        repeats: int | None = None,
        ctx: CallContext | None = None,
        places: Places | None = None,
        replaces: RoundId | None = None,
    ) -> RoundId:
        """Begin a round in the lanes of `parents`, each after its turn there; stop those of an edit first."""
        if repeats is not None and not 1 <= repeats <= MOST_REPEATS:
            raise SessionError("refusal.repeats", most=MOST_REPEATS)
        for lane in self._rules.present(list(parents)):
            self._runner.entry(lane, self._rules.name(lane))
        round_id = RoundId(new_id())
        positions = _positions(
            round_id, parents, dict.fromkeys(parents, repeats or self._record.state.opened.repeats)
        )
        if places is not None:  # before anything is stored of what may be refused
            await places.charge(len(positions))
        message = message_to_json(await self._attachments.stored(user))
        event = Asked(round_id, message, positions, to_all, replaces)
        halting = parents if replaces is not None else ()
        await self._runner.start(event, ctx, places=places, charged=True, halting=halting)
        return round_id


def _positions(
    round_id: RoundId, parents: Mapping[LaneId, TurnId | None], repeats: Mapping[LaneId, int]
) -> tuple[TurnPosition, ...]:
    """Return the positions of new turns that answer a round, each after its lane's turn in `parents`."""
    return tuple(
        TurnPosition(TurnId(new_id()), lane_id, round_id, parent, number)
        for lane_id, parent in parents.items()
        for number in range(repeats[lane_id])
    )
