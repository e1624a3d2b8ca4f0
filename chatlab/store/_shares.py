"""Read-only links in the database. Every function is given an open transaction."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from secrets import token_urlsafe
from typing import Literal

from sqlalchemy import ColumnElement, Connection, delete, insert, null, select

from chatlab.ids import ConversationId
from chatlab.store import Audience, LinkReader, NotStored, Share, _comparisons, _conversations, now
from chatlab.store.schema import comparisons, conversations, shares


def add(
    connection: Connection,
    owner: str,
    conversation: ConversationId | None,
    comparison: str | None,
    audience: Audience,
) -> Share:
    """Make and return a new link. Raises NotStored."""
    _require(connection, owner, conversation, comparison)
    share = Share(token_urlsafe(24), now(), audience)
    connection.execute(
        insert(shares).values(
            token_hash=_hash(share.token) if audience is None else _limited_hash(share.token),
            owner=owner,
            conversation=conversation,
            comparison=comparison,
            created=share.created,
            audience=null() if audience is None else list(audience),
        )
    )
    return share


def audiences(
    connection: Connection, owner: str, conversation: ConversationId | None, comparison: str | None
) -> Sequence[Audience]:
    """Return for whom each link is. Raises NotStored."""
    _require(connection, owner, conversation, comparison)
    query = select(shares.c.audience).where(*_to(owner, conversation, comparison)).order_by(shares.c.created)
    return [_audience(found) for found in connection.execute(query).scalars()]


def revoke(
    connection: Connection, owner: str, conversation: ConversationId | None, comparison: str | None
) -> None:
    """End every link. Raises NotStored."""
    _require(connection, owner, conversation, comparison)
    connection.execute(delete(shares).where(*_to(owner, conversation, comparison)))


def revoke_all(connection: Connection, owner: str) -> int:
    """End every link of an owner, and return how many there were."""
    return connection.execute(delete(shares).where(shares.c.owner == owner)).rowcount


def followed(
    connection: Connection, token: str, reader: LinkReader | None
) -> tuple[str, Literal["conversation", "comparison"], str]:
    """Return the owner of a link and what it leads to. Raises NotStored."""
    query = (
        select(shares)
        .outerjoin(conversations, conversations.c.id == shares.c.conversation)
        .outerjoin(comparisons, comparisons.c.id == shares.c.comparison)
        .where(
            shares.c.token_hash.in_([_hash(token), _limited_hash(token)]),
            # Of an outer join, the one that is not there is not deleted either.
            conversations.c.deleted.is_(None),
            comparisons.c.deleted.is_(None),
        )
    )
    row = (connection.execute(query)).one_or_none()
    if row is None or not _is_for(reader, row.owner, _audience(row.audience)):
        raise NotStored("refusal.dead-link")
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


def _is_for(reader: LinkReader | None, owner: str, audience: Audience) -> bool:
    if audience is None:
        return True
    if reader is None:
        return False
    return not audience or reader.owner == owner or not set(audience).isdisjoint(reader.groups)


def _audience(stored: Sequence[str] | None) -> Audience:
    return None if stored is None else tuple(stored)


def _limited_hash(token: str) -> str:
    """Return the hash of a link that is not for everybody: a chatlab of before, which would not ask for whom
    it is, does not find it."""
    return _hash(f"{token} limited")


def _hash(token: str) -> str:
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
