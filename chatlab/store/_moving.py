"""Handing things over from one owner to another. Every function is given an open transaction."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    Update,
    and_,
    exists,
    func,
    or_,
    select,
    update,
)

from chatlab.store import Movable
from chatlab.store._exact import to_text
from chatlab.store._search import moved_words
from chatlab.store.schema import (
    attachments,
    comparisons,
    conversations,
    documents,
    log_entries,
    onlookers,
    receipts,
    shares,
    turns,
)

_AT_ONCE = 50  # conversations and sessions with all that belongs to them, so that others write in between


def movable(connection: Connection, owner: str) -> Movable:
    """See `Store.movable`."""
    chats, sessions = (
        connection.execute(select(func.count()).where(_movable(table, owner))).scalar_one()
        for table in _RUNNING
    )
    return Movable(chats, sessions)


def some(connection: Connection, owner: str, to: str) -> Movable:
    """Hand some things over, each with everything that belongs to it, and return how many that were."""
    chats, sessions = (_held(connection, table, owner) for table in _RUNNING)
    lanes = select(conversations.c.id).where(conversations.c.comparison.in_(sessions))
    whole = [*chats, *connection.execute(lanes).scalars()]
    steps = _steps(whole, sessions, owner, to)
    # A row names what it belongs to together with its owner: all change before any is checked. SQLite then
    # checks at the end of the transaction, PostgreSQL at the end of the one statement that all are part of.
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        for step in steps:
            connection.execute(step)
    else:
        last, *others = steps
        connection.execute(last.add_cte(*(step.cte(f"moved_{number}") for number, step in enumerate(others))))
    return Movable(len(chats), len(sessions))


def _steps(whole: Sequence[str], sessions: Sequence[str], owner: str, to: str) -> Sequence[Update]:
    """Return what changes with conversations and sessions."""
    asked = select(turns.c.id).where(turns.c.conversation.in_(whole))
    belongs = {
        comparisons: comparisons.c.id.in_(sessions),
        conversations: conversations.c.id.in_(whole),
        turns: turns.c.conversation.in_(whole),
        attachments: attachments.c.turn.in_(asked),
        receipts: receipts.c.turn.in_(asked),
        onlookers: onlookers.c.turn.in_(asked),
        shares: or_(shares.c.conversation.in_(whole), shares.c.comparison.in_(sessions)),
    }
    changed = [_own(table, owner).where(those).values(owner=to) for table, those in belongs.items()]
    logged = _own(log_entries, owner).where(log_entries.c.comparison.in_(sessions))
    voted = func.replace(log_entries.c.data, *(f'"voter":{to_text(voter)}' for voter in (owner, to)))
    found = _own(documents, owner).where(documents.c.conversation.in_(whole))
    return [
        *changed,
        logged.values(owner=to, data=voted),  # their votes are theirs
        found.values(owner=to, words=moved_words(documents.c.words, owner, to)),
    ]


def _held(connection: Connection, table: Table, owner: str) -> Sequence[str]:
    """Return some of an owner's things, which nobody else changes until the transaction's end."""
    query = select(table.c.id).where(_movable(table, owner)).order_by(table.c.id)
    held = connection.execute(query.limit(_AT_ONCE).with_for_update()).scalars().all()
    # Of one that had to be waited for, a turn may run by now.
    return connection.execute(query.where(table.c.id.in_(held))).scalars().all()


def _own(table: Table, owner: str) -> Update:
    return update(table).where(table.c.owner == owner)


def _movable(table: Table, owner: str) -> ColumnElement[bool]:
    """Return the condition of chats or sessions that are there and in which nothing runs: who runs a turn
    writes it as its owner's."""
    mine = and_(table.c.owner == owner, table.c.deleted.is_(None), ~_RUNNING[table])
    return and_(mine, conversations.c.comparison.is_(None)) if table is conversations else mine


_runs = turns.c.status == "running"
_RUNNING = {
    conversations: exists().where(turns.c.conversation == conversations.c.id, _runs),
    comparisons: exists()
    .where(turns.c.conversation == conversations.c.id, _runs)
    .where(conversations.c.comparison == comparisons.c.id)
    .correlate(comparisons),
}
