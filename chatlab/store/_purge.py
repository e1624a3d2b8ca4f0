"""Removing for good. Every function is given an open transaction, and removes a part of what there is."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, exists, func, or_, select

from chatlab.store import Unwanted
from chatlab.store._turns import unused
from chatlab.store.schema import attachments, comparisons, conversations, turns

_AT_ONCE = 50  # rows with all that belongs to them, so that nobody waits long for the database


def some(connection: Connection, deleted_before: datetime, unused_since: datetime | None) -> list[str] | None:
    """Remove some conversations and sessions, and return the files that nobody names any more; None once
    there is nothing left to remove."""
    sessions = _some(connection, comparisons, _old_sessions(deleted_before, unused_since))
    chats = _some(connection, conversations, _old_chats(deleted_before, unused_since))
    if not sessions and not chats:
        return None
    gone = or_(conversations.c.id.in_(chats), conversations.c.comparison.in_(sessions))
    query = (
        select(attachments.c.sha256)
        .join(turns, turns.c.id == attachments.c.turn)
        .join(conversations, conversations.c.id == turns.c.conversation)
        .where(gone)
        .distinct()
    )
    named = (connection.execute(query)).scalars().all()
    connection.execute(delete(conversations).where(gone))
    connection.execute(delete(comparisons).where(comparisons.c.id.in_(sessions)))
    return unused(connection, named)


def unwanted(connection: Connection, deleted_before: datetime, unused_since: datetime | None) -> Unwanted:
    """Return the number of all that `some` would remove in the end."""
    chats = select(func.count()).where(
        _old_chats(deleted_before, unused_since), conversations.c.comparison.is_(None)
    )
    sessions = select(func.count()).where(_old_sessions(deleted_before, unused_since))
    return Unwanted(connection.execute(chats).scalar_one(), connection.execute(sessions).scalar_one())


def _some(connection: Connection, table: Table, old: ColumnElement[bool]) -> list[str]:
    query = select(table.c.id).where(old).order_by(table.c.id).limit(_AT_ONCE).with_for_update()
    return list((connection.execute(query)).scalars())


def _old_chats(deleted_before: datetime, unused_since: datetime | None) -> ColumnElement[bool]:
    table = conversations.c
    if unused_since is None:
        return table.deleted < deleted_before
    unwanted = and_(~table.pinned, table.updated < unused_since, table.comparison.is_(None))
    return or_(table.deleted < deleted_before, unwanted)


def _old_sessions(deleted_before: datetime, unused_since: datetime | None) -> ColumnElement[bool]:
    table = comparisons.c
    if unused_since is None:
        return table.deleted < deleted_before
    lanes = conversations.c
    wanted = exists().where(lanes.comparison == table.id, or_(lanes.pinned, lanes.updated >= unused_since))
    return or_(table.deleted < deleted_before, and_(table.updated < unused_since, ~wanted))
