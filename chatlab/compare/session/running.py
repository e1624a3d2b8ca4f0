"""The turns of a comparison session while they run, and news of them for whoever paints.

Each lane's turn is a `Turn` with a task of its own, and another that reads it. They share nothing that can
change: a lane that stalls, fails or floods is felt by no other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol, TypeVar

from chatlab.backend import CallContext
from chatlab.conversations.turn_state import as_it_is
from chatlab.errors import ChatlabError
from chatlab.ids import LaneId, RoundId, TurnId
from chatlab.secret import scrubbed_traceback
from chatlab.store import StoredTurn
from chatlab.turns.turn import Turn

log = logging.getLogger(__name__)

T = TypeVar("T")

_PACE = 0.05  # seconds between two looks at a lane that streams; its first token and its end come at once
_APART = 0.002  # seconds between two starts: about what it takes to make a request ready


@dataclass(frozen=True, slots=True)
class Changed:
    """News since the last time: the lanes whose answers changed, and whether the session's state did."""

    lanes: frozenset[LaneId]
    state: bool


class Wire:
    """Takes the hash of the request that was sent last: it is `CallContext.sent` of one call."""

    def __init__(self) -> None:
        self.sha256: str | None = None

    def __call__(self, body: bytes) -> None:
        self.sha256 = sha256(body).hexdigest()


class Places(Protocol):
    """The room that whoever asks has for running turns; who serves the page says how much that is."""

    async def charge(self, turns: int) -> None:
        """Count turns that are about to begin. Raise ChatlabError if not all of them may."""

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Hold the place of one running turn that was charged; wait for it, if there is none."""


@dataclass(eq=False, slots=True)
class LaneTurn:
    """One turn of one lane, from before its start to its end. It belongs to the event loop.

    places: where it waits for its place before it starts; None for one that needs none.
    """

    begun: StoredTurn
    lane: LaneId
    round: RoundId
    turn: Turn
    ctx: CallContext
    wire: Wire
    places: Places | None = None
    task: asyncio.Task[None] | None = None
    error: str | None = None
    _stopped: bool = False
    _waits: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """End the turn, or its waiting for a place."""
        self._stopped = True
        self.turn.stop()
        if self._waits is not None:
            self._waits.cancel()

    @asynccontextmanager
    async def place(self) -> AsyncGenerator[bool, None]:
        """Hold the turn's place; False if it was stopped before it had one."""
        if self.places is None:
            yield not self._stopped
            return
        async with AsyncExitStack() as held:
            self._waits = asyncio.create_task(held.enter_async_context(self.places.turn()))
            try:
                await asyncio.wait([self._waits])
                if not self._waits.cancelled():
                    self._waits.result()
            finally:
                self._waits.cancel()
            yield not self._stopped

    @property
    def id(self) -> TurnId:
        """Return the id under which the turn is stored."""
        return self.begun.id

    @property
    def now(self) -> StoredTurn:
        """Return the turn as it is at this moment."""
        return as_it_is(self.begun, self.turn)


async def start_together(
    lane_turns: Sequence[LaneTurn],
    touch: Callable[[LaneId], None],
    settle: Callable[[LaneTurn], None],
) -> None:
    """Start the turns, milliseconds after each other and without waiting for any of them.

    At the very same moment each would wait, on its own clock, for the requests of all to be made ready: with
    eight lanes that was 15 ms in the time to the first token of every one (`benchmarks/compare.py`).

    touch: called with a lane whose answer has grown. settle: called when a turn has ended, however it did.
    """
    for number, one in enumerate(lane_turns):
        if number:
            await asyncio.sleep(_APART)
        if one.places is None:
            await one.turn.__aenter__()  # makes the turn's task and returns without giving way to any
        one.task = asyncio.create_task(_run(one, touch, settle), name=f"lane {one.lane}")


async def _run(one: LaneTurn, touch: Callable[[LaneId], None], settle: Callable[[LaneTurn], None]) -> None:
    """Give a turn its place, read it to its end, and settle it, whatever happens on the way."""
    try:
        async with one.place() as may_start:
            if may_start:
                await _read(one, touch)
            else:
                await one.turn.aclose()
    except Exception as exc:  # noqa: BLE001 - no fault of ours may leave a lane running for ever
        one.error = one.error or f"this answer broke off: unexpected {type(exc).__name__}, see the log"
        one.turn.outcome = "failed"
        log.error("lane %s broke off\n%s", one.lane, scrubbed_traceback(exc))
    finally:
        settle(one)


async def _read(one: LaneTurn, touch: Callable[[LaneId], None]) -> None:
    try:
        if one.places is not None:
            await one.turn.__aenter__()
        async for _ in one.turn.batches():
            touch(one.lane)
            await one.turn.pause(_PACE)
    except ChatlabError:
        pass  # it is in `turn.error`, and becomes part of the stored turn
    finally:
        await one.turn.aclose()


async def halt(lane_turns: Collection[LaneTurn]) -> None:
    """Stop turns and wait until their upstreams are closed and they have settled."""
    for one in lane_turns:
        one.stop()
    tasks = [one.task for one in lane_turns if one.task is not None]
    if tasks:
        await asyncio.wait(tasks)


@dataclass(eq=False, slots=True)
class _NewsReader:
    lanes: set[LaneId] = field(default_factory=set)
    state: bool = True
    news: asyncio.Event = field(default_factory=asyncio.Event)


class News:
    """Tells any number of readers what changed, each at its own pace.

    What a reader has not read yet is a set of lanes, however much happens meanwhile.
    """

    def __init__(self) -> None:
        self._readers: set[_NewsReader] = set()
        self._closed = False

    def touch(self, lane: LaneId) -> None:
        """Tell that an answer of this lane has changed."""
        for reader in self._readers:
            reader.lanes.add(lane)
            reader.news.set()

    def state(self) -> None:
        """Tell that the session's state has changed."""
        for reader in self._readers:
            reader.state = True
            reader.news.set()

    @property
    def readers(self) -> int:
        """Return how many read."""
        return len(self._readers)

    def close(self) -> None:
        """Let readers come to their end once they have read what there is."""
        self._closed = True
        for reader in self._readers:
            reader.news.set()

    async def read(self) -> AsyncGenerator[Changed, None]:
        """Yield what changed since the last time, as soon as something has; at first that the state did."""
        reader = _NewsReader()
        self._readers.add(reader)
        try:
            while True:
                if reader.lanes or reader.state:
                    changed = Changed(frozenset(reader.lanes), reader.state)
                    reader.lanes.clear()
                    reader.state = False
                    yield changed
                elif self._closed:
                    return
                else:
                    reader.news.clear()
                    await reader.news.wait()
        finally:
            self._readers.discard(reader)


class Background:
    """Tasks that outlive the call that began them. One that fails is logged, and harms nobody else."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Begin something, and hold it until it is done."""
        self.hold(asyncio.create_task(work, name=name))

    def hold(self, task: asyncio.Task[Any]) -> None:
        """Hold a task until it is done."""
        self.tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            log.error("%s failed\n%s", task.get_name(), scrubbed_traceback(exc))


class Serial:
    """Carries things out one after the other, each to its end, whatever becomes of who asked for it."""

    def __init__(self, background: Background) -> None:
        self.lock = asyncio.Lock()
        self._background = background

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do something after all that was begun before it, and return what it returns.

        If the caller is cancelled meanwhile, it is done nevertheless.
        """

        async def alone() -> T:
            async with self.lock:
                return await work()

        task = asyncio.create_task(alone())
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._background.hold(task)
            raise
