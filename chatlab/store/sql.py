"""The store in SQLite or PostgreSQL. docs/storage.md has the tables and what is guaranteed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from chatlab.azure_identity import AzureIdentity
from chatlab.errors import StoreError
from chatlab.ids import ConversationId, TurnId
from chatlab.secret import SecretRef
from chatlab.store import (
    Audience,
    BegunConversation,
    Conflict,
    Hit,
    LinkReader,
    Listed,
    LogEntry,
    Movable,
    NotStored,
    OwnerSummary,
    Share,
    Store,
    StoredComparison,
    StoredConversation,
    StoredTurn,
    Unwanted,
    WholeComparison,
    _comparisons,
    _conversations,
    _moving,
    _purge,
    _search,
    _shares,
    _sizes,
    _turns,
    _whole,
    new_id,
)
from chatlab.store._allowances import SqlAllowances
from chatlab.store._database import Database
from chatlab.store._replicas import SqlReplicas
from chatlab.store._sign_ins import SqlSignIns
from chatlab.store._spending import SqlSpending
from chatlab.store.schema_state import opened, require_newest, upgrade_database


async def open_store(
    url: str | SecretRef, root: Path = Path(), *, notify: bool = True, identity: AzureIdentity | None = None
) -> SqlStore:
    """Return the store that `storage.url` names, a relative path being below `root`. SQLite's tables are
    brought to the newest version; PostgreSQL's are its administrator's business. notify: whether servers tell
    each other of news by PostgreSQL's LISTEN. identity: signs in to PostgreSQL, instead of a password. Raises
    StoreError, saying what to do.
    """
    database = await opened(url, root, identity)
    try:
        if database.sqlite:
            await upgrade_database(database)
        else:
            await require_newest(database)
    except BaseException:
        await database.aclose()
        raise
    return SqlStore(database, notify=notify)


_ADOPTED_AT_ONCE = 50  # turns in one transaction: some 10 ms
_BETWEEN = 0.005  # seconds, in which another process may write: one that waits looks that often at first


class SqlStore(Store):
    """See `Store`. Use it in one event loop, and close it."""

    def __init__(self, database: Database, *, notify: bool = True) -> None:
        self._database = database
        self.sign_ins = SqlSignIns(database)
        self.replicas: SqlReplicas = SqlReplicas(database, notify=notify)
        self.spending = SqlSpending(database)
        self.allowances = SqlAllowances(database, self.replicas)

    # conversations

    async def create(
        self,
        owner: str,
        *,
        title: str = "",
        comparison: str | None = None,
        conversation_id: ConversationId | None = None,
    ) -> StoredConversation:
        return await self._database.write(
            _whole.create, owner, conversation_id or ConversationId(new_id()), title, comparison
        )

    async def get(self, owner: str, conversation: ConversationId) -> StoredConversation:
        return await self._database.read(_conversations.get, owner, conversation)

    async def recent(self, owner: str, *, after: str | None = None, limit: int = 50) -> Listed:
        return await self._database.read(_conversations.recent, owner, after, limit)

    async def search(self, owner: str, text: str, *, limit: int = 20) -> Sequence[Hit]:
        return await self._database.read(_search.search, owner, text, limit)

    async def change(
        self,
        owner: str,
        conversation: ConversationId,
        *,
        title: str | None = None,
        pinned: bool | None = None,
        head: TurnId | None = None,
    ) -> StoredConversation:
        return await self._database.write(
            _whole.change, owner, conversation, title=title, pinned=pinned, head=head
        )

    async def delete(self, owner: str, conversation: ConversationId) -> None:
        await self._database.write(_conversations.delete, owner, conversation)

    async def restore(self, owner: str, conversation: ConversationId) -> StoredConversation:
        return await self._database.write(_conversations.restore, owner, conversation)

    async def adopt(self, conversation: StoredConversation, turns: Sequence[StoredTurn]) -> None:
        if len(turns) <= _ADOPTED_AT_ONCE:
            await self._write_turns(turns, partial(_whole.adopt, conversation))
            return
        # In slices, between which others write: of 20,000 turns, one transaction takes seconds.
        await self._database.write(_whole.begin_adoption, conversation)
        try:
            ordered = _parents_first(turns)
            for start in range(0, len(ordered), _ADOPTED_AT_ONCE):
                await self._write_turns(ordered[start : start + _ADOPTED_AT_ONCE], _whole.adopt_some)
                await asyncio.sleep(_BETWEEN)
            await self._database.write(_whole.finish_adoption, conversation)
        except BaseException:
            await self._database.write(_whole.abandon_adoption, conversation)
            raise

    # turns

    async def turns(self, owner: str, conversation: ConversationId) -> Sequence[StoredTurn]:
        rows = await self._database.read(_turns.of_conversation, owner, conversation)
        return await _turns.decoded(rows)

    async def turn(self, owner: str, turn: TurnId) -> StoredTurn:
        return await self._database.read(_turns.get, owner, turn)

    async def save(
        self,
        turns: Sequence[StoredTurn],
        new: Sequence[BegunConversation] = (),
        receipts: Mapping[TurnId, Mapping[str, Any]] = MappingProxyType({}),
    ) -> None:
        if any(turn.status == "running" for turn in turns):
            await self.replicas.keep_alive()
        work = partial(_whole.save, new, receipts) if new or receipts else _turns.save
        told = self.replicas.looked_on(turns)

        def saved(connection: Connection, batch: Sequence[_turns.Encoded], server: str) -> None:
            work(connection, batch, server)
            self.replicas.tell(connection, told)

        await self._write_turns(turns, saved if told else work, receipts)

    async def _write_turns(
        self,
        turns: Sequence[StoredTurn],
        work: Callable[[Connection, Sequence[_turns.Encoded], str], None],
        of_lanes: Container[TurnId] = (),
    ) -> None:
        """Long answers take too long to encode for the event loop, in which PostgreSQL's work is done."""
        server = self.replicas.server.token
        with _a_row_is_missing():
            if self._database.sqlite:
                await self._database.write(
                    lambda connection: work(connection, _turns.encoded(turns, of_lanes), server)
                )
            else:
                batch = await asyncio.to_thread(_turns.encoded, turns, of_lanes)
                await self._database.write(work, batch, server)

    async def recover(self) -> int:
        await self.replicas.keep_alive()
        return await self._database.write(self.replicas.server.recover)

    # comparison sessions

    async def create_comparison(self, owner: str, *, title: str = "") -> StoredComparison:
        return await self._database.write(_comparisons.add, owner, title)

    async def comparison(self, owner: str, comparison: str) -> StoredComparison:
        return await self._database.read(_comparisons.get, owner, comparison)

    async def comparisons(
        self, owner: str, *, after: str | None = None, limit: int = 50
    ) -> tuple[Sequence[StoredComparison], str | None]:
        return await self._database.read(_comparisons.recent, owner, after, limit)

    async def retitle_comparison(self, owner: str, comparison: str, title: str) -> None:
        await self._database.write(_comparisons.retitle, owner, comparison, title)

    async def delete_comparison(self, owner: str, comparison: str) -> None:
        await self._database.write(_comparisons.delete, owner, comparison)

    async def restore_comparison(self, owner: str, comparison: str) -> None:
        await self._database.write(_comparisons.restore, owner, comparison)

    async def lanes(self, owner: str, comparison: str) -> Sequence[StoredConversation]:
        return await self._database.read(_comparisons.lanes, owner, comparison)

    async def adopt_comparison(self, whole: WholeComparison) -> None:
        await self._write_turns(whole.turns, partial(_whole.adopt_comparison, whole), whole.receipts)

    async def log(self, owner: str, comparison: str, *, after: int = 0) -> Sequence[LogEntry]:
        return await self._database.read(_comparisons.log, owner, comparison, after)

    async def append(
        self, owner: str, comparison: str, after: int, entries: Sequence[Mapping[str, Any]]
    ) -> Sequence[LogEntry]:
        def work(connection: Connection) -> Sequence[LogEntry]:
            written = _comparisons.append(connection, owner, comparison, after, entries)
            self.replicas.tell(connection, [comparison])
            return written

        return await self._database.write(work)

    async def save_receipt(self, owner: str, turn: TurnId, receipt: Mapping[str, Any]) -> None:
        if not await self._database.write(_turns.save_receipt, owner, turn, receipt):
            raise Conflict("refusal.receipt-stands")

    async def receipts(self, owner: str, turns: Sequence[TurnId]) -> Mapping[TurnId, Mapping[str, Any]]:
        return await self._database.read(_turns.receipts_of, owner, turns)

    # sharing

    async def share(
        self,
        owner: str,
        *,
        conversation: ConversationId | None = None,
        comparison: str | None = None,
        audience: Audience = None,
    ) -> Share:
        return await self._database.write(_shares.add, owner, conversation, comparison, audience)

    async def shares(
        self, owner: str, *, conversation: ConversationId | None = None, comparison: str | None = None
    ) -> Sequence[Audience]:
        return await self._database.read(_shares.audiences, owner, conversation, comparison)

    async def revoke(
        self, owner: str, *, conversation: ConversationId | None = None, comparison: str | None = None
    ) -> None:
        await self._database.write(_shares.revoke, owner, conversation, comparison)

    async def revoke_all(self, owner: str) -> int:
        return await self._database.write(_shares.revoke_all, owner)

    async def shared(
        self, token: str, reader: LinkReader | None = None
    ) -> tuple[str, Literal["conversation", "comparison"], str]:
        return await self._database.read(_shares.followed, token, reader)

    # attachments

    async def may_read(self, owner: str, sha256: str) -> str | None:
        return await self._database.read(_turns.media_type, owner, sha256)

    async def unused(self, sha256s: Sequence[str]) -> Sequence[str]:
        return await self._database.read(_turns.unused, sha256s)

    # whose things are

    async def movable(self, owner: str) -> Movable:
        return await self._database.read(_moving.movable, owner)

    async def move(self, owner: str, to: str) -> Movable:
        conversations = comparisons = 0
        while (moved := await self._database.write(_moving.some, owner, to)) != Movable(0, 0):
            conversations += moved.conversations
            comparisons += moved.comparisons
        return Movable(conversations, comparisons)

    # removing what is no longer wanted

    async def size(self, owner: str | None = None) -> int:
        return await self._database.read(_sizes.size, owner)

    async def files_of(self, owner: str) -> Sequence[str]:
        return await self._database.read(_sizes.files_of, owner)

    async def owners(self) -> Sequence[OwnerSummary]:
        return await self._database.read(_whole.owners)

    async def owner_of_comparison(self, comparison: str) -> str:
        return await self._database.read(_comparisons.owner_of, comparison)

    async def unwanted(self, *, deleted_before: datetime, unused_since: datetime | None = None) -> Unwanted:
        return await self._database.read(_purge.unwanted, deleted_before, unused_since)

    async def purge(self, *, deleted_before: datetime, unused_since: datetime | None = None) -> Sequence[str]:
        unnamed: dict[str, None] = {}
        while True:
            some = await self._database.write(_purge.some, deleted_before, unused_since)
            if some is None:
                return list(unnamed)
            unnamed |= dict.fromkeys(some)

    async def ping(self) -> None:
        await self._database.read(lambda connection: connection.execute(select(1)).scalar_one())

    async def aclose(self) -> None:
        try:
            await self.replicas.aclose()
        finally:
            await self._database.aclose()


def _parents_first(turns: Sequence[StoredTurn]) -> list[StoredTurn]:
    """Return turns in an order in which each comes after the one it follows, where that is among them."""
    after: dict[str | None, list[StoredTurn]] = {}
    known = {turn.id for turn in turns}
    for turn in turns:
        after.setdefault(turn.parent if turn.parent in known else None, []).append(turn)
    ordered = list(after.get(None, ()))
    for turn in ordered:  # grows on the way
        ordered += after.get(turn.id, ())
    return ordered if len(ordered) == len(turns) else list(turns)


@contextmanager
def _a_row_is_missing() -> Iterator[None]:
    """Turn what the database refuses at a commit into NotStored: some rows are looked for only then."""
    try:
        yield
    except StoreError as error:
        if isinstance(error.__cause__, IntegrityError):
            raise NotStored("refusal.no-parent") from error
        raise
