"""Whole conversations and sessions from elsewhere, and who has any. Every function is given an open
transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, literal, select, union_all, update
from sqlalchemy.exc import IntegrityError

from chatlab.ids import ConversationId, TurnId
from chatlab.store import (
    BegunConversation,
    Conflict,
    NotStored,
    OwnerSummary,
    StoredConversation,
    WholeComparison,
    _comparisons,
    _conversations,
    _search,
    _turns,
    now,
)
from chatlab.store._insert import insert_rows
from chatlab.store._turns import Encoded
from chatlab.store.schema import comparisons, conversations, receipts, turns

_table = conversations.c

_ADOPTED_WITHIN = timedelta(days=1)  # then what a server that died left of an adoption may be removed


def create(
    connection: Connection, owner: str, conversation_id: ConversationId, title: str, comparison: str | None
) -> StoredConversation:
    """See `Store.create`."""
    if comparison is not None:
        _comparisons.get(connection, owner, comparison)
    try:
        made = _conversations.add(connection, owner, conversation_id, title, comparison)
    except IntegrityError:
        raise Conflict("refusal.id-taken") from None
    if comparison is None:
        _search.set_title(connection, owner, conversation_id, title)
    return made


def save(
    new: Sequence[BegunConversation],
    receipts: Mapping[TurnId, Mapping[str, Any]],
    connection: Connection,
    batch: Sequence[Encoded],
    server: str,
) -> None:
    """See `Store.save`. An id that is somebody else's is left alone, and the turn finds no conversation."""
    for one in new:
        if one.comparison is not None:
            _comparisons.get(connection, one.owner, one.comparison)
    made = [
        one
        for one, title, last in _turns.beginnings(new, batch)
        if _conversations.add_unless_there(connection, one, title, last)
    ]
    for one in made:
        if one.title and one.comparison is None:
            _search.set_title(connection, one.owner, one.id, one.title)
    _turns.save(connection, batch, server, made)
    _turns.add_receipts(connection, batch, receipts)


def change(
    connection: Connection,
    owner: str,
    conversation_id: ConversationId,
    *,
    title: str | None,
    pinned: bool | None,
    head: TurnId | None,
) -> StoredConversation:
    """See `Store.change`."""
    changed = _conversations.change(connection, owner, conversation_id, title=title, pinned=pinned, head=head)
    if title is not None and changed.comparison is None:
        _search.set_title(connection, owner, conversation_id, title)
    return changed


def adopt(
    conversation: StoredConversation, connection: Connection, given: Sequence[Encoded], server: str
) -> None:
    """See `Store.adopt`."""
    begin_adoption(connection, conversation)
    with _conflicts():
        _turns.save_hidden(connection, given, server)
    finish_adoption(connection, conversation)


def begin_adoption(connection: Connection, conversation: StoredConversation) -> None:
    """Add a conversation that nobody sees yet. If the server dies before it is whole, `purge` removes it."""
    owner, conversation_id = conversation.owner, conversation.id
    values = {"created": conversation.created, "updated": conversation.updated, "pinned": False}
    with _conflicts():
        connection.execute(
            insert(conversations).values(
                id=conversation_id,
                owner=owner,
                title=conversation.title,
                deleted=now() + _ADOPTED_WITHIN,
                **values,
            )
        )
    _search.set_title(connection, owner, conversation_id, conversation.title)


def adopt_some(connection: Connection, given: Sequence[Encoded], server: str) -> None:
    """Add some of the turns of a conversation that is being adopted. Those that they follow come first."""
    with _conflicts():
        _turns.save_hidden(connection, given, server)


def finish_adoption(connection: Connection, conversation: StoredConversation) -> None:
    """Let a conversation be seen that is whole now, as it was: to save turns is news everywhere else."""
    values = {
        "created": conversation.created,
        "pinned": conversation.pinned,
        "head": conversation.head,
        "updated": conversation.updated,
        "deleted": None,
    }
    found = and_(_table.owner == conversation.owner, _table.id == conversation.id)
    connection.execute(update(conversations).where(found).values(**values))


def abandon_adoption(connection: Connection, conversation: StoredConversation) -> None:
    """Remove what is there of a conversation that cannot be adopted."""
    found = and_(_table.owner == conversation.owner, _table.id == conversation.id, _table.deleted > now())
    connection.execute(delete(conversations).where(found))


@contextmanager
def _conflicts() -> Iterator[None]:
    try:
        yield
    except (IntegrityError, NotStored):
        raise Conflict("refusal.ids-taken") from None


def adopt_comparison(
    whole: WholeComparison, connection: Connection, given: Sequence[Encoded], server: str
) -> None:
    """See `Store.adopt_comparison`."""
    lanes = [
        {
            "id": lane.id,
            "owner": lane.owner,
            "title": lane.title,
            "created": lane.created,
            "updated": lane.updated,
            "pinned": lane.pinned,
            "head": lane.head,
            "comparison": whole.comparison.id,
        }
        for lane in whole.lanes
    ]
    try:
        _comparisons.insert_whole(connection, whole.comparison, whole.log)
        insert_rows(connection, conversations, lanes)
        _turns.save(connection, given, server)
        rows = [
            {"owner": whole.comparison.owner, "turn": turn, "data": data}
            for turn, data in whole.receipts.items()
        ]
        insert_rows(connection, receipts, rows)
    except (IntegrityError, NotStored):
        raise Conflict("refusal.session-ids-taken") from None
    for lane in lanes:  # as in `adopt`
        connection.execute(
            update(conversations)
            .where(_table.owner == lane["owner"], _table.id == lane["id"])
            .values({name: lane[name] for name in ("title", "updated", "head")})
        )


def owners(connection: Connection) -> list[OwnerSummary]:
    """See `Store.owners`."""
    chats = (
        select(
            _table.owner,
            func.count(_table.id.distinct()).label("conversations"),
            func.count(turns.c.id).label("turns"),
            literal(0).label("comparisons"),
            func.max(_table.updated, type_=_table.updated.type).label("updated"),
        )
        .select_from(conversations.outerjoin(turns, turns.c.conversation == _table.id))
        .where(_table.deleted.is_(None), _table.comparison.is_(None))
        .group_by(_table.owner)
    )
    sessions = (
        select(
            comparisons.c.owner,
            literal(0),
            literal(0),
            func.count(),
            func.max(comparisons.c.updated, type_=comparisons.c.updated.type),
        )
        .where(comparisons.c.deleted.is_(None))
        .group_by(comparisons.c.owner)
    )
    both = union_all(chats, sessions).subquery().c
    last = func.max(both.updated, type_=_table.updated.type)
    counts = [func.sum(both[name]).label(name) for name in ("conversations", "turns", "comparisons")]
    query = select(both.owner, *counts, last.label("updated")).group_by(both.owner)
    return [
        OwnerSummary(row.owner, int(row.conversations), int(row.turns), int(row.comparisons), row.updated)
        for row in connection.execute(query.order_by(last.desc(), both.owner))
    ]
