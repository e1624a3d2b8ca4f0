"""A comparison session as other servers of the same database change it: its log, and turns that they run.

A turn that runs elsewhere is one that the store says is running and that does not run here. It is read again
whenever its server tells of news, and its end is in the store, also if that server died.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from time import monotonic

from chatlab.compare.session.record import SessionRecord
from chatlab.compare.session.running import News
from chatlab.errors import StoreError
from chatlab.ids import LaneId, TurnId
from chatlab.secret import scrub
from chatlab.store import NotStored, Store
from chatlab.store.replicas import LOOKS_ON, wait_for_any

log = logging.getLogger(__name__)

_STOPPED_WITHIN = 12.0  # seconds: a server that does not stop a turn is dead, and that is known by then


class TurnsElsewhere:
    """The turns of one session that other servers run. It belongs to the event loop.

    here: the turns that run on this server. refresh: reads the log, after what goes on.
    """

    def __init__(
        self,
        record: SessionRecord,
        news: News,
        here: Callable[[], Collection[TurnId]],
        refresh: Callable[[], Awaitable[None]],
    ) -> None:
        self._record = record
        self._news = news
        self._here = here
        self._refresh = refresh
        self._looked_on = -LOOKS_ON
        self._look = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Follow the session from now on, if other servers can have it."""
        store = self._record.store
        if store is not None and store.replicas.several:
            self._task = asyncio.create_task(self._follow(store), name=f"session {self._record.id} elsewhere")

    async def aclose(self) -> None:
        """Follow it no more. What runs elsewhere goes on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    @property
    def running(self) -> Mapping[TurnId, LaneId]:
        """Return the lanes of the turns that other servers run."""
        if self._task is None:
            return {}
        record, here = self._record, self._here()
        return {
            turn_id: record.state.positions[turn_id].lane
            for turn_id, turn in record.turns.items()
            if turn.status == "running" and turn_id not in here and turn_id in record.state.positions
        }

    def look(self) -> None:
        """Look now: somebody came to see."""
        self._look.set()

    async def stop(self, lanes: Collection[LaneId]) -> None:
        """Have what runs elsewhere in these lanes stopped, and wait until it is. Raise StoreError."""
        store = self._record.store
        wanted = [turn_id for turn_id, lane in self.running.items() if lane in lanes]
        if store is None or not wanted:
            return
        await store.replicas.ask_to_stop(self._record.owner, wanted)
        # Read here, for who follows the session may wait for what goes on meanwhile.
        with store.replicas.news(*wanted) as news, suppress(TimeoutError):
            async with asyncio.timeout(_STOPPED_WITHIN):
                while still := self.running.keys() & set(wanted):
                    news.clear()
                    await self._take(store, still)
                    if self.running.keys() & still:
                        await wait_for_any(news, self._look, seconds=store.replicas.patience)

    async def _follow(self, store: Store) -> None:
        while True:
            followed = self.running.keys() | set()
            with store.replicas.news(self._record.id, *followed) as news:
                while self.running.keys() == followed:
                    news.clear()
                    self._look.clear()
                    await self._read(store)
                    if self.running.keys() != followed:
                        break
                    watched = followed or self._news.readers
                    seconds = store.replicas.patience if watched else None
                    await wait_for_any(news, self._look, seconds=seconds)

    async def _read(self, store: Store) -> None:
        record = self._record
        try:
            if await store.log(record.owner, record.id, after=record.state.seq):
                await self._refresh()
            running = self.running
            if running and monotonic() - self._looked_on > LOOKS_ON / 3:
                self._looked_on = monotonic()
                await store.replicas.look_on(record.owner, tuple(running))
            await self._take(store, running)
        except NotStored:
            pass  # it was deleted: whoever asks for it is told
        except StoreError as exc:
            log.warning("other servers' part of a comparison is not seen: %s", scrub(str(exc)))

    async def _take(self, store: Store, turns: Collection[TurnId]) -> None:
        """Read turns that other servers run, and tell of what changed."""
        record = self._record
        for turn_id in tuple(turns):
            turn = await store.turn(record.owner, turn_id)
            if turn == record.turns[turn_id]:
                continue
            if turn.status != "running":
                await record.receipts.read([turn_id])
            record.turns[turn_id] = turn
            self._news.touch(record.state.positions[turn_id].lane)
