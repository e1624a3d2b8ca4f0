"""Turns in the database. Every function is given an open transaction."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import FromClause, Select, bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from chatlab.messages import FilePart, Message
from chatlab.store import NotStored, StoredTurn, now
from chatlab.store._insert import insert_unless_there
from chatlab.store._search import set_title, set_turn, turn_document
from chatlab.store._turn_rows import attachments as attachments_of
from chatlab.store._turn_rows import from_row, to_row
from chatlab.store.schema import attachments, conversations, documents, receipts, turns

_TITLE = 80  # characters


async def of_conversation(connection: AsyncConnection, owner: str, conversation: str) -> Sequence[StoredTurn]:
    """All of a conversation that was found, in the order they were asked."""
    query = (
        select(turns)
        .where(turns.c.owner == owner, turns.c.conversation == conversation)
        .order_by(turns.c.created, turns.c.id)
    )
    return [from_row(row) for row in await connection.execute(query)]


async def get(connection: AsyncConnection, owner: str, id: str) -> StoredTurn:
    """One of a conversation that is not deleted. Raises NotStored."""
    query = _readable(select(turns), turns, owner).where(turns.c.id == id)
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise NotStored("there is no such turn: its conversation may have been deleted")
    return from_row(row)


def _readable(query: Select[Any], source: FromClause, owner: str) -> Select[Any]:
    """The query with what it asks for limited to turns of the owner that are not deleted."""
    return query.select_from(source.join(conversations, conversations.c.id == turns.c.conversation)).where(
        turns.c.owner == owner, conversations.c.deleted.is_(None)
    )


async def save(connection: AsyncConnection, given: Sequence[StoredTurn], server: str) -> None:
    """See `Store.save`."""
    batch = {turn.id: turn for turn in given}
    rows = {id: to_row(turn) for id, turn in batch.items()}
    chats = await _conversations_of(connection, batch.values())
    known = await _known(connection, batch.values())
    new = []
    changed = []
    for id, turn in batch.items():
        chat = chats.get((turn.owner, turn.conversation))
        before = known.get(id)
        if chat is None or (before is None and chat.deleted is not None):
            raise NotStored("there is no such conversation: it may have been deleted")
        if before is None:
            new.append(turn)
        elif (before.owner, before.conversation) != (turn.owner, turn.conversation):
            raise NotStored("there is no such turn: its conversation may have been deleted")
        elif turn.status == "running" and before.status != "running":
            continue  # a checkpoint that comes late
        else:
            changed.append(turn)
    for turn in (*new, *changed):
        rows[turn.id]["server"] = server if turn.status == "running" else None
    await _insert(connection, new, rows, chats)
    await _update(connection, changed, rows, chats)


async def _insert(
    connection: AsyncConnection,
    new: Sequence[StoredTurn],
    rows: Mapping[str, Mapping[str, Any]],
    chats: Mapping[tuple[str, str], Any],
) -> None:
    if not new:
        return
    await connection.execute(insert(turns), [rows[turn.id] for turn in new])
    found = [
        {
            "owner": turn.owner,
            "conversation": turn.conversation,
            "turn": turn.id,
            "words": turn_document(turn),
        }
        for turn in new
        if chats[turn.owner, turn.conversation].comparison is None
    ]
    if found:
        await connection.execute(insert(documents), found)
    await _attach(connection, new)
    moment = now()
    latest = {(turn.owner, turn.conversation): turn for turn in new}
    for (owner, conversation), turn in latest.items():
        values = {"head": turn.id, "updated": moment}
        chat = chats[owner, conversation]
        if not chat.title:
            first = next(turn for turn in new if (turn.owner, turn.conversation) == (owner, conversation))
            values["title"] = title_of(first.user)
            if chat.comparison is None:
                await set_title(connection, owner, conversation, title_of(first.user))
        await connection.execute(
            update(conversations)
            .where(conversations.c.owner == owner, conversations.c.id == conversation)
            .values(**values)
        )


async def _update(
    connection: AsyncConnection,
    changed: Sequence[StoredTurn],
    rows: Mapping[str, Mapping[str, Any]],
    chats: Mapping[tuple[str, str], Any],
) -> None:
    if not changed:
        return
    await connection.execute(
        update(turns)
        .where(turns.c.owner == bindparam("of"), turns.c.id == bindparam("which"))
        .values({name: bindparam(name) for name in ("status", "server", "asked", "answered")}),
        [{**rows[turn.id], "of": turn.owner, "which": turn.id} for turn in changed],
    )
    await _attach(connection, changed)
    ended = [turn for turn in changed if turn.status != "running"]
    for turn in ended:
        if chats[turn.owner, turn.conversation].comparison is None:
            await set_turn(connection, turn)
    for owner, conversation in sorted({(turn.owner, turn.conversation) for turn in ended}):
        await connection.execute(
            update(conversations)
            .where(conversations.c.owner == owner, conversations.c.id == conversation)
            .values(updated=now())
        )


async def _conversations_of(
    connection: AsyncConnection, batch: Collection[StoredTurn]
) -> dict[tuple[str, str], Any]:
    """The conversations of a batch, those that are there, held until the transaction's end."""
    table = conversations.c
    query = (
        select(table.owner, table.id, table.title, table.comparison, table.deleted)
        .where(
            table.owner.in_({turn.owner for turn in batch}),
            table.id.in_({turn.conversation for turn in batch}),
        )
        .order_by(table.id)  # always in this order, so that two batches never wait for each other
        .with_for_update()
    )
    rows = (await connection.execute(query)).all()
    return {(row.owner, row.id): row for row in rows}


async def _known(connection: AsyncConnection, batch: Collection[StoredTurn]) -> dict[str, Any]:
    query = (
        select(turns.c.id, turns.c.owner, turns.c.conversation, turns.c.status)
        .where(turns.c.owner.in_({turn.owner for turn in batch}), turns.c.id.in_({turn.id for turn in batch}))
        .order_by(turns.c.id)
        .with_for_update()
    )
    rows = (await connection.execute(query)).all()
    return {row.id: row for row in rows}


async def _attach(connection: AsyncConnection, written: Sequence[StoredTurn]) -> None:
    rows = [
        {"turn": turn.id, "owner": turn.owner, "sha256": sha256, "media_type": media_type}
        for turn in written
        for sha256, media_type in attachments_of(turn).items()
    ]
    if rows:
        await connection.execute(insert_unless_there(connection, attachments), rows)


def title_of(message: Message) -> str:
    """What a conversation is called that begins with this message."""
    names = [part.name for part in message.parts if isinstance(part, FilePart) and part.name]
    title = re.sub(r"\s+", " ", message.text).strip() or ", ".join(names)
    return title if len(title) <= _TITLE else title[: _TITLE - 1].rstrip() + "…"


async def save_receipt(
    connection: AsyncConnection, owner: str, turn: str, receipt: Mapping[str, Any]
) -> bool:
    """Whether it was kept: there may be one already. Raises NotStored."""
    await get(connection, owner, turn)
    kept = insert_unless_there(connection, receipts).values(owner=owner, turn=turn, data=receipt)
    return (await connection.execute(kept.returning(receipts.c.turn))).one_or_none() is not None


async def receipts_of(
    connection: AsyncConnection, owner: str, wanted: Sequence[str]
) -> dict[str, Mapping[str, Any]]:
    """The receipts there are, by turn."""
    query = _readable(
        select(receipts.c.turn, receipts.c.data),
        receipts.join(turns, turns.c.id == receipts.c.turn),
        owner,
    ).where(receipts.c.owner == owner, receipts.c.turn.in_(wanted))
    return {row.turn: row.data for row in await connection.execute(query)}


async def media_type(connection: AsyncConnection, owner: str, sha256: str) -> str | None:
    """The media type of a file that a turn names which the owner can read."""
    query = _readable(
        select(attachments.c.media_type),
        attachments.join(turns, turns.c.id == attachments.c.turn),
        owner,
    ).where(attachments.c.owner == owner, attachments.c.sha256 == sha256)
    found: str | None = (await connection.execute(query.limit(1))).scalar_one_or_none()
    return found


async def unused(connection: AsyncConnection, sha256s: Collection[str]) -> list[str]:
    """Those that no turn names."""
    query = select(attachments.c.sha256).where(attachments.c.sha256.in_(sha256s)).distinct()
    used = set((await connection.execute(query)).scalars())
    return [sha256 for sha256 in dict.fromkeys(sha256s) if sha256 not in used]
