"""Read-only links in the database. Every function is given an open transaction."""

from __future__ import annotations

from hashlib import sha256
from secrets import token_urlsafe
from typing import Literal

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from chatlab.ids import ConversationId
from chatlab.store import NotStored, Share, _comparisons, _conversations, now
from chatlab.store.schema import comparisons, conversations, shares


def add(
    connection: Connection, owner: str, conversation: ConversationId | None, comparison: str | None
) -> Share:
    """Make and return a new link. Raises NotStored."""
    _require(connection, owner, conversation, comparison)
    share = Share(token_urlsafe(24), now())
    connection.execute(
        insert(shares).values(
            token_hash=_hash(share.token),
            owner=owner,
            conversation=conversation,
            comparison=comparison,
            created=share.created,
        )
    )
    return share


def count(
    connection: Connection, owner: str, conversation: ConversationId | None, comparison: str | None
) -> int:
    """Return the number of links. Raises NotStored."""
    _require(connection, owner, conversation, comparison)
    query = select(func.count()).select_from(shares).where(*_to(owner, conversation, comparison))
    return (connection.execute(query)).scalar_one()


def revoke(
    connection: Connection, owner: str, conversation: ConversationId | None, comparison: str | None
) -> None:
    """End every link. Raises NotStored."""
    _require(connection, owner, conversation, comparison)
    connection.execute(delete(shares).where(*_to(owner, conversation, comparison)))


def followed(connection: Connection, token: str) -> tuple[str, Literal["conversation", "comparison"], str]:
    """Return the owner of a link and what it leads to. Raises NotStored."""
    query = (
        select(shares)
        .outerjoin(conversations, conversations.c.id == shares.c.conversation)
        .outerjoin(comparisons, comparisons.c.id == shares.c.comparison)
        .where(
            shares.c.token_hash == _hash(token),
            # Of an outer join, the one that is not there is not deleted either.
            conversations.c.deleted.is_(None),
            comparisons.c.deleted.is_(None),
        )
    )
    row = (connection.execute(query)).one_or_none()
    if row is None:
        raise NotStored("this link leads nowhere: it was ended, or what it led to was deleted")
    if row.conversation is not None:
        return row.owner, "conversation", row.conversation
    return row.owner, "comparison", row.comparison


def _require(
    connection: Connection, owner: str, conversation: ConversationId | None, comparison: str | None
) -> None:
    if (conversation is None) == (comparison is None):
        raise ValueError("a link leads to a conversation or to a comparison session")
    if conversation is not None:
        _conversations.get(connection, owner, conversation)
    if comparison is not None:
        _comparisons.get(connection, owner, comparison)


def _to(owner: str, conversation: ConversationId | None, comparison: str | None) -> list[ColumnElement[bool]]:
    what = (
        shares.c.comparison == comparison if conversation is None else shares.c.conversation == conversation
    )
    return [shares.c.owner == owner, what]


def _hash(token: str) -> str:
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
