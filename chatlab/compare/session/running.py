"""The turns of a comparison session while they run, and news of them for whoever paints.

Each lane's turn is a `Turn` with a task of its own, and another that reads it. They share nothing that can
change: a lane that stalls, fails or floods is felt by no other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, TypeVar

from chatlab.backend import CallContext
from chatlab.conversations.saving import as_it_is
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


@dataclass(eq=False, slots=True)
class LaneTurn:
    """One turn of one lane, from before its start to its end."""

    begun: StoredTurn
    lane: LaneId
    round: RoundId
    turn: Turn
    ctx: CallContext
    wire: Wire
    task: asyncio.Task[None] | None = None

    @property
    def id(self) -> TurnId:
        """Return the id under which the turn is stored."""
        return TurnId(self.begun.id)

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
        await one.turn.__aenter__()  # makes the turn's task and returns without giving way to any
        one.task = asyncio.create_task(_read(one, touch, settle), name=f"lane {one.lane}")


async def _read(one: LaneTurn, touch: Callable[[LaneId], None], settle: Callable[[LaneTurn], None]) -> None:
    try:
        async for _ in one.turn.batches():
            touch(one.lane)
            await one.turn.pause(_PACE)
    except ChatlabError:
        pass  # it is in `turn.error`, and becomes part of the stored turn
    finally:
        try:
            await one.turn.aclose()
        finally:
            settle(one)


async def halt(lane_turns: Collection[LaneTurn]) -> None:
    """Stop turns and wait until their upstreams are closed and they have settled."""
    for one in lane_turns:
        one.turn.stop()
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
