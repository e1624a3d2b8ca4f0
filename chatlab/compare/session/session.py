"""A comparison session: lanes that are asked the same, side by side, each with a history of its own.

    session = await ComparisonSession.create(lab.backends, ["a", "b"], owner="me", store=store, saving=saving)
    round = await session.ask("Why is the sky blue?")        # returns as soon as all lanes have started
    async for changed in session.changes(): ...              # paint session.turn(id) of what changed
    await session.settled()
    await session.vote(round, best=session.state.lanes[0].id, voter="me")

What a session is, is its log (`events`), and `session.state` is the reduce_log of it (`state`):
lanes, rounds, where each lane stands, votes. What was answered is `session.turn(id)`: of a turn that runs, as
it is now. Every method that changes the session is carried out whole, one after the other, even if its caller
is cancelled. It raises SessionError with a sentence if what it asks for is not possible, and a StoreError if
the database refuses; then nothing has changed.

Nothing is ever overwritten: a retry, an edit and a pick make siblings in the lanes' conversations. Names and
receipts are to be had here at any time: `chatlab.compare.session.blind` says what a browser may know
before the vote.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Self

from chatlab.backend import CallContext
from chatlab.compare.model import Lane, Mode, Vote
from chatlab.compare.session.attachments import asked_for
from chatlab.compare.session.blind import marks
from chatlab.compare.session.events import (
    CheckedOut,
    LaneAdded,
    LaneChanged,
    LaneRemoved,
    LaneSwapped,
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
from chatlab.compare.session.lanes import copied, new_lane, without_answer
from chatlab.compare.session.runner import SessionCore
from chatlab.config.models import CompareLane
from chatlab.config.registry import Entry
from chatlab.conversations.saving import Saving
from chatlab.messages import Message
from chatlab.store import Store, StoredTurn, new_id, now
from chatlab.store.files import Files


class ComparisonSession(SessionCore):
    """One comparison session of one person, in one event loop. Made by `create` and `open`; to be closed."""

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
        store: Store | None = None,
        saving: Saving | None = None,
        files: Files | None = None,
    ) -> Self:
        """A new session. opened: mode, blind, repeats, criteria; without a store it lives in memory only."""
        id = new_id() if store is None else (await store.create_comparison(owner, title=title)).id
        session = cls(backends, id, owner, store=store, saving=saving, files=files)
        added: list[Lane] = []
        entries: list[SessionEvent] = [opened or Opened()]
        for spec in lanes:
            added.append(new_lane(spec, backends, added))
            entries.append(LaneAdded(added[-1], await session._conversation()))
        await session._commit(*session._redrawn(entries))
        return session

    @classmethod
    async def open(
        cls,
        backends: Mapping[str, Entry],
        id: str,
        *,
        owner: str,
        store: Store,
        saving: Saving | None = None,
        files: Files | None = None,
    ) -> Self:
        """A stored session. Raises NotStored for one that is not the owner's."""
        await store.comparison(owner, id)
        session = cls(backends, id, owner, store=store, saving=saving, files=files)
        await session._read()
        return session

    # -- lanes

    async def add_lane(self, lane: str | CompareLane, *, like: str | None = None) -> Lane:
        """One more lane. like: the lane whose history it goes on from, copied; none in own mode by default.
        In shared mode it goes on from what all go on from."""

        async def add() -> Lane:
            self._may_change_lanes()
            new = new_lane(lane, self._backends, (*self.state.lanes, *self.state.removed))
            conversation = await self._conversation()
            history = await self._history(new, conversation, like)
            await self._commit(*self._redrawn([LaneAdded(new, conversation, history)]))
            return new

        return await self._whole(add)

    async def swap(self, old: str, lane: str | CompareLane, *, keep_history: bool = False) -> Lane:
        """Puts another lane in the place of one. In own mode it begins without history unless that of the old
        one is to be kept, copied; `rerun` asks it all that was asked so far."""

        async def swap() -> Lane:
            self._present([old])
            self._may_change_lanes()
            new = new_lane(lane, self._backends, (*self.state.lanes, *self.state.removed))
            await self._halt([old])
            conversation = await self._conversation()
            history = await self._history(new, conversation, old if keep_history else None)
            await self._commit(*self._redrawn([LaneSwapped(old, new, conversation, history)]))
            return new

        return await self._whole(swap)

    async def change_lane(self, lane: CompareLane, id: str) -> Lane:
        """Other parameters, label or system prompt, from the lane's next turn on."""

        async def change() -> Lane:
            (known,) = self._present([id])
            self._may_change_lanes()
            if lane.backend != known.backend:
                raise SessionError("another backend is another lane: swap it")
            others = [other for other in self.state.lanes if other.id != id]
            new = replace(new_lane(lane, self._backends, others), id=id)
            await self._commit(LaneChanged(new))
            return new

        return await self._whole(change)

    async def remove_lane(self, id: str) -> None:
        """Takes a lane away; what it answered stays part of the session and of the store."""

        async def remove() -> None:
            self._present([id])
            await self._halt([id])
            await self._commit(*self._redrawn([LaneRemoved(id)]))

        await self._whole(remove)

    async def reorder(self, lanes: Sequence[str]) -> None:
        """The lanes in another order, all of them named."""

        async def reorder() -> None:
            self._may_change_lanes()
            await self._commit(Reordered(tuple(lanes)))

        await self._whole(reorder)

    async def set_mode(self, mode: Mode) -> None:
        """own or shared history from the next turn on. Lanes that stand apart need a `pick` in shared mode
        before they are asked again; in own mode each goes on from where it stands."""
        await self._whole(lambda: self._commit(ModeSet(mode)))

    # -- asking

    async def ask(
        self,
        message: str | Message,
        *,
        lanes: Sequence[str] | None = None,
        repeats: int | None = None,
        ctx: CallContext | None = None,
    ) -> str:
        """Asks all lanes, or only these, together; the round's id. ctx: as whom, for this call alone."""

        async def ask() -> str:
            user = asked_for(message)
            asked = self._present(lanes)
            self._idle(asked)
            if self.state.mode == "shared" and not self.state.common:
                raise SessionError("pick the answer from which all lanes go on, then ask")
            heads = {lane.id: self.state.heads[lane.id] for lane in asked}
            return await self._ask(user, heads, lanes is None, repeats, ctx, None)

        return await self._whole(ask)

    async def edit(
        self,
        round: str,
        message: str | Message,
        *,
        lanes: Sequence[str] | None = None,
        ctx: CallContext | None = None,
    ) -> str:
        """Asks another message in the place of one, of all lanes that stand on it or of these; the new
        round's id. What followed the old one is left behind in these lanes, and kept."""

        async def edit() -> str:
            user = asked_for(message)
            parents = await self._standing_on(round, lanes)
            return await self._ask(user, parents, lanes is None, None, ctx, round)

        return await self._whole(edit)

    async def retry(
        self, round: str, *, lanes: Sequence[str] | None = None, ctx: CallContext | None = None
    ) -> None:
        """Answers a round anew, in all lanes that stand on it or in these. What followed is left behind."""

        async def retry() -> None:
            parents = await self._standing_on(round, lanes)
            known = self.state.round(round).turns
            places = [
                TurnPosition(new_id(), lane, round, parent, repeat)
                for lane, parent in parents.items()
                for repeat in range(len(known.get(lane, ("",))))
            ]
            await self._start(Retried(round, tuple(places)), places, ctx)

        await self._whole(retry)

    async def rerun(self, lane: str, *, ctx: CallContext | None = None) -> None:
        """Asks a lane anew all that it stands on, and what was asked of all before it came, one after the
        other. In shared mode only the last round: what was before it is the common history. Returns when
        it has begun; a failure or a stop ends it."""

        async def begin() -> None:
            self._present([lane])
            await self._halt([lane])
            self._rerun(lane, ctx)

        await self._whole(begin)

    async def undo(self, *, lanes: Sequence[str] | None = None) -> Message:
        """Takes back the last round of all lanes or of these; its message, with which to begin anew."""

        async def undo() -> Message:
            present = {lane.id for lane in self._present(lanes)}
            visible = [
                round
                for round in self.state.visible
                if any(self.state.standing(lane, round.id) for lane in present)
            ]
            if not visible:
                raise SessionError("there is nothing to take back")
            last = visible[-1]
            back = tuple(lane for lane in sorted(present) if self.state.standing(lane, last.id))
            await self._halt(back)
            await self._commit(Undone(last.id, back))
            (user,) = await self._attachments.given([last.user])
            return user

        return await self._whole(undo)

    async def stop(self, lane: str | None = None) -> None:
        """Stops a lane or all, and closes their upstreams. What had arrived stays."""
        lanes = [lane] if lane is not None else [one.id for one in self.state.lanes]
        await self._halt(lanes)
        await self._whole(lambda: self._halt(lanes))  # what was about to start, too

    async def pick(self, turn: str) -> None:
        """Says which answer is gone on from: in shared mode by all lanes, in own mode which of a lane's
        repeats. In shared mode the other lanes get what led to it, and it, as copies; their own stay."""

        async def pick() -> None:
            place = self.state.places.get(turn)
            ends = {self.state.places[head].round for head in self.state.heads.values() if head is not None}
            if place is None or place.round not in ends:
                raise SessionError("only an answer to the last message can be picked")
            self._idle([self.state.lane(place.lane)])
            if without_answer(self._turns[turn]):
                raise SessionError("there is nothing to go on from: pick another answer")
            copies: list[TurnPosition] = []
            back: dict[str, str] = {}
            if self.state.mode == "shared":
                turns: list[StoredTurn] = []
                path = self.state.path(turn)
                for lane in self.state.heads:
                    if lane != place.lane:
                        conversation = self.state.conversations[lane]
                        have = self.state.history(lane)
                        made = copied(path, have, self._turns, lane, conversation)
                        if not made and len(have) > len(path):  # it was asked more, alone
                            back[lane] = have[len(path) - 1].turn
                        copies.extend(placed for placed, _ in made)
                        turns.extend(copy for _, copy in made)
                await self._keep(turns)
            elif turn not in self.state.round(place.round).turns.get(place.lane, ()):
                raise SessionError("only an answer to the last message can be picked")
            await self._commit(Picked(turn, tuple(copies)), *([CheckedOut(back)] if back else []))

        await self._whole(pick)

    async def to_version(self, round: str) -> None:
        """Goes to another version of a message: every lane that was asked it goes on from where it stood last
        after it. Does nothing if all of them go on from it now."""

        async def to_version() -> None:
            state = self.state
            state.round(round)
            back = {lane: state.stood(lane, round) for lane in state.heads if not state.standing(lane, round)}
            await self._walk({lane: head for lane, head in back.items() if head is not None})

        await self._whole(to_version)

    async def to_answer(self, round: str, lane: str, answer: int) -> None:
        """Goes to another of a lane's answers to a round, numbered from 0 in the order they were asked for
        (`Round.given`): the lane goes on from where it stood last after it."""

        async def to_answer() -> None:
            self._present([lane])
            given = self.state.round(round).given.get(lane, ())
            if not 0 <= answer < len(given):
                raise SessionError("there is no such answer in this session")
            standing = self.state.standing(lane, round)
            head = self.state.stood(lane, round, given[answer])
            if head is not None and (standing is None or standing.turn not in given[answer]):
                await self._walk({lane: head})

        await self._whole(to_answer)

    # -- judging

    async def vote(
        self,
        round: str,
        best: str,
        *,
        voter: str,
        criterion: str | None = None,
        reasons: Sequence[str] = (),
        note: str = "",
    ) -> Vote:
        """Which lane (its id), "tie" or "bad" (all bad). Changed by voting again, until the next message."""

        async def vote() -> Vote:
            state, known = self.state, self.state.round(round)
            criteria = state.opened.criteria
            if criterion is not None and criterion not in criteria:
                raise SessionError(f"there is no criterion {criterion!r}: it is {', '.join(criteria)}")
            if not state.visible or state.visible[-1].id != round:
                raise SessionError("a vote can be given and changed until the next message only")
            if self._runs(round):
                raise SessionError("wait for all answers, then vote")
            shown = state.shown(known)
            if best not in (*shown, "tie", "bad"):
                raise SessionError("vote for a lane that answered, for a tie, or for none")
            marked: tuple[str, ...] = ()
            if state.hidden:  # in a thread: answers can be long
                marked = await asyncio.to_thread(marks, known, state, self._turns, self._backends)
            given = Vote(
                *(round, criterion or criteria[0], best, shown, voter, now(), state.hidden),
                tuple(reasons),
                note,
                marked,
                tuple(turn for lane in shown for turn in known.turns[lane]),
            )
            await self._commit(Voted(given))
            return given

        return await self._whole(vote)

    async def reveal(self) -> None:
        """Takes the letters off, for good: who knows one answer's lane knows it of all that follow."""

        async def reveal() -> None:
            if self.running():
                raise SessionError("wait for all answers, then take the letters off")
            if self.state.hidden:
                await self._commit(Revealed())

        await self._whole(reveal)

    async def continue_in_chat(self, lane: str) -> str:
        """A new chat that goes on from where a lane stands; the conversation's id. The session stays."""

        async def go_on() -> str:
            if self.state.hidden:
                raise SessionError("take the letters off first: a chat shows which backend answers")
            if self._store is None:
                raise SessionError("without storage there is no chat to go on in: configure `storage`")
            self._idle(self._present([lane]))
            conversation = (await self._store.create(self.owner)).id
            made = copied(self.state.history(lane), (), self._turns, lane, conversation)
            if made:
                await self._store.save([copy for _, copy in made])
            return conversation

        return await self._whole(go_on)
