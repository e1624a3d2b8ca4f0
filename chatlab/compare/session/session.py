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

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from chatlab.backend import CallContext
from chatlab.compare.model import Lane, Mode, Receipt, Vote
from chatlab.compare.session.attachments import Attachments
from chatlab.compare.session.branches import Branches
from chatlab.compare.session.events import LaneAdded, Mismatch, Opened
from chatlab.compare.session.judging import Judging
from chatlab.compare.session.lane_changes import LaneChanges
from chatlab.compare.session.lanes import new_lane
from chatlab.compare.session.questions import Questions
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
from chatlab.store import Store, StoredTurn, new_id
from chatlab.store.files import Files

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
        rules = Rules(self._record, self._runner)
        self._branches = Branches(self._record, self._runner, rules)
        self._lane_changes = LaneChanges(self._record, self._runner, rules, self._branches, backends)
        self._questions = Questions(self._record, self._runner, rules, self._attachments)
        self._judging = Judging(self._record, self._runner, rules, backends)

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
        await session._lane_changes.begin(opened or Opened(), added, chat)
        session._runner.elsewhere.start()
        return session

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
        session._runner.elsewhere.start()
        return session

    async def refresh(self) -> None:
        """Read what other servers wrote into the session."""
        await self._runner.refresh()

    async def aclose(self) -> None:
        """Stop what runs here, and wait until it is saved."""
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
        self._runner.elsewhere.look()
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
        return await self._lane_changes.add(lane, like=like)

    @carried_out_whole
    async def swap(self, old: LaneId, lane: str | CompareLane, *, keep_history: bool = False) -> Lane:
        """Put another lane in the place of one, and return it.

        In own mode it begins without history unless that of the old one is to be kept, copied; `rerun` asks
        it all that was asked so far. What runs in the old one is stopped, unless the swap is refused.
        """
        return await self._lane_changes.swap(old, lane, keep_history=keep_history)

    @carried_out_whole
    async def change_lane(self, lane: CompareLane, lane_id: LaneId) -> Lane:
        """Give a lane other parameters, label or system prompt, from its next turn on; return it."""
        return await self._lane_changes.change(lane, lane_id)

    @carried_out_whole
    async def remove_lane(self, lane_id: LaneId) -> None:
        """Take a lane away; what it answered stays part of the session and of the store."""
        await self._lane_changes.remove(lane_id)

    @carried_out_whole
    async def reorder(self, lanes: Sequence[LaneId]) -> None:
        """Put the lanes into another order, all of them named."""
        await self._lane_changes.reorder(lanes)

    @carried_out_whole
    async def set_mode(self, mode: Mode) -> None:
        """Set own or shared history, from the next turn on.

        Lanes that go on from different answers need a `pick` in shared mode before they are asked again; in
        own mode each goes on from its own.
        """
        await self._lane_changes.set_mode(mode)

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
        return await self._questions.ask(message, lanes=lanes, repeats=repeats, ctx=ctx, places=places)

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
        return await self._questions.edit(round_id, message, lanes=lanes, ctx=ctx, places=places)

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
        await self._questions.retry(round_id, lanes=lanes, ctx=ctx, places=places)

    @carried_out_whole
    async def ask_others(self, *, places: Places | None = None) -> None:
        """Ask the last message of the lanes that were not asked it yet, each after what it goes on from."""
        await self._questions.ask_others(places=places)

    @carried_out_whole
    async def rerun(
        self, lane_id: LaneId, *, ctx: CallContext | None = None, places: Places | None = None
    ) -> None:
        """Ask a lane anew all that it goes on from, and what was asked of all before it came, one by one.

        In shared mode only the last round: what was before it is the common history. Returns when it has
        begun; a failure or a stop ends it.
        """
        await self._questions.rerun(lane_id, ctx=ctx, places=places)

    @carried_out_whole
    async def undo(self, *, lanes: Sequence[LaneId] | None = None) -> Message:
        """Take back the last round of all lanes or of these; return its message, with which to begin anew."""
        return await self._questions.undo(lanes=lanes)

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
        await self._branches.pick(turn_id)

    @carried_out_whole
    async def to_version(self, round_id: RoundId) -> None:
        """Check out another version of a message.

        Every lane that was asked it goes on from its last head after it. Does nothing if all of them go on
        from it now.
        """
        await self._branches.to_version(round_id)

    @carried_out_whole
    async def to_answer(self, round_id: RoundId, lane_id: LaneId, answer: int) -> None:
        """Check out another of a lane's answers to a round, by its number in `Round.attempts`, from 0.

        The lane goes on from its last head after it.
        """
        await self._branches.to_answer(round_id, lane_id, answer)

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
        return await self._judging.vote(
            round_id, best, voter=voter, criterion=criterion, reasons=reasons, note=note
        )

    @carried_out_whole
    async def reveal(self) -> None:
        """Reveal the names, for good: who knows one answer's lane knows it of all that follow."""
        await self._judging.reveal()

    @carried_out_whole
    async def continue_in_chat(self, lane_id: LaneId) -> ConversationId:
        """Make a chat that goes on from where a lane is, and return its id. The session stays."""
        return await self._judging.continue_in_chat(lane_id)
