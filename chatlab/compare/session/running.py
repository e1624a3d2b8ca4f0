"""The turns of a comparison session while they run, and news of them for whoever paints.

Each lane's turn is a `Turn` with a task of its own, and another that reads it. They share nothing that can
change: a lane that stalls, fails or floods is felt by no other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from chatlab.backend import CallContext
from chatlab.conversations.saving import as_it_is
from chatlab.errors import ChatlabError
from chatlab.secret import scrubbed_traceback
from chatlab.store import StoredTurn
from chatlab.turns.turn import Turn

log = logging.getLogger(__name__)

_PACE = 0.05  # seconds between two looks at a lane that streams; its first token and its end come at once
_APART = 0.002  # seconds between two starts: about what it takes to make a request ready


@dataclass(frozen=True, slots=True)
class Changed:
    """News since the last time: the lanes whose answers changed, and whether the session's state did."""

    lanes: frozenset[str]
    state: bool


class Wire:
    """Remembers the hash of the request that was sent last: `CallContext.sent`."""

    def __init__(self) -> None:
        self.sha256: str | None = None

    def __call__(self, body: bytes) -> None:
        self.sha256 = sha256(body).hexdigest()


@dataclass(eq=False, slots=True)
class LaneTurn:
    """One turn of one lane, from before its start to its end."""

    begun: StoredTurn
    lane: str
    round: str
    turn: Turn
    ctx: CallContext
    wire: Wire
    task: asyncio.Task[None] | None = None

    @property
    def now(self) -> StoredTurn:
        """The turn as it is."""
        return as_it_is(self.begun, self.turn)


async def start_together(
    lane_turns: Sequence[LaneTurn],
    touch: Callable[[str], None],
    settle: Callable[[LaneTurn], None],
) -> None:
    """Starts the turns, milliseconds after each other and without waiting for any of them.

    At the very same moment each would wait, on its own clock, for the requests of all to be made ready: with
    eight lanes that was 15 ms in the time to the first token of every one (`benchmarks/compare.py`).

    touch: called with a lane whose answer has grown. settle: called when a turn has ended, however it did.
    """
    for number, one in enumerate(lane_turns):
        if number:
            await asyncio.sleep(_APART)
        await one.turn.__aenter__()  # makes the turn's task and returns without giving way to any
        one.task = asyncio.create_task(_read(one, touch, settle), name=f"lane {one.lane}")


async def _read(one: LaneTurn, touch: Callable[[str], None], settle: Callable[[LaneTurn], None]) -> None:
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
    """Stops turns and waits until their upstreams are closed and they have settled."""
    for one in lane_turns:
        one.turn.stop()
    tasks = [one.task for one in lane_turns if one.task is not None]
    if tasks:
        await asyncio.wait(tasks)


@dataclass(eq=False, slots=True)
class _Reader:
    lanes: set[str] = field(default_factory=set)
    state: bool = True
    news: asyncio.Event = field(default_factory=asyncio.Event)


class News:
    """Tells any number of readers what changed, each at its own pace: what it has not read yet is a set of
    lanes, however much happens meanwhile."""

    def __init__(self) -> None:
        self._readers: set[_Reader] = set()
        self._closed = False

    def touch(self, lane: str) -> None:
        """An answer of this lane has changed."""
        for reader in self._readers:
            reader.lanes.add(lane)
            reader.news.set()

    def state(self) -> None:
        """The session's state has changed."""
        for reader in self._readers:
            reader.state = True
            reader.news.set()

    @property
    def readers(self) -> int:
        """How many read."""
        return len(self._readers)

    def close(self) -> None:
        """Readers come to their end once they have read what there is."""
        self._closed = True
        for reader in self._readers:
            reader.news.set()

    async def read(self) -> AsyncGenerator[Changed, None]:
        """What changed since the last time, as soon as something has; at first that the state did."""
        reader = _Reader()
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
        """Begins something, and holds it until it is done."""
        self.keep(asyncio.create_task(work, name=name))

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Holds a task until it is done."""
        self.tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            log.error("%s failed\n%s", task.get_name(), scrubbed_traceback(exc))
