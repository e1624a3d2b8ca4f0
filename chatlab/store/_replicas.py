"""This server among those of one database: it says that it is there, hears others, and does their wishes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from time import monotonic

from sqlalchemy import Connection

from chatlab.errors import StoreError
from chatlab.ids import TurnId
from chatlab.secret import scrub
from chatlab.store import StoredTurn
from chatlab.store._database import Database
from chatlab.store._servers import CHANNEL, POSTGRES_BEATS, SQLITE_BEATS, DatabaseServer, tell, wish
from chatlab.store.replicas import LOOKS_ON, Replicas, Wish

log = logging.getLogger(__name__)

_UNASKED = 1.0  # seconds between two looks where nothing is heard of others
_IN_CASE = 5.0  # the same where it is, and something may be lost nevertheless
_LISTEN_AGAIN = 5.0  # seconds after which a listening connection that ended is made anew


class SqlReplicas(Replicas):
    """See `Replicas`. notify: whether PostgreSQL tells servers of each other's news (LISTEN)."""

    def __init__(self, database: Database, *, notify: bool = True) -> None:
        self.server = DatabaseServer(beats=SQLITE_BEATS if database.sqlite else POSTGRES_BEATS)
        self._database = database
        self._notify = notify and not database.sqlite
        self._news: dict[str, set[asyncio.Event]] = {}
        self._take: Callable[[Wish], None] | None = None
        self._looked_on: dict[TurnId, float] = {}  # turns that run here, and until when others look on
        self._hears = False
        self._tasks: list[asyncio.Task[None]] = []
        self._beaten = monotonic()

    @property
    def several(self) -> bool:
        return not self._database.sqlite

    @property
    def patience(self) -> float:
        return _IN_CASE if self._hears else _UNASKED

    @contextmanager
    def news(self, *names: str) -> Iterator[asyncio.Event]:
        event = asyncio.Event()
        for name in names:
            self._news.setdefault(name, set()).add(event)
        try:
            yield event
        finally:
            for name in names:
                self._news[name].discard(event)
                if not self._news[name]:
                    del self._news[name]

    async def look_on(self, owner: str, turns: Sequence[TurnId]) -> None:
        await self._wish(owner, turns, stop=False)

    async def ask_to_stop(self, owner: str, turns: Sequence[TurnId]) -> None:
        await self._wish(owner, turns, stop=True)

    def take_wishes(self, take: Callable[[Wish], None]) -> None:
        self._take = take

    async def _wish(self, owner: str, turns: Sequence[TurnId], *, stop: bool) -> None:
        await self.keep_alive()

        def work(connection: Connection) -> None:
            servers = wish(connection, owner, turns, stop=stop)
            self.tell(connection, servers)

        await self._database.write(work)

    def tell(self, connection: Connection, names: Iterable[str]) -> None:
        """Tell the others of news, once the transaction is committed."""
        if self._notify:
            tell(connection, self.server.token, names)

    def looked_on(self, turns: Iterable[StoredTurn]) -> list[str]:
        """Return those of some turns at which another server looks on."""
        if not self._looked_on:
            return []
        moment = monotonic()
        self._looked_on = {turn: until for turn, until in self._looked_on.items() if until > moment}
        return [turn.id for turn in turns if turn.id in self._looked_on]

    # -- being there

    async def keep_alive(self) -> None:
        """Announce this process in the database from now on, and watch for servers that died."""
        if self._tasks:
            return
        await self._database.write(self.server.beat)
        if not self._tasks:  # meanwhile another turn may have begun
            self._beaten = monotonic()
            self._tasks = [asyncio.create_task(self._beat(), name="store heartbeat")]
            if self._notify:
                self._tasks.append(asyncio.create_task(self._listen(), name="store notifications"))

    async def aclose(self) -> None:
        """End what was begun, and take this process back."""
        tasks, self._tasks = self._tasks, []
        if tasks:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)  # however they end, or ended: the store is closed
            with suppress(StoreError):  # then its silence will tell
                await self._database.write(self.server.leave)

    async def _beat(self) -> None:
        judges_from = 0.0
        while True:
            await asyncio.sleep(self.server.beats.every.total_seconds())
            silence = self.server.beats.silence.total_seconds()
            if monotonic() - self._beaten > silence:
                # The database was away, or this process was: for the others it may have been, too.
                judges_from = monotonic() + silence
            try:
                await self._once(judges=monotonic() >= judges_from)
            except StoreError as error:
                log.warning("%s", error)

    async def _once(self, *, judges: bool) -> None:
        def work(connection: Connection) -> tuple[int, Sequence[Wish]]:
            self.server.beat(connection)
            lost = self.server.recover(connection) if judges else 0
            return lost, self.server.wishes(connection)

        lost, wishes = await self._database.write(work)
        self._beaten = monotonic()
        if lost:
            log.warning("%d turns of a server that died were interrupted", lost)
        self._carry_out(wishes)

    def _carry_out(self, wishes: Sequence[Wish]) -> None:
        until = monotonic() + LOOKS_ON
        for one in wishes:
            if not one.stop:
                self._looked_on[one.turn] = until
            if self._take is not None:
                self._take(one)

    # -- hearing

    async def _listen(self) -> None:
        while True:
            try:
                async with aclosing(self._database.notifications(CHANNEL)) as told:
                    async for payload in told:
                        self._hears = True
                        await self._heard(payload)
            except (StoreError, OSError) as exc:
                log.warning("the other servers are not heard, only looked for: %s", scrub(str(exc)))
            self._hears = False
            await asyncio.sleep(_LISTEN_AGAIN)

    async def _heard(self, payload: str) -> None:
        """payload: as `CHANNEL` says; "" once it listens, and something may have been missed."""
        sender, _, name = payload.partition(" ")
        if sender == self.server.token:
            return
        if name in ("", self.server.token):
            self._carry_out(await self._database.read(self.server.wishes))
        for event in (
            self._news.get(name, ()) if name else (one for all_ in self._news.values() for one in all_)
        ):
            event.set()
