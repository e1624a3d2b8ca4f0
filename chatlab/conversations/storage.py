"""The open storage of a configuration: the conversations and their attachments, together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from chatlab.config import models as config
from chatlab.errors import StoreError
from chatlab.secret import SecretRef
from chatlab.store import Store
from chatlab.store.files import Files


@dataclass(frozen=True, slots=True)
class OpenStorage:
    """An open store, and the files that its messages name."""

    store: Store
    files: Files


@asynccontextmanager
async def open_storage(wanted: config.Storage | None) -> AsyncIterator[OpenStorage | None]:
    """Yield the storage of a configuration, closed at the end; None for `storage: none`.

    Raises StoreError, saying what to do, where the database or the files cannot be used.
    """
    if wanted is None:
        yield None
        return
    # The paths of a configuration that was loaded are absolute; others start at the working folder.
    files = Files(_resolved(wanted.files), Path(), identity=wanted.auth)
    try:
        # Half a second of imports, in which a page that is served already has other things to do.
        open_store = (await asyncio.to_thread(import_module, "chatlab.store.sql")).open_store
        store: Store = await open_store(wanted.url, Path(), notify=wanted.notify, identity=wanted.auth)
        try:
            yield OpenStorage(store, files)
        finally:
            await store.aclose()
    finally:
        files.close()


def _resolved(place: str | SecretRef) -> str:
    if isinstance(place, str):
        return place
    try:
        return place.text().get_secret_value()
    except LookupError as exc:
        raise StoreError(f"storage.files cannot be read: {exc}") from exc
