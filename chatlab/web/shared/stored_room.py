"""The room that visitors have for what is stored: `limits.stored_mb`.

    await room_of(lab).hold(storage, owner, size_of(message))   # refused at once if there is none

What is stored is measured about once a minute; what came since is counted. While all of it together is less
than one visitor may have, nobody's own is measured. While the store is away, what was known of it counts:
whoever asks then gets an answer, beside which it is said that it is not saved.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic
from weakref import WeakKeyDictionary

from chatlab.config.limits import StoredMb
from chatlab.conversations.service import StorageService
from chatlab.errors import StoreError
from chatlab.lab import Lab
from chatlab.messages import FilePart, Message
from chatlab.secret import scrub
from chatlab.web.shared.amounts import SUBJECT, LimitReached, Scope

log = logging.getLogger(__name__)

_MEASURED_EVERY = 60.0  # seconds
_TRIED_AGAIN = 5.0  # seconds after a store was away: to wait for it may take as long for everybody who asks
_REMEMBERED = 10_000  # visitors


class NoRoom(LimitReached):
    """There is no room to store more."""

    http_status = 507


class _Measured:
    """An amount of bytes that was measured, with what came since. The event loop owns it."""

    def __init__(self) -> None:
        self.bytes = 0
        self._due = 0.0
        self._measuring = asyncio.Lock()

    async def measure(self, measured: Callable[[], Awaitable[int]]) -> None:
        """Have it measured, unless it was within the last minute."""
        async with self._measuring:
            if monotonic() < self._due:
                return
            try:
                self.bytes = await measured()
                self._due = monotonic() + _MEASURED_EVERY
            except StoreError as exc:
                log.warning("what is stored is not measured just now: %s", scrub(str(exc)))
                self._due = monotonic() + _TRIED_AGAIN


class StoredRoom:
    """The room of one app's visitors. The event loop owns it."""

    def __init__(self, limits: StoredMb) -> None:
        self._limits = limits
        self._all = _Measured()
        self._own: dict[str, _Measured] = {}

    async def hold(self, storage: StorageService | None, owner: str | None, size: int = 0) -> None:
        """Count bytes that are about to be stored. Raise NoRoom where that is more than there may be."""
        if storage is None or owner is None:
            return
        store, files = storage.store, storage.files

        async def of_all() -> int:
            return await store.size() + sum((await files.sizes()).values())

        async def of_owner() -> int:
            sizes = await files.sizes()
            return await store.size(owner) + sum(sizes.get(one, 0) for one in await store.files_of(owner))

        most = self._limits.visitor
        await self._all.measure(of_all)
        own = None
        if most is not None and self._all.bytes + size > most * 1_000_000:
            own = self._own.pop(owner, None) or _Measured()
            self._own[owner] = own  # last again: the dict's order is that of use
            if len(self._own) > _REMEMBERED:
                del self._own[next(iter(self._own))]
            await own.measure(of_owner)
        # Nothing is awaited from here on, so that requests that come together cannot find the same room.
        if own is not None:
            self._require(own.bytes + size, most, "visitor")
            own.bytes += size
        self._require(self._all.bytes + size, self._limits.total, "total")
        self._all.bytes += size

    def _require(self, held: int, most: float | None, scope: Scope) -> None:
        if most is not None and held > most * 1_000_000:
            raise NoRoom("refusal.stored", who=SUBJECT[scope], most=f"{most:g}", scope=scope)


def size_of(message: Message) -> int:
    """Return about how many bytes a message takes that is stored, with the files it brings."""
    size = len(message.text.encode("utf-8", "replace"))
    for part in message.parts:
        if isinstance(part, FilePart) and part.url is None:
            size += len(part.data) if part.data is not None else part.path.stat().st_size if part.path else 0
    return size


_rooms: WeakKeyDictionary[Lab, StoredRoom] = WeakKeyDictionary()


def room_of(lab: Lab) -> StoredRoom:
    """Return the room of a lab's pages: the same for all of them."""
    assert lab.config is not None
    return _rooms.setdefault(lab, StoredRoom(lab.config.limits.stored_mb))
