"""The store in SQLite or PostgreSQL. docs/storage.md has the tables and what is guaranteed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy.exc import IntegrityError

from chatlab.errors import StoreError
from chatlab.secret import SecretRef
from chatlab.store import (
    Conflict,
    Hit,
    Listed,
    LogEntry,
    NotStored,
    OwnerSummary,
    Share,
    Store,
    StoredComparison,
    StoredConversation,
    StoredTurn,
    _comparisons,
    _conversations,
    _purge,
    _search,
    _shares,
    _turns,
    _whole,
    new_id,
)
from chatlab.store._database import Database
from chatlab.store._servers import BEAT, Server
from chatlab.store.schema_state import opened, require_newest, upgrade_database

log = logging.getLogger(__name__)


async def open_store(url: str | SecretRef, root: Path = Path()) -> SqlStore:
    """The store that `storage.url` names, a relative path being below `root`. SQLite's tables are brought to
    the newest version; PostgreSQL's are its administrator's business. Raises StoreError, saying what to do.
    """
    database = await opened(url, root)
    try:
        if database.sqlite:
            await upgrade_database(database)
        else:
            await require_newest(database)
    except BaseException:
        await database.aclose()
        raise
    return SqlStore(database)


class SqlStore(Store):
    """See `Store`. Use it in one event loop, and close it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._server = Server()
        self._beating: asyncio.Task[None] | None = None

    # conversations

    async def create(
        self, owner: str, *, title: str = "", comparison: str | None = None, id: str | None = None
    ) -> StoredConversation:
        async with self._database.write() as connection:
            if comparison is not None:
                await _comparisons.get(connection, owner, comparison)
            try:
                made = await _conversations.add(connection, owner, id or new_id(), title, comparison)
            except IntegrityError:
                raise Conflict("there is a conversation with this id already") from None
            if comparison is None:
                await _search.set_title(connection, owner, made.id, title)
            return made

    async def get(self, owner: str, conversation: str) -> StoredConversation:
        async with self._database.read() as connection:
            return await _conversations.get(connection, owner, conversation)

    async def recent(self, owner: str, *, after: str | None = None, limit: int = 50) -> Listed:
        async with self._database.read() as connection:
            return await _conversations.recent(connection, owner, after, limit)

    async def search(self, owner: str, text: str, *, limit: int = 20) -> Sequence[Hit]:
        async with self._database.read() as connection:
            return await _search.search(connection, owner, text, limit)

    async def change(
        self,
        owner: str,
        conversation: str,
        *,
        title: str | None = None,
        pinned: bool | None = None,
        head: str | None = None,
    ) -> StoredConversation:
        async with self._database.write() as connection:
            changed = await _conversations.change(
                connection, owner, conversation, title=title, pinned=pinned, head=head
            )
            if title is not None and changed.comparison is None:
                await _search.set_title(connection, owner, conversation, title)
            return changed

    async def delete(self, owner: str, conversation: str) -> None:
        async with self._database.write() as connection:
            await _conversations.delete(connection, owner, conversation)

    async def restore(self, owner: str, conversation: str) -> StoredConversation:
        async with self._database.write() as connection:
            return await _conversations.restore(connection, owner, conversation)

    async def adopt(self, conversation: StoredConversation, turns: Sequence[StoredTurn]) -> None:
        async with self._database.write() as connection:
            await _whole.adopt(connection, conversation, turns, self._server.token)

    # turns

    async def turns(self, owner: str, conversation: str) -> Sequence[StoredTurn]:
        async with self._database.read() as connection:
            await _conversations.get(connection, owner, conversation)
            return await _turns.of_conversation(connection, owner, conversation)

    async def turn(self, owner: str, turn: str) -> StoredTurn:
        async with self._database.read() as connection:
            return await _turns.get(connection, owner, turn)

    async def save(self, turns: Sequence[StoredTurn]) -> None:
        if any(turn.status == "running" for turn in turns):
            await self._keep_alive()
        try:
            async with self._database.write() as connection:
                await _turns.save(connection, turns, self._server.token)
        except StoreError as error:
            if isinstance(error.__cause__, IntegrityError):
                raise NotStored("there is no such conversation, or no such turn before this one") from error
            raise

    async def recover(self) -> int:
        await self._keep_alive()
        async with self._database.write() as connection:
            return await self._server.recover(connection)

    async def _keep_alive(self) -> None:
        """From now on this process says that it is there, and looks who is not any more."""
        if self._beating is None:
            async with self._database.write() as connection:
                await self._server.beat(connection)
            if self._beating is None:  # meanwhile another turn may have begun
                self._beating = asyncio.create_task(self._beat(), name="store heartbeat")

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT.total_seconds())
            try:
                async with self._database.write() as connection:
                    await self._server.beat(connection)
                    lost = await self._server.recover(connection)
                if lost:
                    log.warning("%d turns of a server that died were interrupted", lost)
            except StoreError as error:
                log.warning("%s", error)

    # comparison sessions

    async def create_comparison(self, owner: str, *, title: str = "") -> StoredComparison:
        async with self._database.write() as connection:
            return await _comparisons.add(connection, owner, title)

    async def comparison(self, owner: str, comparison: str) -> StoredComparison:
        async with self._database.read() as connection:
            return await _comparisons.get(connection, owner, comparison)

    async def comparisons(
        self, owner: str, *, after: str | None = None, limit: int = 50
    ) -> tuple[Sequence[StoredComparison], str | None]:
        async with self._database.read() as connection:
            return await _comparisons.recent(connection, owner, after, limit)

    async def retitle_comparison(self, owner: str, comparison: str, title: str) -> None:
        async with self._database.write() as connection:
            await _comparisons.retitle(connection, owner, comparison, title)

    async def delete_comparison(self, owner: str, comparison: str) -> None:
        async with self._database.write() as connection:
            await _comparisons.delete(connection, owner, comparison)

    async def restore_comparison(self, owner: str, comparison: str) -> None:
        async with self._database.write() as connection:
            await _comparisons.restore(connection, owner, comparison)

    async def log(self, owner: str, comparison: str, *, after: int = 0) -> Sequence[LogEntry]:
        async with self._database.read() as connection:
            await _comparisons.get(connection, owner, comparison)
            return await _comparisons.log(connection, owner, comparison, after)

    async def append(
        self, owner: str, comparison: str, after: int, entries: Sequence[Mapping[str, Any]]
    ) -> Sequence[LogEntry]:
        async with self._database.write() as connection:
            return await _comparisons.append(connection, owner, comparison, after, entries)

    async def save_receipt(self, owner: str, turn: str, receipt: Mapping[str, Any]) -> None:
        async with self._database.write() as connection:
            if not await _turns.save_receipt(connection, owner, turn, receipt):
                raise Conflict("this turn has a receipt already, and receipts do not change")

    async def receipts(self, owner: str, turns: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        async with self._database.read() as connection:
            return await _turns.receipts_of(connection, owner, turns)

    # sharing

    async def share(
        self, owner: str, *, conversation: str | None = None, comparison: str | None = None
    ) -> Share:
        async with self._database.write() as connection:
            return await _shares.add(connection, owner, conversation, comparison)

    async def shares(
        self, owner: str, *, conversation: str | None = None, comparison: str | None = None
    ) -> int:
        async with self._database.read() as connection:
            return await _shares.count(connection, owner, conversation, comparison)

    async def revoke(
        self, owner: str, *, conversation: str | None = None, comparison: str | None = None
    ) -> None:
        async with self._database.write() as connection:
            await _shares.revoke(connection, owner, conversation, comparison)

    async def shared(self, token: str) -> tuple[str, Literal["conversation", "comparison"], str]:
        async with self._database.read() as connection:
            return await _shares.followed(connection, token)

    # attachments

    async def may_read(self, owner: str, sha256: str) -> str | None:
        async with self._database.read() as connection:
            return await _turns.media_type(connection, owner, sha256)

    async def unused(self, sha256s: Sequence[str]) -> Sequence[str]:
        async with self._database.read() as connection:
            return await _turns.unused(connection, sha256s)

    # keeping house

    async def owners(self) -> Sequence[OwnerSummary]:
        async with self._database.read() as connection:
            return await _whole.owners(connection)

    async def purge(self, *, deleted_before: datetime, unused_since: datetime | None = None) -> Sequence[str]:
        unnamed: dict[str, None] = {}
        while True:
            async with self._database.write() as connection:
                some = await _purge.some(connection, deleted_before, unused_since)
            if some is None:
                return list(unnamed)
            unnamed |= dict.fromkeys(some)

    async def aclose(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
            with suppress(asyncio.CancelledError):
                await self._beating
            self._beating = None
            with suppress(StoreError):  # then its silence will tell
                async with self._database.write() as connection:
                    await self._server.leave(connection)
        await self._database.aclose()
