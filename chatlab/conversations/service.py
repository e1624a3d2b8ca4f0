"""A configuration's storage as a running server uses it: it saves turns as they run, and removes old ones."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from chatlab.config import models as config
from chatlab.conversations.saving import Saving
from chatlab.conversations.storage import OpenStorage, open_storage
from chatlab.errors import StoreError
from chatlab.secret import scrub
from chatlab.store import UNDO, Store, now, unused_since
from chatlab.store.files import Files, collect

log = logging.getLogger(__name__)

_PURGED_EVERY = 600.0  # seconds between two rounds


@dataclass(frozen=True, slots=True)
class StorageService:
    """An open store, the files that its messages name, and what saves running turns in it. keep_days: as
    configured."""

    store: Store
    files: Files
    saving: Saving
    keep_days: int | None = None


@asynccontextmanager
async def storage_service(wanted: config.Storage) -> AsyncIterator[StorageService]:
    """Open the storage and mark what a server that died left running. At the end, everything is saved."""
    async with open_storage(wanted) as storage:
        assert storage is not None
        await storage.store.recover()
        saving = Saving(storage.store)
        storage.store.replicas.take_wishes(saving.wished)
        purging = asyncio.create_task(_purge_regularly(storage, wanted.keep_days), name="purging")
        try:
            yield StorageService(storage.store, storage.files, saving, wanted.keep_days)
        finally:
            purging.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await purging
            await saving.aclose()


async def _purge_regularly(storage: OpenStorage, keep_days: int | None) -> None:
    """Remove for good what was deleted or is older than it may be, now and every few minutes."""
    while True:
        old = unused_since(keep_days)
        try:
            await collect(storage.store, storage.files, deleted_before=now() - UNDO, unused_since=old)
        except (StoreError, OSError) as exc:
            log.warning("old conversations were not removed: %s", scrub(str(exc)))
        await asyncio.sleep(_PURGED_EVERY)
