"""The turns of a comparison session: how they are prepared, started, stopped, and what they leave behind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from chatlab.backend import CallContext
from chatlab.compare.model import Lane, Receipt
from chatlab.compare.session.attachments import Attachments
from chatlab.compare.session.elsewhere import TurnsElsewhere
from chatlab.compare.session.events import (
    Asked,
    Mismatch,
    ReceiptsChecked,
    Retried,
    SessionError,
    TurnPosition,
)
from chatlab.compare.session.mismatch import find_mismatches, missing_receipts
from chatlab.compare.session.record import SessionRecord
from chatlab.compare.session.reduce import reduce
from chatlab.compare.session.running import (
    Background,
    LaneTurn,
    News,
    Places,
    Serial,
    Wire,
    halt,
    start_together,
)
from chatlab.compare.session.state import Round, SessionState, prompt, to_rerun
from chatlab.config.registry import Entry
from chatlab.conversations.saving import Saving
from chatlab.conversations.turn_state import stored
from chatlab.errors import ConfigError
from chatlab.ids import LaneId, RoundId, TurnId
from chatlab.observation import Together, together
from chatlab.secret import scrubbed_traceback
from chatlab.store import Conflict, StoredTurn, new_id
from chatlab.turns.turn import run_turn

log = logging.getLogger(__name__)


class LaneRunner:
    """Runs the turns of one session, and takes and compares their receipts.

    It belongs to the event loop, and changes the record only within `serial`.
    """

    def __init__(
        self,
        record: SessionRecord,
        backends: Mapping[str, Entry],
        *,
        saving: Saving,
        attachments: Attachments,
        news: News,
        background: Background,
        serial: Serial,
    ) -> None:
        self._record = record
        self._backends = backends
        self._saving = saving
        self._attachments = attachments
        self._news = news
        self._background = background
        self._serial = serial
        self._running: dict[TurnId, LaneTurn] = {}
        self._rerunning: dict[LaneId, object] = {}
        self._unchecked: dict[RoundId, set[TurnId]] = {}  # turns by round, until their receipts are taken
        self._closed = False
        self.elsewhere = TurnsElsewhere(record, news, lambda: self._running, self.refresh)

    async def refresh(self) -> None:
        """Read what others wrote into the session."""
        await self._serial.run(lambda: self._record.refresh(self._running))

    # -- the end

    async def aclose(self) -> None:
        """Stop what runs here, and wait until it is saved."""
        self._closed = True
        self._rerunning.clear()
        await self.elsewhere.aclose()
        await self._serial.run(lambda: halt(tuple(self._running.values())))
        await self.settled()

    async def settled(self) -> None:
        """Wait until nothing runs, and what ran is saved and its receipts are compared."""
        while self._running or self._background.tasks:
            async with self._serial.lock:  # so that whatever was about to start has its task
                busy = [one.task for one in self._running.values() if one.task is not None]
                busy.extend(self._background.tasks)
            if busy:
                await asyncio.wait(busy)

    # -- what there is

    def turn(self, turn_id: TurnId) -> StoredTurn:
        """Return a turn as it is now. Raises SessionError."""
        if turn_id in self._running:
            return self._running[turn_id].now
        if turn_id not in self._record.turns:
            raise SessionError("refusal.no-answer")
        return self._record.turns[turn_id]

    def is_running(self, lane_id: LaneId | None = None) -> bool:
        """Return whether a lane, or any, is being answered."""
        here = {one.lane for one in self._running.values()} | set(self._rerunning)
        busy = here | set(self.elsewhere.running.values())
        return bool(busy) if lane_id is None else lane_id in busy

    def round_runs(self, round_id: RoundId) -> bool:
        """Return whether any answer to a round is still being given."""
        return any(self._record.state.positions[turn_id].round == round_id for turn_id in self.running)

    @property
    def running(self) -> tuple[TurnId, ...]:
        """Return the ids of the turns that run, those of other servers last."""
        return (*self._running, *self.elsewhere.running)

    def receipts(self, round_id: RoundId) -> Mapping[TurnId, Receipt]:
        """Return what the lanes were sent for a round, by turn; a turn that has not ended has none yet."""
        known = self._record.receipts.by_turn
        ids = (one for turns in self._record.state.round(round_id).turns.values() for one in turns)
        return {turn_id: known[turn_id] for turn_id in ids if turn_id in known}

    def mismatches(self, round_id: RoundId, state: SessionState | None = None) -> tuple[Mismatch, ...]:
        """Return the lanes of a round that were not sent what they should have been.

        Once the round has ended, as it was found then; until then, of what has ended so far. state: another
        one than the present, in which to look.
        """
        record = self._record
        pending = self._unchecked.get(round_id, set()) | set(self.running)
        known = record.state.checked.get(round_id)
        if state is None and known is not None and round_id not in self._unchecked:
            # A receipt that could not be saved then is gone with the server that had it.
            lost = missing_receipts(record.state, record.turns, record.receipts.by_turn, round_id, pending)
            return (*known, *(one for one in lost if one not in known))
        return find_mismatches(
            state or record.state, record.turns, record.receipts.by_turn, self._backends, round_id, pending
        )

    def is_checked(self, round_id: RoundId) -> bool:
        """Return whether no receipt of the round is still to be taken."""
        return round_id not in self._unchecked

    # -- running

    async def start(
        self,
        event: Asked | Retried,
        ctx: CallContext | None,
        *,
        places: Places | None = None,
        charged: bool = False,
        halting: Collection[LaneId] = (),
    ) -> Sequence[LaneTurn]:
        """Prepare turns, save them as begun, log them, and start them together; return them.

        places: where they are charged, unless they were `charged` before, and wait for their places.
        halting: lanes to be stopped first, once nothing is left that could refuse this. Raises SessionError,
        and what `places` raises.
        """
        if self._closed:
            raise SessionError("refusal.closed")
        state = reduce(self._record.state, event)
        prepared = [await self._prepared(state, one, ctx or CallContext(), places) for one in event.positions]
        if places is not None and not charged:
            await places.charge(len(prepared))
        await self.halt(halting)
        try:
            await asyncio.gather(
                *(self._saving.begin(one.begun, one.turn, receipt_follows=True) for one in prepared)
            )
            await self._record.append(event)
        except BaseException:
            for one in prepared:
                self._saving.with_receipt(self._saving.end(one.begun, one.turn), None)
            raise
        for one in prepared:
            self._running[one.id] = one
            self._unchecked.setdefault(one.round, set()).add(one.id)
        observer = prepared[0].turn.entry.observer if prepared else None
        observed = together(observer, "compare round", {"round": event.round, "turns": len(prepared)})
        try:
            with observed.within():
                await start_together(prepared, self._news.touch, self._settle)
        except BaseException:
            for one in prepared:
                if one.task is None:  # it was never started, and nothing else would end it
                    self._settle(one)
            raise
        finally:
            self._background.spawn(_end_with(prepared, observed), f"the trace of round {event.round}")
        return prepared

    async def halt(self, lanes: Collection[LaneId]) -> None:
        """End whatever runs in these lanes."""
        for lane_id in lanes:
            self._rerunning.pop(lane_id, None)
        await halt([one for one in self._running.values() if one.lane in lanes])
        await self.elsewhere.stop(lanes)

    def entry(self, lane: Lane, name: str) -> Entry:
        """Return the backend of a lane. Raises SessionError, in which the lane is called `name`."""
        try:
            return self._backends[lane.backend]
        except (ConfigError, KeyError) as exc:
            raise SessionError("refusal.not-configured", name=name) from exc

    async def _prepared(
        self, state: SessionState, position: TurnPosition, ctx: CallContext, places: Places | None
    ) -> LaneTurn:
        lane = state.lane(position.lane)
        messages, notices = prompt(state, self._record.turns, position)
        name = state.letters.get(lane.id, "a lane") if state.hidden else lane.label
        wire = Wire()
        # Repeats of one round run at the same time, so each is a conversation of its own.
        thread = state.conversations[lane.id] + (f":{position.repeat}" if position.repeat else "")
        ctx = replace(ctx, sent=wire, conversation=thread)
        turn = run_turn(
            self.entry(lane, name),
            await self._attachments.to_send(messages),
            parameters=lane.parameters,
            system=lane.system,
            ctx=ctx,
        )
        for notice in notices:
            turn.answer.add(notice)
        begun = stored(
            position.turn,
            self._record.owner,
            state.conversations[lane.id],
            position.parent,
            state.rounds[position.round].user,
            turn,
            parameters=lane.parameters,
            system=lane.system,
            ctx=ctx,
        )
        return LaneTurn(begun, lane.id, position.round, turn, ctx, wire, places)

    def _settle(self, one: LaneTurn) -> None:
        """Take up how a turn has ended: it is that from now on."""
        try:
            ended = self._saving.end(one.begun, one.turn, one.error)
        except Exception as exc:  # noqa: BLE001 - no fault of ours may leave a lane running for ever
            log.error("lane %s could not be saved\n%s", one.lane, scrubbed_traceback(exc))
            said = f"this answer is not saved: unexpected {type(exc).__name__}, see the log"
            ended = replace(one.now, status="failed", error=said)
        self._record.turns[one.id] = ended
        self._record.ended_here.add(one.id)
        del self._running[one.id]
        self._news.touch(one.lane)
        self._background.spawn(self._after_turn(one, ended), f"receipt of turn {one.id}")

    async def _after_turn(self, one: LaneTurn, ended: StoredTurn) -> None:
        """Take the receipt and save it with the turn's end; with the last one of a round, look whether they
        fit together.
        """
        record = self._record
        receipt = None
        try:
            try:
                receipt = await record.receipts.take(one)
            finally:
                self._saving.with_receipt(ended, receipt)
        finally:
            waiting = self._unchecked[one.round]
            waiting.discard(one.id)
            if not waiting:
                del self._unchecked[one.round]
        await self._saving.written(one.id)
        # No event can be logged that would tell. While names are hidden the last answer tells it.
        hidden = record.state.hidden and self.is_running()
        if self._saving.unsaved(one.id) is not None and not hidden:
            self._news.state()
        if not waiting:
            await self._serial.run(lambda: self._check(one.round))

    async def _check(self, round_id: RoundId) -> None:
        if round_id in self._unchecked:
            return
        with suppress(Conflict):  # another server wrote, and what it wrote is read now
            await self._record.append(self._checked(round_id))
            return
        await self._record.append(self._checked(round_id))

    def _checked(self, round_id: RoundId) -> ReceiptsChecked:
        return ReceiptsChecked(round_id, self.mismatches(round_id, self._record.state))

    # -- all rounds of a lane once more

    async def rerun(self, lane_id: LaneId, ctx: CallContext | None, places: Places | None) -> None:
        """Begin to ask a lane its rounds anew, one after the other. Raises what `start` raises."""
        rounds, parent = to_rerun(self._record.state, lane_id)
        if not rounds:
            raise SessionError("refusal.nothing-asked-yet")
        if places is not None:
            await places.charge(sum(map(_repeats, rounds)))
        await self.halt([lane_id])
        token = self._rerunning[lane_id] = object()
        steps = self._rerun_steps(lane_id, token, rounds, parent, ctx, places)
        self._background.spawn(steps, f"re-run of lane {lane_id}")

    async def _rerun_steps(
        self,
        lane_id: LaneId,
        token: object,
        rounds: Sequence[Round],
        parent: TurnId | None,
        ctx: CallContext | None,
        places: Places | None,
    ) -> None:
        try:
            for asked in rounds:
                begun = await self._serial.run(
                    lambda asked=asked, parent=parent: (  # type: ignore[misc]
                        self._rerun_step(lane_id, token, asked, parent, ctx, places)
                    )
                )
                if not begun:
                    return
                await asyncio.wait([one.task for one in begun if one.task is not None])
                if begun[0].turn.outcome != "finished":
                    return
                parent = begun[0].id
        finally:
            if self._rerunning.get(lane_id) is token:
                del self._rerunning[lane_id]
            self._news.touch(lane_id)

    async def _rerun_step(
        self,
        lane_id: LaneId,
        token: object,
        asked: Round,
        parent: TurnId | None,
        ctx: CallContext | None,
        places: Places | None,
    ) -> Sequence[LaneTurn]:
        if self._rerunning.get(lane_id) is not token:
            return ()  # it was stopped, or begun anew
        positions = tuple(
            TurnPosition(TurnId(new_id()), lane_id, asked.id, parent, number)
            for number in range(_repeats(asked))
        )
        return await self.start(Retried(asked.id, positions, rerun=True), ctx, places=places, charged=True)


async def _end_with(lane_turns: Sequence[LaneTurn], observed: Together) -> None:
    """End the observation of turns with the last of them."""
    if tasks := [one.task for one in lane_turns if one.task is not None]:
        await asyncio.wait(tasks)
    observed.end()


def _repeats(asked: Round) -> int:
    return max((len(ids) for ids in asked.turns.values()), default=1)
