"""A comparison session: lanes that are asked the same, side by side, each with a history of its own.

    session = await ComparisonSession.create(lab.backends, ["a", "b"], owner="me", store=store, saving=saving)
    round_id = await session.ask("Why is the sky blue?")     # returns as soon as all lanes have started
    async for changed in session.changes(): ...              # paint session.turn(id) of what changed
    await session.settled()
    await session.vote(round_id, best=session.state.lanes[0].id, voter="me")

What a session is, is its log (`events`), and `session.state` is reduced from it (`state`): lanes, rounds,
which turn each lane goes on from, votes. What was answered is `session.turn(id)`: of a turn that runs, as it
is now. Every method that changes the session is carried out whole, one after the other, even if its caller is
cancelled. It raises SessionError with a sentence if what it asks for is not possible, and a StoreError if the
database refuses; then nothing has changed.

Nothing is ever overwritten: a retry, an edit and a pick make siblings in the lanes' conversations. Names and
receipts are to be had here at any time: `chatlab.compare.session.blind` says what a browser may know
before the vote.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from chatlab.backend import CallContext
from chatlab.codec import message_to_json
from chatlab.compare.model import Lane, Mode, Receipt, Vote
from chatlab.compare.session.attachments import Attachments, asked_for
from chatlab.compare.session.blind import draw, marks
from chatlab.compare.session.branches import Branches
from chatlab.compare.session.events import (
    NOTHING_TO_PICK,
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
    Reordered,
    Retried,
    Revealed,
    SessionError,
    SessionEvent,
    TurnPosition,
    Undone,
    Voted,
)
from chatlab.compare.session.from_chat import rounds_of_chat
from chatlab.compare.session.lanes import copied, new_lane, without_answer
from chatlab.compare.session.record import SessionRecord
from chatlab.compare.session.reduce import reduce
from chatlab.compare.session.rules import Rules
from chatlab.compare.session.runner import LaneRunner
from chatlab.compare.session.running import Background, Changed, News, Places, Serial
from chatlab.compare.session.state import SessionState
from chatlab.config.models import CompareLane
from chatlab.config.registry import Entry
from chatlab.conversations.saving import Saving
from chatlab.ids import ConversationId, LaneId, RoundId, TurnId
from chatlab.messages import FilePart, Message
from chatlab.store import Store, StoredTurn, new_id, now
from chatlab.store.files import Files

MOST_REPEATS = 20

P = ParamSpec("P")
T = TypeVar("T")


def carried_out_whole(
    method: Callable[Concatenate[ComparisonSession, P], Awaitable[T]],
) -> Callable[Concatenate[ComparisonSession, P], Coroutine[Any, Any, T]]:
    """Make a method of a session wait for those begun before it, and end even if its caller is cancelled."""

    async def whole(self: ComparisonSession, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._serial.run(lambda: method(self, *args, **kwargs))

    update_wrapper(whole, method)
    return whole


class ComparisonSession:
    """One comparison session of one person, in one event loop. Made by `create` and `open`; to be closed.

    Its record and its runner belong to the event loop: no method may be called from a worker thread, but the
    values they return are frozen and may be read anywhere.
    """

    def __init__(
        self,
        backends: Mapping[str, Entry],
        session_id: str,
        owner: str,
        *,
        store: Store | None,
        saving: Saving | None,
        files: Files | None,
    ) -> None:
        self.id = session_id
        self.owner = owner
        self._backends = backends
        self._own_saving = saving is None
        self._saving = saving or Saving(store)
        self._attachments = Attachments(files)
        self._news = News()
        self._background = Background()
        self._serial = Serial(self._background)
        self._record = SessionRecord(session_id, owner, store, self._news)
        self._runner = LaneRunner(
            self._record,
            backends,
            saving=self._saving,
            attachments=self._attachments,
            news=self._news,
            background=self._background,
            serial=self._serial,
        )

        self._rules = Rules(self._record, self._runner)
        self._branches = Branches(self._record, self._runner, self._rules)

    # -- begin and end

    @classmethod
    async def create(
        cls,
        backends: Mapping[str, Entry],
        lanes: Sequence[str | CompareLane] = (),
        *,
        owner: str,
        opened: Opened | None = None,
        title: str = "",
        chat: Sequence[StoredTurn] = (),
        store: Store | None = None,
        saving: Saving | None = None,
        files: Files | None = None,
    ) -> Self:
        """Make a new session, which without a store lives in memory only.

        opened: mode, blind, repeats, criteria. chat: the turns of a chat that it begins with: the first lane
        gave their answers, and the others go on from all but the last, which `ask_others` asks them. Raises
        ConfigError or SessionError for a lane that cannot be one; then the store has nothing of it.
        """
        added: list[Lane] = []
        state = SessionState()
        for spec in lanes:
            added.append(new_lane(spec, backends, added))
            state = reduce(state, LaneAdded(added[-1], ConversationId("")))
        session_id = new_id() if store is None else (await store.create_comparison(owner, title=title)).id
        session = cls(backends, session_id, owner, store=store, saving=saving, files=files)
        events: list[SessionEvent] = [opened or Opened()]
        events += await session._begun_with(chat, added)
        await session._record.append(*_with_letters(session.state, events))
        return session

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

    @classmethod
    async def open(
        cls,
        backends: Mapping[str, Entry],
        session_id: str,
        *,
        owner: str,
        store: Store,
        saving: Saving | None = None,
        files: Files | None = None,
    ) -> Self:
        """Open a stored session. Raises NotStored for one that is not the owner's."""
        await store.comparison(owner, session_id)
        session = cls(backends, session_id, owner, store=store, saving=saving, files=files)
        await session._record.refresh()
        return session

    async def aclose(self) -> None:
        """Stop what runs, and wait until it is saved."""
        await self._runner.aclose()
        self._news.close()
        if self._own_saving:
            await self._saving.aclose()

    async def settled(self) -> None:
        """Wait until nothing runs, and what ran is saved and its receipts are compared."""
        await self._runner.settled()

    # -- what there is

    @property
    def state(self) -> SessionState:
        """Return the state now; it is frozen, and replaced by each change."""
        return self._record.state

    def turn(self, turn_id: TurnId) -> StoredTurn:
        """Return a turn as it is now. Raises SessionError."""
        return self._runner.turn(turn_id)

    def running(self, lane_id: LaneId | None = None) -> bool:
        """Return whether a lane, or any, is being answered."""
        return self._runner.is_running(lane_id)

    def running_turns(self) -> tuple[TurnId, ...]:
        """Return the ids of the turns that run, in the order they were begun."""
        return self._runner.running

    async def attached(self, round_id: RoundId) -> tuple[FilePart, ...]:
        """Return the files of a round's message, to be sent again. Raises UnsupportedContent."""
        (user,) = await self._attachments.to_send([self.state.round(round_id).user])
        return tuple(part for part in user.parts if isinstance(part, FilePart))

    def unsaved(self, turn_id: TurnId) -> str | None:
        """Return why a turn is not in the database, as a sentence for the page; None if it is."""
        return self._saving.unsaved(turn_id)

    def changes(self) -> AsyncGenerator[Changed, None]:
        """Yield what changed since the reader last asked, once something has.

        At the reader's pace, never more than one set of lanes behind. The first is there at once. Ends when
        the session is closed.
        """
        return self._news.read()

    @property
    def watched(self) -> bool:
        """Return whether anybody reads `changes`."""
        return self._news.readers > 0

    def receipts(self, round_id: RoundId) -> Mapping[TurnId, Receipt]:
        """Return what the lanes were sent for a round, by turn; a turn that has not ended has none yet."""
        return self._runner.receipts(round_id)

    def mismatches(self, round_id: RoundId) -> tuple[Mismatch, ...]:
        """Return the lanes of a round that were not sent what they should have been, or not the same.

        Checked by itself once a round has ended; until then, of what has ended so far.
        """
        return self._runner.mismatches(round_id)

    # -- lanes

    @carried_out_whole
    async def add_lane(self, lane: str | CompareLane, *, like: LaneId | None = None) -> Lane:
        """Add a lane and return it. like: the lane whose history it goes on from, copied.

        Without it, in own mode, it begins anew; in shared mode it goes on from what all go on from.
        """
        self._rules.require_lanes_changeable()
        new = new_lane(lane, self._backends, (*self.state.lanes, *self.state.removed))
        source = self._branches.history_source(like)
        reduce(self.state, LaneAdded(new, ConversationId("")))
        conversation = await self._record.new_conversation()
        history = await self._branches.copy_history(source, new, conversation)
        await self._record.append(*_with_letters(self.state, [LaneAdded(new, conversation, history)]))
        return new

    @carried_out_whole
    async def swap(self, old: LaneId, lane: str | CompareLane, *, keep_history: bool = False) -> Lane:
        """Put another lane in the place of one, and return it.

        In own mode it begins without history unless that of the old one is to be kept, copied; `rerun` asks
        it all that was asked so far. What runs in the old one is stopped, unless the swap is refused.
        """
        (known,) = self._rules.present([old])
        self._rules.require_lanes_changeable()
        new = new_lane(lane, self._backends, (*self.state.lanes, *self.state.removed))
        source = self._branches.history_source(known.id if keep_history else None, halting=known.id)
        conversation = await self._record.new_conversation()
        await self._runner.halt([known.id])
        history = await self._branches.copy_history(source, new, conversation)
        await self._record.append(
            *_with_letters(self.state, [LaneSwapped(known.id, new, conversation, history)])
        )
        return new

    @carried_out_whole
    async def change_lane(self, lane: CompareLane, lane_id: LaneId) -> Lane:
        """Give a lane other parameters, label or system prompt, from its next turn on; return it."""
        (known,) = self._rules.present([lane_id])
        self._rules.require_lanes_changeable()
        if lane.backend != known.backend:
            raise SessionError("another backend is another lane: swap it")
        others = [other for other in self.state.lanes if other.id != lane_id]
        new = replace(new_lane(lane, self._backends, others), id=known.id)
        await self._record.append(LaneChanged(new))
        return new

    @carried_out_whole
    async def remove_lane(self, lane_id: LaneId) -> None:
        """Take a lane away; what it answered stays part of the session and of the store."""
        (known,) = self._rules.present([lane_id])
        self._rules.require_removable()
        await self._runner.halt([known.id])
        await self._record.append(*_with_letters(self.state, [LaneRemoved(known.id)]))

    @carried_out_whole
    async def reorder(self, lanes: Sequence[LaneId]) -> None:
        """Put the lanes into another order, all of them named."""
        self._rules.require_lanes_changeable()
        await self._record.append(Reordered(tuple(lanes)))

    @carried_out_whole
    async def set_mode(self, mode: Mode) -> None:
        """Set own or shared history, from the next turn on.

        Lanes that go on from different answers need a `pick` in shared mode before they are asked again; in
        own mode each goes on from its own.
        """
        await self._record.append(ModeSet(mode))

    # -- asking

    @carried_out_whole
    async def ask(
        self,
        message: str | Message,
        *,
        lanes: Sequence[LaneId] | None = None,
        repeats: int | None = None,
        ctx: CallContext | None = None,
        places: Places | None = None,
    ) -> RoundId:
        """Ask all lanes, or only these, together; return the round's id.

        ctx: as whom, for this call alone. places: the room that whoever asks has; None is no limit.
        """
        user = asked_for(message)
        asked = self._rules.present(lanes)
        self._rules.require_idle(asked)
        if self.state.mode == "shared" and not self.state.common:
            raise SessionError("pick the answer from which all lanes go on, then ask")
        parents = {lane.id: self.state.heads[lane.id] for lane in asked}
        return await self._ask(user, parents, to_all=lanes is None, repeats=repeats, ctx=ctx, places=places)

    @carried_out_whole
    async def edit(
        self,
        round_id: RoundId,
        message: str | Message,
        *,
        lanes: Sequence[LaneId] | None = None,
        ctx: CallContext | None = None,
        places: Places | None = None,
    ) -> RoundId:
        """Ask another message in the place of one, of all lanes that go on from it or of these.

        Returns the new round's id. What followed the old one is left behind in these lanes, and stays stored.
        """
        user = asked_for(message)
        parents = self._rules.before(round_id, lanes)
        return await self._ask(user, parents, to_all=lanes is None, ctx=ctx, places=places, replaces=round_id)

    @carried_out_whole
    async def retry(
        self,
        round_id: RoundId,
        *,
        lanes: Sequence[LaneId] | None = None,
        ctx: CallContext | None = None,
        places: Places | None = None,
    ) -> None:
        """Ask a round anew, in all lanes that go on from it or in these. What followed is left behind."""
        parents = self._rules.before(round_id, lanes)
        known = self.state.round(round_id)
        repeats = {lane_id: len(known.turns.get(lane_id, ("",))) for lane_id in parents}
        positions = _positions(known.id, parents, repeats)
        await self._runner.start(Retried(known.id, positions), ctx, places=places, halting=parents)

    @carried_out_whole
    async def ask_others(self, *, places: Places | None = None) -> None:
        """Ask the last message of the lanes that were not asked it yet, each after what it goes on from."""
        if not self.state.visible:
            return
        last = self.state.visible[-1]
        heads = {lane.id: self.state.heads[lane.id] for lane in self.state.lanes if lane.id not in last.turns}
        for lane in self._rules.present(list(heads)) if heads else ():
            self._runner.entry(lane, self._rules.name(lane))
        positions = _positions(last.id, heads, dict.fromkeys(heads, self.state.opened.repeats))
        if positions:
            await self._runner.start(Retried(last.id, positions), None, places=places)

    @carried_out_whole
    async def rerun(
        self, lane_id: LaneId, *, ctx: CallContext | None = None, places: Places | None = None
    ) -> None:
        """Ask a lane anew all that it goes on from, and what was asked of all before it came, one by one.

        In shared mode only the last round: what was before it is the common history. Returns when it has
        begun; a failure or a stop ends it.
        """
        (lane,) = self._rules.present([lane_id])
        self._runner.entry(lane, self._rules.name(lane))
        await self._runner.rerun(lane.id, ctx, places)

    @carried_out_whole
    async def undo(self, *, lanes: Sequence[LaneId] | None = None) -> Message:
        """Take back the last round of all lanes or of these; return its message, with which to begin anew."""
        present = [lane.id for lane in self._rules.present(lanes)]
        for last in reversed(self.state.visible):
            back = tuple(lane_id for lane_id in sorted(present) if self.state.position_in(lane_id, last.id))
            if back:
                break
        else:
            raise SessionError("there is nothing to take back")
        (user,) = await self._attachments.to_send([last.user])
        await self._runner.halt(back)
        await self._record.append(Undone(last.id, back))
        return user

    async def stop(self, lane_id: LaneId | None = None) -> None:
        """Stop a lane or all, and close their upstreams. What had arrived stays."""
        lanes = [lane_id] if lane_id is not None else [one.id for one in self.state.lanes]
        await self._runner.halt(lanes)
        await self._serial.run(lambda: self._runner.halt(lanes))  # what was about to start, too

    @carried_out_whole
    async def pick(self, turn_id: TurnId) -> None:
        """Say which answer is gone on from: in shared mode by all lanes, in own mode which of the repeats.

        In shared mode the other lanes get what led to it, and it, as copies; their own answers stay.
        """
        state = self.state
        position = state.positions.get(turn_id)
        ends = {state.positions[head].round for head in state.heads.values() if head is not None}
        if position is None or position.round not in ends:
            raise SessionError("only an answer to the last message can be picked")
        self._rules.require_idle([state.lane(position.lane)])
        if without_answer(self._record.turns[turn_id]):
            raise SessionError(NOTHING_TO_PICK)
        if state.mode == "shared":
            copies, back = await self._branches.copies_for_all(position)
        elif turn_id in state.round(position.round).turns.get(position.lane, ()):
            copies, back = [], {}
        else:
            raise SessionError("only an answer to the last message can be picked")
        await self._record.append(Picked(turn_id, tuple(copies)), *([CheckedOut(back)] if back else []))

    @carried_out_whole
    async def to_version(self, round_id: RoundId) -> None:
        """Check out another version of a message.

        Every lane that was asked it goes on from its last head after it. Does nothing if all of them go on
        from it now.
        """
        state = self.state
        state.round(round_id)
        back = {
            lane_id: state.previous_head(lane_id, round_id)
            for lane_id in state.heads
            if not state.position_in(lane_id, round_id)
        }
        await self._branches.check_out({lane_id: head for lane_id, head in back.items() if head is not None})

    @carried_out_whole
    async def to_answer(self, round_id: RoundId, lane_id: LaneId, answer: int) -> None:
        """Check out another of a lane's answers to a round, by its number in `Round.attempts`, from 0.

        The lane goes on from its last head after it.
        """
        (lane,) = self._rules.present([lane_id])
        attempts = self.state.round(round_id).attempts.get(lane.id, ())
        if not 0 <= answer < len(attempts):
            raise SessionError("there is no such answer in this session")
        position = self.state.position_in(lane.id, round_id)
        head = self.state.previous_head(lane.id, round_id, attempts[answer])
        if head is not None and (position is None or position.turn not in attempts[answer]):
            await self._branches.check_out({lane.id: head})

    # -- judging

    @carried_out_whole
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
        """Vote for a lane (by its id), "tie" or "bad" (all bad); return the vote.

        It is changed by voting again, until the next message. Raises SessionError.
        """
        state, known = self.state, self.state.round(round_id)
        criteria = state.opened.criteria
        if criterion is not None and criterion not in criteria:
            raise SessionError(f"there is no criterion {criterion!r}: it is {', '.join(criteria)}")
        if not state.visible or state.visible[-1].id != round_id:
            raise SessionError("a vote can be given and changed until the next message only")
        if self._runner.round_runs(round_id):
            raise SessionError("wait for all answers, then vote")
        shown = state.shown(known)
        if best not in (*shown, "tie", "bad"):
            raise SessionError("vote for a lane that answered, for a tie, or for none")
        marked: tuple[str, ...] = ()
        if state.hidden:  # in a thread, and with a copy: answers can be long
            turns = {turn_id: self.turn(turn_id) for ids in known.turns.values() for turn_id in ids}
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

    @carried_out_whole
    async def reveal(self) -> None:
        """Reveal the names, for good: who knows one answer's lane knows it of all that follow."""
        if self.running():
            raise SessionError("wait for all answers, then reveal the names")
        if self.state.hidden:
            await self._record.append(Revealed())

    @carried_out_whole
    async def continue_in_chat(self, lane_id: LaneId) -> ConversationId:
        """Make a chat that goes on from where a lane is, and return its id. The session stays."""
        if self.state.hidden:
            raise SessionError("reveal the names first: a chat shows which backend answers")
        store = self._record.store
        if store is None:
            raise SessionError("without storage there is no chat to go on in: configure `storage`")
        (lane,) = self._rules.present([lane_id])
        self._rules.require_idle([lane])
        conversation = (await store.create(self.owner)).id
        made = copied(self.state.history(lane.id), (), self._record.turns, lane.id, conversation)
        if made:
            await store.save([copy for _, copy in made])
        return conversation

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
            raise SessionError(f"a message can be asked 1 to {MOST_REPEATS} times")
        for lane in self._rules.present(list(parents)):
            self._runner.entry(lane, self._rules.name(lane))
        message = message_to_json(await self._attachments.stored(user))
        round_id = RoundId(new_id())
        positions = _positions(
            round_id, parents, dict.fromkeys(parents, repeats or self.state.opened.repeats)
        )
        event = Asked(round_id, message, positions, to_all, replaces)
        halting = parents if replaces is not None else ()
        await self._runner.start(event, ctx, places=places, halting=halting)
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


def _with_letters(state: SessionState, events: list[SessionEvent]) -> list[SessionEvent]:
    """Return the events; with new letters, if they change a blind session's lanes before any message."""
    for event in events:
        state = reduce(state, event)
    if state.hidden and not state.rounds:
        events.append(Drawn(draw(lane.id for lane in state.lanes)))
    return events
