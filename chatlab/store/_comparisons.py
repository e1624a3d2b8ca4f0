"""Comparison sessions and their logs in the database. Every function is given an open transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Update, insert, literal, select, tuple_, update

from chatlab.store import (
    Conflict,
    LogEntry,
    NotStored,
    StoredComparison,
    StoredConversation,
    new_id,
    now,
)
from chatlab.store._conversations import conversation_of
from chatlab.store._insert import insert_rows
from chatlab.store.schema import comparisons, conversations, log_entries

_table = comparisons.c


def _comparison_of(row: Row[Any]) -> StoredComparison:
    return StoredComparison(
        id=row.id,
        owner=row.owner,
        title=row.title,
        created=row.created,
        updated=row.updated,
        entries=row.entries,
    )


def add(connection: Connection, owner: str, title: str) -> StoredComparison:
    """Make and return a session."""
    moment = now()
    values = {"id": new_id(), "owner": owner, "title": title, "created": moment, "updated": moment}
    row = connection.execute(insert(comparisons).values(**values, entries=0).returning(comparisons))
    return _comparison_of(row.one())


def get(connection: Connection, owner: str, comparison_id: str) -> StoredComparison:
    """Return a session that is not deleted. Raises NotStored."""
    query = select(comparisons).where(
        _table.owner == owner, _table.id == comparison_id, _table.deleted.is_(None)
    )
    return _comparison_of(_one((connection.execute(query)).one_or_none()))


def owner_of(connection: Connection, comparison_id: str) -> str:
    """Return the owner of a session that is not deleted. Raises NotStored."""
    query = select(_table.owner).where(_table.id == comparison_id, _table.deleted.is_(None))
    return str(_one(connection.execute(query).one_or_none()).owner)


def recent(
    connection: Connection, owner: str, after: str | None, limit: int
) -> tuple[Sequence[StoredComparison], str | None]:
    """Return a page of the owner's."""
    query = (
        select(comparisons)
        .where(_table.owner == owner, _table.deleted.is_(None))
        .order_by(_table.created.desc(), _table.id.desc())
        .limit(limit + 1)
    )
    if after is not None:
        moment, comparison_id = _place(after)
        query = query.where(
            tuple_(_table.created, _table.id)
            < tuple_(literal(moment, _table.created.type), literal(comparison_id, _table.id.type))
        )
    rows = (connection.execute(query)).all()
    listed = [_comparison_of(row) for row in rows[:limit]]
    more = len(rows) > limit and listed
    return listed, f"{listed[-1].created.isoformat()} {listed[-1].id}" if more else None


def _place(after: str) -> tuple[datetime, str]:
    try:
        created, comparison_id = after.split(" ")
        moment = datetime.fromisoformat(created)
        if moment.tzinfo is None:
            raise ValueError("no zone")
        return moment, comparison_id
    except ValueError as error:
        raise NotStored("refusal.list-end") from error


def retitle(connection: Connection, owner: str, comparison_id: str, title: str) -> None:
    """Raises NotStored."""
    query = (
        _own(owner, comparison_id).where(_table.deleted.is_(None)).values(title=title).returning(_table.id)
    )
    _one((connection.execute(query)).one_or_none())


def delete(connection: Connection, owner: str, comparison_id: str) -> None:
    """Delete a session with its lanes, for now: all at the same moment, by which they are known together."""
    moment = now()
    query = (
        _own(owner, comparison_id).where(_table.deleted.is_(None)).values(deleted=moment).returning(_table.id)
    )
    _one((connection.execute(query)).one_or_none())
    connection.execute(
        _lanes(owner, comparison_id).where(conversations.c.deleted.is_(None)).values(deleted=moment)
    )


def restore(connection: Connection, owner: str, comparison_id: str) -> None:
    """Restore a session with the lanes that went with it."""
    query = select(_table.deleted).where(_table.owner == owner, _table.id == comparison_id)
    moment = _one((connection.execute(query)).one_or_none()).deleted
    if moment is not None:
        connection.execute(
            _lanes(owner, comparison_id).where(conversations.c.deleted == moment).values(deleted=None)
        )
        connection.execute(_own(owner, comparison_id).values(deleted=None))


def lanes(connection: Connection, owner: str, comparison_id: str) -> Sequence[StoredConversation]:
    """Return the conversations of a session's lanes. Raises NotStored."""
    get(connection, owner, comparison_id)
    table = conversations.c
    query = select(conversations).where(
        table.owner == owner, table.comparison == comparison_id, table.deleted.is_(None)
    )
    return [conversation_of(row) for row in connection.execute(query.order_by(table.created, table.id))]


def insert_whole(connection: Connection, made: StoredComparison, entries: Sequence[LogEntry]) -> None:
    """Add a session from elsewhere with its log. An id that is taken is an IntegrityError."""
    connection.execute(
        insert(comparisons).values(
            id=made.id,
            owner=made.owner,
            title=made.title,
            created=made.created,
            updated=made.updated,
            entries=len(entries),
        )
    )
    _insert_log(connection, made.owner, made.id, entries)


def log(connection: Connection, owner: str, comparison_id: str, after: int) -> Sequence[LogEntry]:
    """Return the entries of a session after one. Raises NotStored."""
    get(connection, owner, comparison_id)
    table = log_entries.c
    query = select(log_entries).where(
        table.owner == owner, table.comparison == comparison_id, table.seq > after
    )
    rows = connection.execute(query.order_by(table.seq))
    return [LogEntry(row.seq, row.at, row.data) for row in rows]


def append(
    connection: Connection, owner: str, comparison_id: str, after: int, entries: Sequence[Mapping[str, Any]]
) -> Sequence[LogEntry]:
    """See `Store.append`."""
    moment = now()
    query = (
        _own(owner, comparison_id)
        .where(_table.deleted.is_(None), _table.entries == after)
        .values(entries=after + len(entries), updated=moment)
    )
    if (connection.execute(query.returning(_table.id))).one_or_none() is None:
        get(connection, owner, comparison_id)
        raise Conflict("refusal.went-on")
    written = [LogEntry(after + number, moment, data) for number, data in enumerate(entries, start=1)]
    _insert_log(connection, owner, comparison_id, written)
    return written


def _insert_log(connection: Connection, owner: str, comparison_id: str, entries: Sequence[LogEntry]) -> None:
    rows = [
        {
            "comparison": comparison_id,
            "owner": owner,
            "seq": entry.seq,
            "at": entry.at,
            "data": entry.data,
        }
        for entry in entries
    ]
    insert_rows(connection, log_entries, rows)


def _own(owner: str, comparison_id: str) -> Update:
    return update(comparisons).where(_table.owner == owner, _table.id == comparison_id)


def _lanes(owner: str, comparison_id: str) -> Update:
    return update(conversations).where(
        conversations.c.owner == owner, conversations.c.comparison == comparison_id
    )


def _one(row: Row[Any] | None) -> Row[Any]:
    if row is None:
        raise NotStored("refusal.no-session")
    return row
