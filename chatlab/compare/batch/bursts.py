"""Bursts: tasks that come a little apart go on at once, which costs less than one after the other."""

from __future__ import annotations

import asyncio

_TOGETHER = 0.03  # seconds that one waits for others at the most


class Bursts:
    """Has tasks that come within some hundredths of a second go on at once: bringing one line to the disk
    costs as much as many, and what is done many times in a row is in the processor's caches.

    enough: how many are worth no more waiting; of 1 none waits.
    """

    def __init__(self, enough: int) -> None:
        self._enough = enough
        self._waiting = 0
        self._next = asyncio.Event()

    async def next(self) -> None:
        """Wait for the next burst, which begins when enough are waiting, or the first has waited so long."""
        self._waiting += 1
        if self._waiting >= self._enough:
            self._begin(self._next)
            return
        burst = self._next
        if self._waiting == 1:
            asyncio.get_running_loop().call_later(_TOGETHER, self._begin, burst)
        await burst.wait()

    def _begin(self, burst: asyncio.Event) -> None:
        if burst is self._next:  # or it has begun already
            burst.set()
            self._waiting, self._next = 0, asyncio.Event()
