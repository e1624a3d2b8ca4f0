"""What a comparison session stands on: its log, its turns while they run, and what they leave behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from chatlab.backend import CallContext
from chatlab.codec import message_to_json
from chatlab.compare.model import Lane, Receipt
from chatlab.compare.session.attachments import Attachments
from chatlab.compare.session.blind import draw
from chatlab.compare.session.events import (
    Asked,
    CheckedOut,
    Drawn,
    Mismatch,
    ReceiptsChecked,
    Retried,
    SessionError,
    SessionEvent,
    TurnPosition,
    event_to_data,
)
from chatlab.compare.session.lanes import copied, lost
from chatlab.compare.session.mismatch import find_mismatches
from chatlab.compare.session.receipt_book import ReceiptBook
from chatlab.compare.session.running import Background, Changed, LaneTurn, News, Wire, halt, start_together
from chatlab.compare.session.state import Round, SessionState, prompt, reduce, reduce_log, to_rerun
from chatlab.config.registry import Entry
from chatlab.conversations.saving import Saving, stored
from chatlab.errors import ConfigError
from chatlab.messages import FilePart, Message
from chatlab.store import Conflict, LogEntry, Store, StoredTurn, new_id, now
from chatlab.store.files import Files
from chatlab.turns.turn import run_turn

T = TypeVar("T")

MOST_REPEATS = 20


class SessionCore:
    """State, turns and receipts of one session, and how they change."""

    def __init__(
        self,
        backends: Mapping[str, Entry],
        id: str,
        owner: str,
        *,
        store: Store | None,
        saving: Saving | None,
        files: Files | None,
    ) -> None:
        self.id = id
        self.owner = owner
        self.state = SessionState()
        """Frozen; replaced by each change."""
        self._backends = backends
        self._store = store
        self._saving = saving or Saving(store)
        self._own_saving = saving is None
        self._attachments = Attachments(files)
        self._turns: dict[str, StoredTurn] = {}
        self._receipts = ReceiptBook(store, owner)
        self._running: dict[str, LaneTurn] = {}
        self._rerunning: dict[str, object] = {}
        self._unchecked: dict[str, set[str]] = {}  # turns by round, until their receipts are taken
        self._closed = False
        self._lock = asyncio.Lock()
        self._news = News()
        self._background = Background()

    # -- the end

    async def aclose(self) -> None:
        """Stops what runs, and waits until it is saved."""
        self._closed = True
        self._rerunning.clear()
        await self._whole(lambda: halt(tuple(self._running.values())))
        await self.settled()
        await self._receipts.save()
        self._news.close()
        if self._own_saving:
            await self._saving.aclose()

    async def settled(self) -> None:
        """Waits until nothing runs, and what ran is saved and its receipts are checked."""
        while self._running or self._background.tasks:
            async with self._lock:  # so that whatever was about to start has its task
                busy = [one.task for one in self._running.values() if one.task is not None]
                busy.extend(self._background.tasks)
            if busy:
                await asyncio.wait(busy)

    # -- what there is

    def turn(self, id: str) -> StoredTurn:
        """A turn as it is now. Raises SessionError."""
        if id in self._running:
            return self._running[id].now
        if id not in self._turns:
            raise SessionError("there is no such answer in this session")
        return self._turns[id]

    def running(self, lane: str | None = None) -> bool:
        """Whether a lane, or any, is being answered."""
        busy = {one.lane for one in self._running.values()} | set(self._rerunning)
        return bool(busy) if lane is None else lane in busy

    def running_turns(self) -> tuple[str, ...]:
        """The ids of the turns that run, in the order they were begun."""
        return tuple(self._running)

    async def attached(self, round: str) -> tuple[FilePart, ...]:
        """The files of a round's message, to be sent again. Raises UnsupportedContent if one is gone."""
        (user,) = await self._attachments.given([self.state.round(round).user])
        return tuple(part for part in user.parts if isinstance(part, FilePart))

    def unsaved(self, turn: str) -> str | None:
        """Why a turn is not in the database, as a sentence for the page."""
        return self._saving.unsaved(turn)

    def changes(self) -> AsyncGenerator[Changed, None]:
        """What changed since the reader last asked, once something has: at its pace, never more than one set
        of lanes behind. The first is there at once. Ends when the session is closed."""
        return self._news.read()

    @property
    def watched(self) -> bool:
        """Whether anybody reads `changes`."""
        return self._news.readers > 0

    def receipts(self, round: str) -> Mapping[str, Receipt]:
        """What the lanes were sent for a round, by turn. A turn that has not ended has none yet."""
        ids = (id for turns in self.state.round(round).turns.values() for id in turns)
        return {id: self._receipts.by_turn[id] for id in ids if id in self._receipts.by_turn}

    def mismatches(self, round: str) -> tuple[Mismatch, ...]:
        """The lanes of a round that were not sent what they should have been, or not the same although they
        should. Checked by itself once a round has ended; until then, of what has ended so far."""
        known = self.state.checked.get(round)
        return self._mismatches(round) if known is None or round in self._unchecked else known

    # -- the log

    async def _whole(self, work: Callable[[], Awaitable[T]]) -> T:
        """Does something to its end, after what was begun before it, whatever becomes of the caller."""

        async def alone() -> T:
            async with self._lock:
                return await work()

        task = asyncio.create_task(alone())
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._background.keep(task)
            raise

    async def _commit(self, *entries: SessionEvent) -> None:
        """Appends to the log, and then it is so. Nothing is written that could not be read again."""
        state = self.state
        for entry in entries:
            state = reduce(state, entry)
        data = [event_to_data(entry) for entry in entries]
        if self._store is None:
            logged: Sequence[LogEntry] = [
                LogEntry(self.state.seq + number, now(), item) for number, item in enumerate(data, 1)
            ]
        else:
            try:
                logged = await self._store.append(self.owner, self.id, self.state.seq, data)
            except Conflict as exc:
                await self._read()
                raise Conflict(
                    "this session was changed elsewhere meanwhile: look again, then repeat"
                ) from exc
        self.state = reduce_log(logged, self.state)
        self._news.state()

    async def _read(self) -> None:
        """Takes up what the store has of the session and this object has not."""
        assert self._store is not None
        state = reduce_log(await self._store.log(self.owner, self.id, after=self.state.seq), self.state)
        for conversation in set(state.conversations.values()):
            for turn in await self._store.turns(self.owner, conversation):
                if turn.id not in self._running:
                    self._turns[turn.id] = turn
        for place in state.places.values():
            if place.turn not in self._turns and place.turn not in self._running:
                self._turns[place.turn] = lost(state, place, self.owner)
        await self._receipts.read(state.places)
        self.state = state
        self._news.state()

    async def _conversation(self) -> str:
        """A new conversation of a lane."""
        if self._store is None:
            return new_id()
        return (await self._store.create(self.owner, comparison=self.id)).id

    async def _keep(self, turns: Sequence[StoredTurn]) -> None:
        """Stores copies, before the log names them."""
        if turns and self._store is not None:
            await self._store.save(turns)
        self._turns.update({turn.id: turn for turn in turns})

    # -- what may be asked

    def _present(self, lanes: Sequence[str] | None) -> tuple[Lane, ...]:
        """These lanes, or all; in the session's order. Raises SessionError for one that is not there."""
        if lanes is None:
            lanes = [lane.id for lane in self.state.lanes]
        found = tuple(lane for lane in self.state.lanes if lane.id in lanes)
        if not found or len(found) != len(set(lanes)):
            raise SessionError("there is no such lane in this session" if lanes else "add a lane first")
        return found

    def _idle(self, lanes: Collection[Lane]) -> None:
        # While names are hidden, which lane is not ready yet would tell how slow it is.
        if self.state.hidden and self.state.opened.reveal != "as they come" and self.running():
            raise SessionError("the lanes are still being answered: wait for them, or stop them")
        for lane in lanes:
            if self.running(lane.id):
                raise SessionError(f"{self._name(lane)} is still being answered: wait for it, or stop it")

    def _name(self, lane: Lane) -> str:
        """What a person may call it now."""
        return self.state.letters.get(lane.id, "a lane") if self.state.hidden else lane.label

    def _may_change_lanes(self) -> None:
        if self.state.hidden and self.state.rounds:
            raise SessionError(
                "lanes cannot be changed while their names are hidden: who does it would know one"
            )

    def _runs(self, round: str) -> bool:
        return any(one.round == round for one in self._running.values())

    def _redrawn(self, entries: list[SessionEvent]) -> list[SessionEvent]:
        """The entries; with new letters, if they change a blind session's lanes before its first message."""
        state = self.state
        for entry in entries:
            state = reduce(state, entry)
        if state.hidden and not state.rounds:
            entries.append(Drawn(draw(lane.id for lane in state.lanes)))
        return entries

    async def _history(self, new: Lane, conversation: str, like: str | None) -> tuple[TurnPosition, ...]:
        """What a new lane goes on from: copies of a lane's history, which are stored; or nothing."""
        if self.state.mode == "shared" and self.state.lanes:
            if not self.state.common:
                raise SessionError("pick the answer from which all lanes go on, then change the lanes")
            like = self.state.lanes[0].id
        if like is None:
            return ()
        self._idle(self._present([like]))
        made = copied(self.state.history(like), (), self._turns, new.id, conversation)
        await self._keep([copy for _, copy in made])
        return tuple(place for place, _ in made)

    async def _walk(self, heads: Mapping[str, str]) -> None:
        """Lets lanes go on from where they stood; what is said of the rounds' receipts is of the answers that
        are there again."""
        if not heads:
            return
        self._idle(self._present(list(heads)))
        before, entry = self.state.rounds, CheckedOut(heads)
        state = reduce(self.state, entry)
        checked = [
            ReceiptsChecked(
                id, find_mismatches(state, self._turns, self._receipts.by_turn, self._backends, id)
            )
            for id, round in state.rounds.items()
            if round.turns != before[id].turns and id not in self._unchecked
        ]
        await self._commit(entry, *checked)

    async def _standing_on(self, round: str, lanes: Sequence[str] | None) -> dict[str, str | None]:
        """The lanes, of these or all, that go on from a round, with what came before it; they are stopped."""
        self.state.round(round)
        found: dict[str, str | None] = {}
        for lane in self._present(lanes):
            standing = self.state.standing(lane.id, round)
            if standing is not None:
                found[lane.id] = standing.parent
            elif lanes is not None:
                raise SessionError("this lane does not go on from that message")
        if not found:
            raise SessionError("no lane goes on from that message any more")
        await self._halt(found)
        return found

    # -- running

    async def _ask(
        self,
        user: Message,
        parents: Mapping[str, str | None],
        to_all: bool,
        repeats: int | None,
        ctx: CallContext | None,
        replaces: str | None,
    ) -> str:
        if repeats is not None and not 1 <= repeats <= MOST_REPEATS:
            raise SessionError(f"a message can be asked 1 to {MOST_REPEATS} times")
        kept = await self._attachments.kept(user)
        round = new_id()
        places = [
            TurnPosition(new_id(), lane, round, parent, repeat)
            for lane, parent in parents.items()
            for repeat in range(repeats or self.state.opened.repeats)
        ]
        await self._start(Asked(round, message_to_json(kept), tuple(places), to_all, replaces), places, ctx)
        return round

    async def _start(
        self, entry: Asked | Retried, places: Sequence[TurnPosition], ctx: CallContext | None
    ) -> Sequence[LaneTurn]:
        """Prepares turns, saves them as begun, logs them, and starts them together. Returns them."""
        if self._closed:
            raise SessionError("this session was closed: open it again")
        state = reduce(self.state, entry)
        prepared = [await self._prepared(state, place, ctx or CallContext()) for place in places]
        try:
            await asyncio.gather(*(self._saving.begin(one.begun, one.turn) for one in prepared))
            await self._commit(entry)
        except BaseException:
            for one in prepared:
                self._saving.end(one.begun, one.turn)
            raise
        for one in prepared:
            self._running[one.begun.id] = one
            self._unchecked.setdefault(one.round, set()).add(one.begun.id)
        await start_together(prepared, self._news.touch, self._settle)
        return prepared

    async def _prepared(self, state: SessionState, place: TurnPosition, ctx: CallContext) -> LaneTurn:
        lane = state.lane(place.lane)
        messages, notices = prompt(state, self._turns, place)
        try:
            entry = self._backends[lane.backend]
        except (ConfigError, KeyError) as exc:
            raise SessionError(f"{self._name(lane)} is not configured any more: remove it") from exc
        wire = Wire()
        # Repeats of one round run at the same time, so each is a conversation of its own.
        thread = state.conversations[lane.id] + (f":{place.repeat}" if place.repeat else "")
        ctx = replace(ctx, sent=wire, conversation=thread)
        turn = run_turn(
            entry,
            await self._attachments.given(messages),
            parameters=lane.parameters,
            system=lane.system,
            ctx=ctx,
        )
        for notice in notices:
            turn.answer.add(notice)
        begun = stored(
            place.turn,
            self.owner,
            state.conversations[lane.id],
            place.parent,
            state.rounds[place.round].user,
            turn,
            parameters=lane.parameters,
            system=lane.system,
            asked_by=ctx.identity,
        )
        return LaneTurn(begun, lane.id, place.round, turn, ctx, wire)

    def _settle(self, one: LaneTurn) -> None:
        """A turn has ended: it is what it is from now on."""
        self._turns[one.begun.id] = self._saving.end(one.begun, one.turn)
        del self._running[one.begun.id]
        self._news.touch(one.lane)
        self._background.spawn(self._after_turn(one), f"receipt of turn {one.begun.id}")

    async def _after_turn(self, one: LaneTurn) -> None:
        """Takes and keeps the receipt, and with the last one of a round looks whether they fit together."""
        try:
            await self._receipts.take(one)
        finally:
            waiting = self._unchecked[one.round]
            waiting.discard(one.begun.id)
            if not waiting:
                del self._unchecked[one.round]
        await self._saving.written(one.begun.id)
        # No entry of the log can be written that would tell. While names are hidden the last answer tells it.
        if self.unsaved(one.begun.id) is not None and not (self.state.hidden and self.running()):
            self._news.state()
        await self._receipts.save()
        if not waiting:
            await self._whole(lambda: self._check(one.round))

    async def _check(self, round: str) -> None:
        if round not in self._unchecked:
            await self._commit(ReceiptsChecked(round, self._mismatches(round)))

    def _mismatches(self, round: str) -> tuple[Mismatch, ...]:
        return find_mismatches(self.state, self._turns, self._receipts.by_turn, self._backends, round)

    async def _halt(self, lanes: Collection[str]) -> None:
        """Ends whatever runs in these lanes."""
        for lane in lanes:
            self._rerunning.pop(lane, None)
        await halt([one for one in self._running.values() if one.lane in lanes])

    # -- all rounds of a lane once more

    def _rerun(self, lane: str, ctx: CallContext | None) -> None:
        """Begins to ask a lane its rounds anew, one after the other."""
        rounds, parent = to_rerun(self.state, lane)
        if not rounds:
            raise SessionError("nothing was asked yet that this lane could be asked again")
        token = self._rerunning[lane] = object()

        async def step(round: Round, parent: str | None) -> Sequence[LaneTurn]:
            if self._rerunning.get(lane) is not token:
                return ()  # it was stopped, or begun anew
            repeats = max((len(ids) for ids in round.turns.values()), default=1)
            places = [TurnPosition(new_id(), lane, round.id, parent, number) for number in range(repeats)]
            return await self._start(Retried(round.id, tuple(places), rerun=True), places, ctx)

        async def steps() -> None:
            last = parent
            try:
                for round in rounds:
                    begun = await self._whole(lambda round=round, last=last: step(round, last))  # type: ignore[misc]
                    if not begun:
                        return
                    await asyncio.wait([one.task for one in begun if one.task is not None])
                    if begun[0].turn.outcome != "finished":
                        return
                    last = begun[0].begun.id
            finally:
                if self._rerunning.get(lane) is token:
                    del self._rerunning[lane]
                self._news.touch(lane)

        self._background.spawn(steps(), f"re-run of lane {lane}")
