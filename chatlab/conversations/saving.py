"""Saving what runs: the message before its backend is called, the answer as it grows, and its end.

One task writes for all running turns together, and there is none while nothing runs. A database that does
not answer holds nobody up: what should have been written waits in memory, newest state only, and is written
when the database is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, assert_never

from chatlab.conversations.turn_state import as_it_is
from chatlab.ids import ConversationId, TurnId
from chatlab.messages import FilePart, Part, ReasoningPart, TextPart, ToolCall, ToolResult
from chatlab.secret import scrub, scrubbed_traceback
from chatlab.store import BegunConversation, NotStored, Store, StoredTurn, Unreachable
from chatlab.store.replicas import LOOKS_ON, Wish
from chatlab.turns.turn import Turn
from chatlab.words import ENGLISH

log = logging.getLogger(__name__)

_AT_ONCE = 200  # turns in one transaction, when many have waited
_REMEMBERED = 1_000  # turns that were given up, of which it can still be said why

_LOOKED_ON = 0.25  # seconds between two checkpoints of a turn that a page of another server shows

_LAST = 10.0  # seconds in which a server that stops ends its turns, and again in which it saves them

_LATER = ENGLISH("notice.saved-later")


@dataclass(frozen=True, slots=True)
class NewConversation:
    """A conversation that begins with the turn it is given with. Its id is the turn's `conversation`."""

    title: str = ""
    comparison: str | None = None


@dataclass(slots=True)
class _Running:
    begun: StoredTurn
    turn: Turn
    seen: StoredTurn  # as it was when last looked at
    receipt_follows: bool


@dataclass(slots=True)
class _Waiting:
    """The newest state of a turn that is still to be written, and since when it waits (once it has ended)."""

    turn: StoredTurn
    since: float
    receipt: Mapping[str, Any] | None = None

    @property
    def size(self) -> int:
        """Return about how many characters it takes in memory."""
        return 2_000 + sum(map(_length, (*self.turn.user.parts, *self.turn.answer)))


class Saving:
    """Saves the turns of one app. With no store it does nothing, so that nobody needs to ask.

        begun = stored(TurnId(new_id()), owner, conversation, parent, user, turn)
        await saving.begin(begun, turn)
        async with turn: ...
        saving.end(begun, turn, error)
        await saving.written(begun.id)
        what_the_page_says = saving.unsaved(begun.id)

    every: seconds between two checkpoints. answers_within: seconds after which a write is given up that the
    store itself does not end.
    patience: seconds that a person waits for the database, before and after an answer.
    waits_for: seconds that an answer which cannot be written waits in memory; most: characters of all that
    wait.
    """

    def __init__(
        self,
        store: Store | None,
        *,
        every: float = 0.8,
        answers_within: float = 20,
        patience: float = 2,
        waits_for: float = 600,
        most: int = 64_000_000,
    ) -> None:
        self._store = store
        self._every = every
        self._answers_within = answers_within
        self._patience = patience
        self._waits_for = waits_for
        self._most = most
        self._running: dict[str, _Running] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._new: dict[str, NewConversation] = {}
        self._refused: dict[str, str] = {}
        self._looked_on: dict[str, float] = {}  # turns, and until when another server looks on
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._round = asyncio.Event()  # set when the write that goes on or comes next is over
        self._writing_since: float | None = None
        self._away_since: float | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._closing = False
        self._closed = False

    async def begin(
        self,
        begun: StoredTurn,
        turn: Turn,
        new: NewConversation | None = None,
        *,
        receipt_follows: bool = False,
    ) -> None:
        """Commit a person's message, and follow its turn from now on. To be called before it is entered.

        new: the conversation is made first. receipt_follows: what `end` returns is not written until
        `with_receipt` is called with it, so that no ended turn is ever there without its receipt. Returns
        when all is committed or the database does not answer, which is no failure of the turn: see `unsaved`.
        """
        if self._store is None or self._closed:
            return
        if new is not None:
            self._new[begun.conversation] = new
        self._running[begun.id] = _Running(begun, turn, begun, receipt_follows)
        self._put(begun)
        try:
            await self.written(begun.id)
        except asyncio.CancelledError:
            self.end(begun, turn)
            raise

    def end(self, begun: StoredTurn, turn: Turn, error: str | None = None) -> StoredTurn:
        """Return the turn as it ended, which is written at once. One that is not over, or never began, is
        stopped; interrupted, if the server ends.

        error: the sentence the person read, if it is not the turn's own.
        """
        ended = as_it_is(begun, turn, error)
        if ended.status == "running":
            ended = replace(ended, status="stopped")
        if ended.status == "stopped" and self._closing:
            ended = replace(ended, status="interrupted")
        if self._store is not None and not self._closed:
            running = self._running.pop(begun.id, None)
            self._refused.pop(begun.id, None)  # what was refused before may be taken now
            if running is None or not running.receipt_follows:
                self._put(ended)
        return ended

    def with_receipt(self, ended: StoredTurn, receipt: Mapping[str, Any] | None) -> None:
        """Have an ended turn written with its receipt, in one transaction; None where there is none."""
        if self._store is not None and not self._closed:
            self._put(ended, receipt)

    async def stop(self, owner: str, conversation: ConversationId) -> None:
        """End the turns of a conversation that run here, whoever shows them, and their upstreams."""
        where = (owner, conversation)
        running = [
            one for one in self._running.values() if (one.begun.owner, one.begun.conversation) == where
        ]
        await asyncio.gather(*(one.turn.aclose() for one in running))

    def wished(self, wish: Wish) -> None:
        """Do what another server wishes of a turn that runs here."""
        running = self._running.get(wish.turn)
        if running is None:
            return
        if wish.stop:
            running.turn.stop()
        else:
            self._looked_on[wish.turn] = monotonic() + LOOKS_ON

    def looked_on(self, turn_id: TurnId) -> bool:
        """Return whether a page of another server shows a turn that runs here."""
        return self._looked_on.get(turn_id, 0.0) > monotonic()

    async def written(self, turn_id: TurnId) -> None:
        """Wait until what is known of a turn is committed, or the database does not answer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience):
                while turn_id in self._waiting and self._away_since is None:
                    await self._round.wait()

    def unsaved(self, turn_id: TurnId) -> str | None:
        """Return why a turn is not saved, as a sentence for the page; None if it is, as far as anybody
        knows."""
        if turn_id in self._refused:
            return self._refused[turn_id]
        slow = self._writing_since is not None and monotonic() - self._writing_since > 0.9 * self._patience
        away = slow or self._away_since is not None
        return _LATER if away and (turn_id in self._waiting or turn_id in self._running) else None

    async def aclose(self) -> None:
        """Stop what runs, save it as interrupted, and write what waits. What a database that does not answer
        cannot take is lost, and logged. Afterwards nothing is saved any more."""
        self._closing = True
        running = tuple(self._running.values())
        if running:
            await asyncio.wait([asyncio.ensure_future(one.turn.aclose()) for one in running], timeout=_LAST)
        for one in running:
            if one.begun.id in self._running:
                ended = self.end(one.begun, one.turn)
                if one.receipt_follows:
                    self.with_receipt(ended, None)  # nobody took it in time: the answer is worth more
        self._closed = True
        if self._task is not None:
            self._retry_at = 0.0
            self._news.set()
            await asyncio.wait([self._task], timeout=_LAST)
            self._task.cancel()
            await asyncio.wait([self._task])
        for item in tuple(self._waiting.values()):
            self._refuse(item, "the database did not answer before the server stopped")

    def _put(self, turn: StoredTurn, receipt: Mapping[str, Any] | None = None) -> None:
        before = self._waiting.get(turn.id)
        ended = before is not None and before.turn.status != "running"
        if receipt is None and before is not None:
            receipt = before.receipt
        since = before.since if before and ended else monotonic()
        self._waiting[turn.id] = _Waiting(turn, since, receipt)
        self._news.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), name="saving")

    async def _work(self) -> None:
        """Write until nothing runs and nothing waits."""
        whole = checkpoint = monotonic() + self._every  # of all turns, and of those that are looked on
        while self._running or self._waiting:
            moment = monotonic()
            if moment >= checkpoint:
                self._look(only=self._looked_on if moment < whole else self._running)
                whole = whole if moment < whole else moment + self._every
                checkpoint = min(whole, moment + _LOOKED_ON) if self._looked_on else whole
            if self._waiting and moment >= self._retry_at:
                await self._write()
                if self._closed and self._away_since is not None:
                    return
            else:
                until = checkpoint if self._running else self._retry_at
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(until - moment):
                        await self._news.wait()
            self._news.clear()

    def _look(self, only: Mapping[str, object]) -> None:
        """Put what changed of these turns since their last checkpoint among what waits."""
        if self._looked_on:
            moment = monotonic()
            self._looked_on = {
                turn: until
                for turn, until in self._looked_on.items()
                if until > moment and turn in self._running
            }
        for one in [self._running[turn] for turn in tuple(only) if turn in self._running]:
            state = as_it_is(one.begun, one.turn)
            if state.status != "running" and one.receipt_follows:
                continue
            if state.status != "running":
                # Whoever runs it says how it ended for the person; should that never come, this is known.
                del self._running[state.id]
            if state != one.seen and state.id not in self._refused:
                one.seen = state
                self._put(state)

    async def _write(self) -> None:
        """Write what waits, oldest first, so that a turn comes after the one it follows."""
        self._writing_since = monotonic()
        try:
            async with asyncio.timeout(self._answers_within):
                await self._commit(tuple(itertools.islice(self._waiting.values(), _AT_ONCE)))
        except (Unreachable, OSError) as exc:  # a TimeoutError is an OSError
            self._away(exc)
        else:
            if self._away_since is not None:
                log.warning("the database answers again after %.0f s", monotonic() - self._away_since)
            self._away_since, self._failures, self._retry_at = None, 0, 0.0
        finally:
            self._writing_since = None
            self._round.set()
            self._round = asyncio.Event()

    async def _commit(self, items: Sequence[_Waiting]) -> None:
        """Write all in one transaction; one by one if the database refuses that, to find the one it
        refuses."""
        assert self._store is not None
        try:
            new = self._begun(items)
            turns = [item.turn for item in items]
            receipts = {item.turn.id: item.receipt for item in items if item.receipt is not None}
            await (self._store.save(turns, new, receipts) if receipts else self._store.save(turns, new))
            for conversation in new:
                self._new.pop(conversation.id, None)
        except (Unreachable, OSError):
            raise
        except Exception as exc:  # noqa: BLE001 - one turn that cannot be saved must not keep others from it
            if len(items) > 1:
                for item in items:
                    await self._commit([item])
                return
            log.error("turn %s is refused\n%s", items[0].turn.id, scrubbed_traceback(exc))
            gone = isinstance(exc, NotStored)
            self._refuse(items[0], "its conversation is gone" if gone else f"{type(exc).__name__}")
        for item in items:
            if self._waiting.get(item.turn.id) is item:  # else there is news of it already
                del self._waiting[item.turn.id]

    def _begun(self, items: Sequence[_Waiting]) -> list[BegunConversation]:
        """Return the conversations that are still to be made for these turns, each once."""
        owners = {item.turn.conversation: item.turn.owner for item in items}
        return [
            BegunConversation(conversation, owner, new.title, new.comparison)
            for conversation, owner in owners.items()
            if (new := self._new.get(conversation)) is not None
        ]

    def _away(self, exc: Exception) -> None:
        """Note that the database did not answer: it is asked again soon, then every few seconds."""
        moment = monotonic()
        if self._away_since is None:
            self._away_since = moment
            log.error("the database does not answer: %s", scrub(str(exc)) or type(exc).__name__)
        self._retry_at = moment + min(5.0, 0.25 * 2**self._failures)
        self._failures += 1
        size = sum(item.size for item in self._waiting.values())
        for item in tuple(self._waiting.values()):
            if item.turn.status == "running":
                continue
            if moment - item.since > self._waits_for:
                self._refuse(item, "the database did not answer for too long")
            elif size > self._most:
                self._refuse(item, "the database did not answer, and too many answers wait for it")
            else:
                continue
            size -= item.size

    def _refuse(self, item: _Waiting, reason: str) -> None:
        """Give a turn up, and say so."""
        turn = item.turn
        log.error("turn %s of conversation %s is not saved: %s", turn.id, turn.conversation, reason)
        if self._waiting.get(turn.id) is item:
            del self._waiting[turn.id]
        self._new.pop(turn.conversation, None)
        self._refused[turn.id] = f"this answer is not saved: {reason}"
        while len(self._refused) > _REMEMBERED:
            del self._refused[next(iter(self._refused))]


def _length(part: Part) -> int:
    if isinstance(part, TextPart | ReasoningPart):
        return len(part.text)
    if isinstance(part, ToolCall):
        return len(part.arguments)
    if isinstance(part, ToolResult):
        return len(part.content)
    if isinstance(part, FilePart):
        return len(part.data or b"")
    assert_never(part)
