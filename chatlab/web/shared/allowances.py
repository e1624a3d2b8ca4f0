"""This server's part of the allowances that hold for all servers of a database.

Whoever asks at one time is asked for in one transaction, and places that are given back go with the next, or
with one of their own a moment later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import inf
from time import monotonic

from chatlab.errors import StoreError
from chatlab.secret import scrubbed_traceback
from chatlab.store import Unreachable
from chatlab.store.allowances import Exceeded, Part
from chatlab.web.shared.spent import Opened

log = logging.getLogger(__name__)

_TOGETHER = 0.25  # seconds within which places that are given back are told of together
_AWAY = 5.0  # seconds for which a database that was away is not asked again


@dataclass(eq=False, slots=True)
class _Wanted:
    parts: Sequence[Part]
    answer: asyncio.Future[Exceeded | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class SharedAllowances:
    """The allowances of one server's visitors among those of all. Of the event loop that it is made in."""

    def __init__(self, store: Opened) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._asking: list[_Wanted] = []
        self._held: dict[str, int] = {}  # places, by key
        self._changed: set[str] = set()  # the keys of which the database is not told yet
        self._task: asyncio.Task[None] | None = None
        self._away_until = 0.0

    async def take(self, parts: Sequence[Part]) -> Exceeded | None:
        """Take all parts or none, and return what refused them. Raise StoreError while the database is
        away."""
        if monotonic() < self._away_until:
            raise Unreachable("the database does not answer just now")
        asking = _Wanted(parts)
        self._asking.append(asking)
        self._tell()
        return await asking.answer

    def give_back(self, parts: Sequence[Part]) -> None:
        """Give places back that were taken. Any thread may."""
        self._loop.call_soon_threadsafe(self._give_back, parts)

    def _give_back(self, parts: Sequence[Part]) -> None:
        for one in parts:
            if one.places:
                self._hold(one, -one.places)
        if self._changed:
            self._loop.call_later(_TOGETHER, self._tell)

    def _hold(self, part: Part, places: int) -> None:
        held = self._held.get(part.key, 0) + places
        if held > 0:
            self._held[part.key] = held
        else:
            self._held.pop(part.key, None)
        self._changed.add(part.key)

    def _tell(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._told(), name="allowances")

    async def _told(self) -> None:
        while self._asking or (self._changed and monotonic() >= self._away_until):
            asking, self._asking = self._asking, []
            keys, self._changed = {one.key for each in asking for one in each.parts} | self._changed, set()
            try:
                store = await self._store()
                if not store.replicas.several:
                    self._is_away(asking, Unreachable("no other server uses this database"), inf)
                    continue  # with those who asked while it was opened
                held = {key: self._held.get(key, 0) for key in keys}
                answers = await store.allowances.take([one.parts for one in asking], held)
            except Exception as exc:  # noqa: BLE001 - whatever it is, nobody may wait for ever
                log.warning("limits hold for this server alone just now: %s", _reason(exc))
                self._changed |= keys
                self._is_away(asking, Unreachable("allowances cannot be told"), monotonic() + _AWAY)
                continue
            for one, exceeded in zip(asking, answers, strict=True):
                self._answer(one, exceeded)

    def _is_away(self, asking: Sequence[_Wanted], why: StoreError, until: float) -> None:
        self._away_until = until
        for one in asking:
            if not one.answer.done():
                one.answer.set_exception(why)

    def _answer(self, asking: _Wanted, exceeded: Exceeded | None) -> None:
        gone = asking.answer.done()  # whoever asked was cancelled, and has nothing
        if exceeded is None:
            for part in asking.parts:
                if part.places and gone:
                    self._changed.add(part.key)
                elif part.places:
                    self._held[part.key] = self._held.get(part.key, 0) + part.places
        if not gone:
            asking.answer.set_result(exceeded)

    async def aclose(self) -> None:
        """Ask the database no more: the places of a server that is gone are nobody's."""
        self._away_until = inf
        if self._task is not None:
            await asyncio.wait([self._task])


@asynccontextmanager
async def shared_allowances(store: Opened) -> AsyncIterator[SharedAllowances]:
    """Yield the allowances of this server, until it asks the database no more."""
    shared = SharedAllowances(store)
    try:
        yield shared
    finally:
        await shared.aclose()


def _reason(exc: Exception) -> str:
    """Return what the log has of a failure: of one that nobody foresaw, where it was."""
    return str(exc) if isinstance(exc, StoreError) else scrubbed_traceback(exc)
