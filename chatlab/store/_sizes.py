"""The room that things take in the database. Every function is given an open transaction."""

from __future__ import annotations

from sqlalchemy import Connection, func, select, text

from chatlab.store.schema import attachments, comparisons, conversations, log_entries, receipts, turns

_WHOLE = {
    "sqlite": "SELECT (page_count - freelist_count) * page_size "
    "FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
    "postgresql": "SELECT pg_database_size(current_database())",
}


def size(connection: Connection, owner: str | None) -> int:
    """See `Store.size`."""
    if owner is None:
        return int(connection.execute(text(_WHOLE[connection.dialect.name])).scalar_one())
    in_turns = (
        select(func.sum(func.length(turns.c.asked) + func.length(turns.c.answered)))
        .join(conversations, conversations.c.id == turns.c.conversation)
        .where(turns.c.owner == owner, conversations.c.deleted.is_(None))
    )
    in_receipts = (
        select(func.sum(func.length(receipts.c.data)))
        .join(turns, turns.c.id == receipts.c.turn)
        .join(conversations, conversations.c.id == turns.c.conversation)
        .where(turns.c.owner == owner, conversations.c.deleted.is_(None))
    )
    in_logs = (
        select(func.sum(func.length(log_entries.c.data)))
        .join(comparisons, comparisons.c.id == log_entries.c.comparison)
        .where(comparisons.c.owner == owner, comparisons.c.deleted.is_(None))
    )
    found = (connection.execute(query).scalar_one() for query in (in_turns, in_receipts, in_logs))
    return sum(int(one or 0) for one in found)


def files_of(connection: Connection, owner: str) -> list[str]:
    """See `Store.files_of`."""
    query = select(attachments.c.sha256).where(attachments.c.owner == owner).distinct()
    return list(connection.execute(query).scalars())
