"""Conversations in the database. Every function is given an open transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Update, insert, literal, select, tuple_, update

from chatlab.ids import ConversationId, TurnId
from chatlab.store import BegunConversation, Listed, NotStored, StoredConversation, now
from chatlab.store._insert import insert_unless_there
from chatlab.store.schema import conversations, turns

_table = conversations.c


def conversation_of(row: Row[Any]) -> StoredConversation:
    """Return the conversation of a row of `conversations`."""
    return StoredConversation(
        id=row.id,
        owner=row.owner,
        title=row.title,
        created=row.created,
        updated=row.updated,
        pinned=row.pinned,
        head=row.head,
        comparison=row.comparison,
    )


def add(
    connection: Connection, owner: str, conversation_id: ConversationId, title: str, comparison: str | None
) -> StoredConversation:
    """Make and return a conversation. An id that is taken, or a comparison that the owner does not have, is
    an IntegrityError."""
    moment = now()
    row = connection.execute(
        insert(conversations)
        .values(
            id=conversation_id,
            owner=owner,
            title=title,
            created=moment,
            updated=moment,
            pinned=False,
            comparison=comparison,
        )
        .returning(conversations)
    )
    return conversation_of(row.one())


def add_unless_there(connection: Connection, new: BegunConversation, title: str, head: TurnId | None) -> bool:
    """Make a conversation, and return whether it is new. head: its last turn, which the same transaction
    adds."""
    moment = now()
    row = {
        "id": new.id,
        "owner": new.owner,
        "title": title,
        "created": moment,
        "updated": moment,
        "pinned": False,
        "head": head,
        "comparison": new.comparison,
    }
    made = insert_unless_there(connection, conversations, "id")
    return connection.execute(made, row).one_or_none() is not None


def get(connection: Connection, owner: str, conversation_id: ConversationId) -> StoredConversation:
    """Return a conversation that is not deleted. Raises NotStored."""
    query = select(conversations).where(
        _table.owner == owner, _table.id == conversation_id, _table.deleted.is_(None)
    )
    return conversation_of(_one((connection.execute(query)).one_or_none()))


def recent(connection: Connection, owner: str, after: str | None, limit: int) -> Listed:
    """Return a page of the owner's chats."""
    order = (_table.pinned, _table.updated, _table.id)
    query = (
        select(conversations)
        .where(_table.owner == owner, _table.deleted.is_(None), _table.comparison.is_(None))
        .order_by(*(column.desc() for column in order))
        .limit(limit + 1)
    )
    if after is not None:
        place = zip(_place(after), order, strict=True)
        query = query.where(tuple_(*order) < tuple_(*(literal(value, key.type) for value, key in place)))
    rows = (connection.execute(query)).all()
    listed = tuple(conversation_of(row) for row in rows[:limit])
    return Listed(listed, _after(listed[-1]) if len(rows) > limit and listed else None)


def _after(last: StoredConversation) -> str:
    return f"{int(last.pinned)} {last.updated.isoformat()} {last.id}"


def _place(after: str) -> tuple[bool, datetime, str]:
    try:
        pinned, updated, conversation_id = after.split(" ")
        moment = datetime.fromisoformat(updated)
        if moment.tzinfo is None:
            raise ValueError("no zone")
        return pinned == "1", moment, conversation_id
    except ValueError as error:
        raise NotStored("refusal.list-end") from error


def change(
    connection: Connection,
    owner: str,
    conversation_id: ConversationId,
    *,
    title: str | None,
    pinned: bool | None,
    head: TurnId | None,
) -> StoredConversation:
    """Changes what is given. Raises NotStored, also for a head that is not one of its turns."""
    given = {"title": title, "pinned": pinned, "head": head}
    values = {name: value for name, value in given.items() if value is not None}
    if head is not None:
        one = select(turns.c.id).where(
            turns.c.owner == owner, turns.c.conversation == conversation_id, turns.c.id == head
        )
        _one((connection.execute(one)).one_or_none())
    if not values:
        return get(connection, owner, conversation_id)
    query = (
        _own(owner, conversation_id).where(_table.deleted.is_(None)).values(**values).returning(conversations)
    )
    return conversation_of(_one((connection.execute(query)).one_or_none()))


def delete(connection: Connection, owner: str, conversation_id: ConversationId) -> None:
    """Delete a conversation, for now."""
    query = (
        _own(owner, conversation_id)
        .where(_table.deleted.is_(None))
        .values(deleted=now())
        .returning(_table.id)
    )
    _one((connection.execute(query)).one_or_none())


def restore(connection: Connection, owner: str, conversation_id: ConversationId) -> StoredConversation:
    """Restore a conversation, if it is still there."""
    query = _own(owner, conversation_id).values(deleted=None).returning(conversations)
    return conversation_of(_one((connection.execute(query)).one_or_none()))


def _own(owner: str, conversation_id: ConversationId) -> Update:
    return update(conversations).where(_table.owner == owner, _table.id == conversation_id)


def _one(row: Row[Any] | None) -> Row[Any]:
    if row is None:
        raise NotStored("refusal.no-conversation")
    return row
