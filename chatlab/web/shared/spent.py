"""The amounts that visitors spent within a day: of tokens, and of money.

They are counted in memory, and also in the store where there is one, so that neither a restart nor another
server on the same database gives anybody a second day.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from time import time
from typing import TypeAlias

from chatlab.errors import StoreError
from chatlab.store import Store
from chatlab.store.spending import Spending, Spent

log = logging.getLogger(__name__)

_DAY_HOURS = 24
_GROWING = 2  # the last hours, in which others may still count: older ones are read once an hour
Opened: TypeAlias = Callable[[], Awaitable[Store]]
"""Returns the store, opened when first asked for."""

_EVERY = 2.0  # seconds between two looks at what others wrote
_Hours: TypeAlias = dict[str, dict[int, Spent]]
"""The amounts of each owner by the hour; of "" everybody's."""


class DaySpending:
    """The amounts by the hour. Any thread may ask.

    After `exchange` was called once, a store has them too, and they are those of all servers on it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hours: _Hours = {}  # with a store, the last ones
        self._settled: _Hours = {}  # those before, as the store had them in the hour of `_read`
        self._read = 0
        self._untold: dict[tuple[str, int], Spent] | None = None  # since the store was last told
        self._swept = 0  # the hour in which those were last forgotten who spent nothing within a day
        self._away = False

    def add(self, owner: str, tokens: float, cost: float) -> None:
        """Count what somebody spent."""
        spent = Spent(owner, this_hour(), tokens, cost)
        with self._lock:
            if spent.hour != self._swept:
                days = ((one, _within_a_day(hours)) for one, hours in self._hours.items())
                self._hours = {one: recent for one, recent in days if recent}
                self._swept = spent.hour
            _count(self._hours, [spent])
            if self._untold is not None:
                self._tell_later([spent])

    def of_day(self, owner: str) -> tuple[float, float]:
        """Return the tokens and the money that somebody spent within a day; of "" everybody."""
        with self._lock:
            of_owner = (hours.get(owner, {}) for hours in (self._settled, self._hours))
            recent = [one for hours in of_owner for one in _within_a_day(hours).values()]
            return sum(one.tokens for one in recent), sum(one.cost for one in recent)

    async def exchange(self, store: Opened) -> None:
        """Tell a store what is new here, and take what is new there. Where that fails it is said once, and
        done the next time."""
        with self._lock:
            self._tell_later([])
        hour = this_hour()
        growing = hour - _GROWING
        try:
            stored = await self._exchanged(
                (await store()).spending, growing if hour == self._read else hour - _DAY_HOURS
            )
        except StoreError as exc:
            if not self._away:
                log.warning("what people spend is not stored just now: %s", exc)
            self._away = True
            return
        self._away = False
        # Of many people these take a while, in which the event loop goes on.
        recent, settled = await asyncio.to_thread(_counted, stored, growing)
        with self._lock:
            _count(recent, (self._untold or {}).values())
            self._hours = recent
            if hour != self._read:
                self._settled, self._read = settled, hour

    async def _exchanged(self, spending: Spending, hour: int) -> Sequence[Spent]:
        """Tell what is untold, and return what there is after an hour."""
        with self._lock:
            untold, self._untold = self._untold or {}, {}
        try:
            if untold:
                await spending.add(list(untold.values()))
        except BaseException:
            with self._lock:
                self._tell_later(untold.values())
            raise
        return await spending.since(hour)

    def _tell_later(self, amounts: Iterable[Spent]) -> None:
        untold = self._untold = self._untold or {}
        for one in amounts:
            key = (one.owner, one.hour)
            untold[key] = one.plus(untold.get(key))


def _within_a_day(hours: dict[int, Spent]) -> dict[int, Spent]:
    first = this_hour() - _DAY_HOURS
    return {hour: spent for hour, spent in hours.items() if hour > first}


def _count(hours: _Hours, amounts: Iterable[Spent]) -> None:
    """Add amounts to those of their owners and hours, and to everybody's."""
    for one in amounts:
        for owner in (one.owner, ""):
            of_owner = hours.setdefault(owner, {})
            of_owner[one.hour] = one.plus(of_owner.get(one.hour))


def _counted(amounts: Iterable[Spent], growing: int) -> tuple[_Hours, _Hours]:
    """Return the amounts after the hour `growing`, and those up to it."""
    recent: _Hours = {}
    settled: _Hours = {}
    for one in amounts:
        _count(recent if one.hour > growing else settled, [one])
    return recent, settled


def this_hour() -> int:
    """Return the number of this hour since 1970."""
    return int(time() // 3_600)


@asynccontextmanager
async def spending_stored(spending: DaySpending, store: Opened) -> AsyncIterator[None]:
    """Have what is spent counted in a store from now on: what others wrote within seconds, and at the end all
    of one's own."""
    await spending.exchange(store)
    over = asyncio.Event()
    watching = asyncio.create_task(_watch(spending, store, over), name="spending")
    try:
        yield
    finally:
        over.set()  # not cancelled: of a write that was, nobody knows whether it was done
        await watching


async def _watch(spending: DaySpending, store: Opened, over: asyncio.Event) -> None:
    while not over.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), _EVERY)
        await spending.exchange(store)
