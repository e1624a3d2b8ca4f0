"""Exports what is stored as Parquet, for Spark, DuckDB or pandas: each time what is new since the last."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping

from chatlab.store import NotStored, Store, StoredComparison, StoredConversation
from chatlab.transfer.listing import all_comparisons, all_conversations
from chatlab.transfer.parquet.dataset import Dataset
from chatlab.transfer.parquet.tables import (
    TABLES,
    Row,
    TableName,
    comparison_row,
    conversation_row,
    receipt_row,
    timing_row,
    turn_row,
    vote_rows,
)

__all__ = ["export_parquet"]

_TEXT = 32_000_000  # characters of content that wait in memory to be written
_ROWS = 20_000


async def export_parquet(store: Store, url: str, *, content: bool = True) -> Mapping[TableName, int]:
    """Add everybody's conversations and sessions to the tables below a URL, and return how many rows are new,
    by table. Raise StoreError.

    What is new is told by ids and by what a conversation says of its last change, never by a clock: so an
    import of old conversations is found, too. A turn is exported once, when it has ended. What is deleted
    here stays there.
    """
    dataset = await asyncio.to_thread(Dataset, url, content=content)
    try:
        run = _ParquetExport(store, dataset)
        await run.begin()
        for owner in await store.owners():
            for chat in await all_conversations(store, owner.owner):
                await run.conversation(chat)
            for session in await all_comparisons(store, owner.owner):
                await run.session(session)
        await run.write()
    finally:
        dataset.close()
    return dataset.added


class _ParquetExport:
    """One export. Rows wait in memory for a while, so that files are few."""

    def __init__(self, store: Store, dataset: Dataset) -> None:
        self._store = store
        self._dataset = dataset
        self._rows: dict[TableName, list[Row]] = defaultdict(list)
        self._waiting = self._text = 0

    async def begin(self) -> None:
        """Look up what is there whole already."""
        self._chats = await asyncio.to_thread(self._dataset.keys, "conversations")
        self._sessions = await asyncio.to_thread(self._dataset.keys, "comparisons")

    async def conversation(self, chat: StoredConversation, *, lane: bool = False) -> bool:
        """Take up what is new of a conversation, and return whether all of it has ended. lane: of a session,
        in which something is new."""
        if not lane and (chat.id, chat.updated) in self._chats:
            return True
        try:
            turns = await self._store.turns(chat.owner, chat.id)
            receipts = await self._store.receipts(chat.owner, [turn.id for turn in turns])
        except NotStored:  # it was deleted meanwhile
            return True
        ended = [turn for turn in turns if turn.status != "running"]
        for turn in ended:
            self._add("turns", turn_row(turn, chat.comparison))
            self._add("timings", timing_row(turn))
            if turn.id in receipts:
                self._add("receipts", receipt_row(turn, receipts[turn.id]))
        whole = len(ended) == len(turns)
        if whole:
            self._add("conversations", conversation_row(chat))
        await self._write_some()
        return whole

    async def session(self, session: StoredComparison) -> None:
        """Take up what is new of a comparison session."""
        if (session.id, session.entries) in self._sessions:
            return
        try:
            log = await self._store.log(session.owner, session.id)
            lanes = await self._store.lanes(session.owner, session.id)
        except NotStored:
            return
        for row in vote_rows(session, log):
            self._add("votes", row)
        ended = [await self.conversation(lane, lane=True) for lane in lanes]
        if all(ended):
            self._add("comparisons", comparison_row(session))

    def _add(self, table: TableName, row: Row) -> None:
        self._rows[table].append(row)
        self._waiting += 1
        self._text += sum(len(value) for value in row.values() if isinstance(value, str))

    async def _write_some(self) -> None:
        if self._waiting > _ROWS or self._text > _TEXT:
            await self.write()

    async def write(self) -> None:
        """Write what waits. What says that all of a conversation is there comes last."""
        for table in TABLES:
            if rows := self._rows[table]:
                await asyncio.to_thread(self._dataset.add, table, rows)
        self._rows.clear()
        self._waiting = self._text = 0
