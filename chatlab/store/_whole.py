"""Whole conversations from elsewhere, and who has any. Every function is given an open transaction."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from chatlab.store import Conflict, NotStored, OwnerSummary, StoredConversation, StoredTurn, _search, _turns
from chatlab.store.schema import conversations, turns

_table = conversations.c


async def adopt(
    connection: AsyncConnection, conversation: StoredConversation, given: Sequence[StoredTurn], server: str
) -> None:
    """See `Store.adopt`."""
    values = {
        "created": conversation.created,
        "pinned": conversation.pinned,
        "head": conversation.head,
        "updated": conversation.updated,
    }
    owner, id = conversation.owner, conversation.id
    try:
        await connection.execute(
            insert(conversations).values(id=id, owner=owner, title=conversation.title, **values)
        )
        await _search.set_title(connection, owner, id, conversation.title)
        await _turns.save(connection, given, server)
    except (IntegrityError, NotStored):
        raise Conflict("there is a conversation or a turn with one of these ids already") from None
    # To save turns is news everywhere else; here all is as it was.
    await connection.execute(
        update(conversations).where(_table.owner == owner, _table.id == id).values(**values)
    )


async def owners(connection: AsyncConnection) -> list[OwnerSummary]:
    """See `Store.owners`."""
    query = (
        select(
            _table.owner,
            func.count(_table.id.distinct()).label("conversations"),
            func.count(turns.c.id).label("turns"),
            func.max(_table.updated, type_=_table.updated.type).label("updated"),
        )
        .select_from(conversations.outerjoin(turns, turns.c.conversation == _table.id))
        .where(_table.deleted.is_(None), _table.comparison.is_(None))
        .group_by(_table.owner)
        .order_by(func.max(_table.updated).desc(), _table.owner)
    )
    return [
        OwnerSummary(row.owner, row.conversations, row.turns, row.updated)
        for row in await connection.execute(query)
    ]
