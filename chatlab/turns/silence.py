"""The silence of an attempt: for how long nothing may arrive."""

from __future__ import annotations

import asyncio


class Silence:
    """Ends an attempt when nothing arrives for so many seconds, as far as its whole time goes."""

    def __init__(self, timer: asyncio.Timeout, deadline: float, seconds: float) -> None:
        self._timer = timer
        self._deadline = deadline
        self._seconds = seconds
        self._clock = asyncio.get_running_loop().time
        self._next = 0.0

    def broken(self) -> None:
        """Count anew. Once in a while is enough: the timer fires late by that, never early."""
        now = self._clock()
        if now >= self._next and not self._timer.expired():
            self._timer.reschedule(min(self._deadline, now + 1.05 * self._seconds))
            self._next = now + 0.05 * self._seconds
