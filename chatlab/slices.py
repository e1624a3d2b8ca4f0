"""Work on the event loop that grows with what somebody sent or stored, done in slices.

    with Slices() as slices:
        for one in many:
            work_on(one)
            await slices.rest()

A thread would not do: it holds Python as much, and whoever else needs it waits at each of its steps.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import ClassVar, Self

_LONGEST = 0.005  # seconds


class Slices:
    """Leaves the event loop to others every few milliseconds, if it is asked after each piece of work. All
    such work together gets half of the time. The event loop owns it."""

    _at_work: ClassVar[int] = 0

    def __enter__(self) -> Self:
        Slices._at_work += 1
        self._since = monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        Slices._at_work -= 1

    async def rest(self) -> None:
        """Return at once, or after the others had their turn."""
        worked = monotonic() - self._since
        if worked > _LONGEST:
            await asyncio.sleep(worked * Slices._at_work)
            self._since = monotonic()
