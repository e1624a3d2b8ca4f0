"""Pacing by an absolute schedule, for the kinds that make their own tokens."""

from __future__ import annotations

import asyncio

# How many events may follow each other before the event loop gets its turn.
_BURST = 32


class Pace:
    """Waits until moments counted in seconds from `start()`.

    What one sleep overshoots is thereby made up for by the next, so a rate holds over any length.
    """

    __slots__ = ("_burst", "_loop", "_start")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._burst = 0

    def start(self) -> None:
        """Set the zero of all moments to now."""
        self._start = self._loop.time()

    async def until(self, moment: float) -> None:
        """Return at that moment, or at once if it has passed; other tasks get their turn either way."""
        wait = self._start + moment - self._loop.time() if moment else 0.0
        if wait > 0:
            await asyncio.sleep(wait)
            return
        self._burst += 1
        if self._burst == _BURST:
            self._burst = 0
            await asyncio.sleep(0)

    async def pause(self, seconds: float) -> None:
        """Sleep for so many seconds, and move every later moment by as much."""
        await asyncio.sleep(seconds)
        self._start += seconds
