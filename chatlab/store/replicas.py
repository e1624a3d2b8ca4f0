"""The other servers of a database, and the news of turns that they run."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from chatlab.ids import TurnId

LOOKS_ON = 20.0
"""Seconds for which one `look_on` counts; whoever goes on looking says it again before."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A wish of another server for a turn that runs here.

    stop: it is to be stopped; otherwise somebody looks on for the next `LOOKS_ON` seconds.
    """

    turn: TurnId
    stop: bool


class Replicas(ABC):
    """The other servers of the same database. Of the event loop; what asks the database raises StoreError.

    What they tell each other is in the database. A notification only says that there is something to be read,
    so that one which is lost costs time and nothing else.
    """

    @property
    @abstractmethod
    def several(self) -> bool:
        """Return whether servers on other machines may use the same database."""

    @property
    @abstractmethod
    def patience(self) -> float:
        """Return the seconds after which whoever waits for news of another server looks without any."""

    @abstractmethod
    def news(self, *names: str) -> AbstractContextManager[asyncio.Event]:
        """Yield an event that is set whenever another server tells of one of these turns or sessions."""

    @abstractmethod
    async def look_on(self, owner: str, turns: Sequence[TurnId]) -> None:
        """Tell whoever runs these turns that somebody looks on here, for `LOOKS_ON` seconds."""

    @abstractmethod
    async def ask_to_stop(self, owner: str, turns: Sequence[TurnId]) -> None:
        """Ask whoever runs these turns to stop them. Their end is to be read in the store."""

    @abstractmethod
    def take_wishes(self, take: Callable[[Wish], None]) -> None:
        """Have `take` called with what others wish of the turns that run here."""


async def wait_for_any(*events: asyncio.Event, seconds: float | None) -> None:
    """Wait until one of these events is set, for so many seconds at most; for good with None."""
    waits = [asyncio.create_task(one.wait()) for one in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waits:
            one.cancel()
