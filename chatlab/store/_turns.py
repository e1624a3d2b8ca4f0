"""Turns in the database. Every function is given an open transaction."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Connection, FromClause, Row, Select, bindparam, select, update

from chatlab.ids import ConversationId, TurnId
from chatlab.messages import FilePart, Message
from chatlab.slices import Slices
from chatlab.store import BegunConversation, NotStored, StoredTurn, now
from chatlab.store._conversations import get as found
from chatlab.store._insert import insert_rows, insert_unless_there
from chatlab.store._search import set_turn, title_row, turn_document, turn_row
from chatlab.store._turn_rows import attachments as attachments_of
from chatlab.store._turn_rows import from_row, to_row
from chatlab.store.schema import attachments, conversations, documents, receipts, turns

_TITLE = 80  # characters


def of_conversation(connection: Connection, owner: str, conversation: ConversationId) -> Sequence[Row[Any]]:
    """Return the rows of a conversation, in the order they were asked, to be decoded. Raises NotStored."""
    found(connection, owner, conversation)
    query = (
        select(turns)
        .where(turns.c.owner == owner, turns.c.conversation == conversation)
        .order_by(turns.c.created, turns.c.id)
    )
    return connection.execute(query).all()


async def decoded(rows: Sequence[Row[Any]]) -> list[StoredTurn]:
    """Return the turns of some rows."""
    found = []
    with Slices() as slices:
        for row in rows:
            found.append(from_row(row))
            await slices.rest()
    return found


def get(connection: Connection, owner: str, turn_id: TurnId) -> StoredTurn:
    """Return a turn of a conversation that is not deleted. Raises NotStored."""
    query = _readable(select(turns), turns, owner).where(turns.c.id == turn_id)
    row = (connection.execute(query)).one_or_none()
    if row is None:
        raise NotStored("refusal.no-turn")
    return from_row(row)


def _readable(query: Select[Any], source: FromClause, owner: str) -> Select[Any]:
    """Return the query, limited to turns of the owner that are not deleted."""
    return query.select_from(source.join(conversations, conversations.c.id == turns.c.conversation)).where(
        turns.c.owner == owner, conversations.c.deleted.is_(None)
    )


@dataclass(frozen=True, slots=True)
class Encoded:
    """A turn, with its row for the database."""

    turn: StoredTurn
    chat: tuple[str, ConversationId]  # the owner and the id of its conversation
    row: dict[str, Any]
    checkpoint: bool  # of a turn that runs, which is there already, most likely
    words: str | None  # what is searched of it; None if most likely nobody needs that
    files: Mapping[str, str]

    @property
    def ended(self) -> bool:
        """Return whether the turn has ended."""
        return self.turn.status != "running"


def encoded(given: Iterable[StoredTurn], of_lanes: Container[TurnId] = ()) -> list[Encoded]:
    """Return turns to be saved: the newest state of each. Takes its time if they are long.

    of_lanes: turns of comparison sessions, in which nobody searches.
    """
    return [
        _encoded(turn, of_lane=turn.id in of_lanes) for turn in {turn.id: turn for turn in given}.values()
    ]


def _encoded(turn: StoredTurn, *, of_lane: bool) -> Encoded:
    checkpoint = turn.status == "running" and bool(turn.answer)
    words = None if checkpoint or of_lane else turn_document(turn)
    chat = turn.owner, turn.conversation
    return Encoded(turn, chat, to_row(turn), checkpoint, words, attachments_of(turn))


_FEW = 8  # turns; more at once are those of a run, which were not saved before they ended


def save(
    connection: Connection, batch: Sequence[Encoded], server: str, made: Iterable[BegunConversation] = ()
) -> None:
    """See `Store.save`. made: conversations that this transaction has made."""
    checkpoints = [one for one in batch if one.checkpoint]
    rest = [one for one in batch if not one.checkpoint]
    if checkpoints and not _all_updated(connection, checkpoints, server):
        rest = list(batch)  # one came late, or was never saved before
    at_once = len(rest) <= _FEW and all(one.ended for one in rest)
    if rest and not (at_once and _all_ended(connection, rest)):
        _save(connection, rest, server, {(one.owner, one.id): _Chat.begun(one) for one in made})


def _all_updated(connection: Connection, checkpoints: Sequence[Encoded], server: str) -> bool:
    """Write checkpoints of turns that run, and nothing else. Return whether all of them ran."""
    done = connection.execute(
        _CHECKPOINT,
        [
            {
                "of": one.turn.owner,
                "which": one.turn.id,
                "where": one.turn.conversation,
                "server": server,
                "answered": one.row["answered"],
            }
            for one in checkpoints
        ],
    )
    if done.rowcount != len(checkpoints):
        return False
    _attach(connection, checkpoints)
    return True


def _all_ended(connection: Connection, batch: Sequence[Encoded]) -> bool:
    """Write how turns ended. Return whether all of them were there."""
    chats = _touch(connection, batch)
    return _update(connection, batch, chats) == len(batch)


def save_hidden(connection: Connection, batch: Sequence[Encoded], server: str) -> None:
    """Save turns of a conversation that is being adopted, which nobody sees until all of it is there."""
    _save(connection, batch, server, {}, hidden=True)


def _save(
    connection: Connection, batch: Sequence[Encoded], server: str, made: _Chats, *, hidden: bool = False
) -> None:
    chats = dict(made)

    def look(wanted: Iterable[Encoded]) -> None:
        chats.update(_conversations_of(connection, [one for one in wanted if one.chat not in chats]))

    look(one for one in batch if not one.checkpoint)
    # What is in a conversation that was made just now is new, too.
    known = _known(connection, [one for one in batch if one.chat not in made])
    look(one for one in batch if one.turn.id not in known)
    new, changed = [], []
    for one in batch:
        if not one.ended:
            one.row["server"] = server
        before = known.get(one.turn.id)
        if before is None:
            if one.chat not in chats or (chats[one.chat].deleted and not hidden):
                raise NotStored("refusal.no-conversation")
            new.append(one)
        elif before.conversation != one.turn.conversation:
            raise NotStored("refusal.no-turn")
        elif one.ended or before.status == "running":  # else it is a checkpoint that comes late
            changed.append(one)
    if new:
        _insert(connection, new, chats, made)
    if changed:
        _update(connection, changed, chats)
        _touch(connection, [one for one in changed if one.ended])


_CHANGING = ("status", "server", "asked", "answered")
_UPDATE = (
    update(turns)
    .where(
        turns.c.owner == bindparam("of"),
        turns.c.id == bindparam("which"),
        turns.c.conversation == bindparam("where"),
    )
    .values({name: bindparam(name) for name in _CHANGING})
)
_CHECKPOINT = (
    update(turns)
    .where(
        turns.c.owner == bindparam("of"),
        turns.c.id == bindparam("which"),
        turns.c.conversation == bindparam("where"),
        turns.c.status == "running",
    )
    .values(server=bindparam("server"), answered=bindparam("answered"))
)
_OWN = update(conversations).where(
    conversations.c.owner == bindparam("of"), conversations.c.id == bindparam("which")
)
_TOUCH = _OWN.values(updated=bindparam("moment")).returning(conversations.c.title, conversations.c.comparison)
_LEAD = _OWN.values(updated=bindparam("moment"), head=bindparam("last"))
_LEAD_NAMED = _LEAD.values(title=bindparam("called"))


class _Chat(NamedTuple):
    """A conversation whose turns are saved, as far as that needs it."""

    title: str
    comparison: str | None
    deleted: bool

    @classmethod
    def begun(cls, one: BegunConversation) -> _Chat:
        return cls(one.title, one.comparison, deleted=False)


_Chats: TypeAlias = Mapping[tuple[str, ConversationId], _Chat]


def _insert(connection: Connection, new: Sequence[Encoded], chats: _Chats, made: _Chats) -> None:
    """Add turns. made: of the conversations those that this transaction has made, of them."""
    insert_rows(connection, turns, [one.row for one in new])
    words = [
        turn_row(one.turn, one.words or turn_document(one.turn))
        for one in new
        if chats[one.chat].comparison is None
    ]
    moment = now()
    first = {one.chat: one.turn for one in reversed(new)}
    for chat, last in {one.chat: one.turn.id for one in new}.items():
        owner, conversation_id = chat
        lead = {"of": owner, "which": conversation_id, "moment": moment, "last": last}
        title = ""
        if not chats[chat].title:
            title = title_of(first[chat].user)
        if chat not in made and not title:
            connection.execute(_LEAD, lead)
        elif chat not in made:
            connection.execute(_LEAD_NAMED, {**lead, "called": title})
        if title and chats[chat].comparison is None:
            words.append(title_row(owner, conversation_id, title))
    insert_rows(connection, documents, words)
    _attach(connection, new)


def _update(connection: Connection, changed: Sequence[Encoded], chats: _Chats) -> int:
    """Return how many of these turns were there, of which all that can change is written."""
    rows = [
        {
            "of": one.turn.owner,
            "which": one.turn.id,
            "where": one.turn.conversation,
            **{name: one.row[name] for name in _CHANGING},
        }
        for one in changed
    ]
    done = connection.execute(_UPDATE, rows).rowcount
    if done == len(changed):
        _attach(connection, changed)
        for one in changed:
            if one.ended and chats[one.chat].comparison is None:
                set_turn(connection, one.turn.owner, one.turn.id, one.words or turn_document(one.turn))
    return done


def _touch(connection: Connection, batch: Sequence[Encoded]) -> _Chats:
    """Say of conversations that there is news of them now; return those that are there."""
    moment, chats = now(), {}
    for chat in sorted({one.chat for one in batch}, key=itemgetter(1)):  # in the order of `_CONVERSATIONS`
        told = {"of": chat[0], "which": chat[1], "moment": moment}
        for row in connection.execute(_TOUCH, told):
            chats[chat] = _Chat(row.title, row.comparison, deleted=False)
    return chats


_CONVERSATIONS = (
    select(*(conversations.c[name] for name in ("owner", "id", "title", "comparison", "deleted")))
    .where(
        conversations.c.owner.in_(bindparam("owners", expanding=True)),
        conversations.c.id.in_(bindparam("ids", expanding=True)),
    )
    .order_by(conversations.c.id)  # always in this order, so that two batches never wait for each other
    .with_for_update()
)
_KNOWN = (
    select(turns.c.id, turns.c.conversation, turns.c.status)
    .where(
        turns.c.owner.in_(bindparam("owners", expanding=True)),
        turns.c.id.in_(bindparam("ids", expanding=True)),
    )
    .order_by(turns.c.id)
    .with_for_update()
)


def _conversations_of(connection: Connection, batch: Sequence[Encoded]) -> _Chats:
    """Return the conversations of a batch, those that are there, held until the transaction's end."""
    if not batch:
        return {}
    owners, ids = {one.turn.owner for one in batch}, {one.turn.conversation for one in batch}
    rows = connection.execute(_CONVERSATIONS, {"owners": list(owners), "ids": list(ids)}).all()
    return {(row.owner, row.id): _Chat(row.title, row.comparison, row.deleted is not None) for row in rows}


def _known(connection: Connection, batch: Sequence[Encoded]) -> dict[TurnId, Any]:
    if not batch:
        return {}
    asked = {"owners": list({one.turn.owner for one in batch}), "ids": [one.turn.id for one in batch]}
    return {row.id: row for row in connection.execute(_KNOWN, asked).all()}


def _attach(connection: Connection, written: Sequence[Encoded]) -> None:
    rows = [
        {"turn": one.turn.id, "owner": one.turn.owner, "sha256": sha256, "media_type": media_type}
        for one in written
        for sha256, media_type in one.files.items()
    ]
    insert_rows(connection, attachments, rows, unless_there=True)


def beginnings(
    new: Sequence[BegunConversation], batch: Sequence[Encoded]
) -> Iterator[tuple[BegunConversation, str, TurnId | None]]:
    """Yield conversations that begin with turns of a batch, each with its title and the last one of them."""
    first = {one.chat: one.turn for one in reversed(batch)}
    last = {one.chat: one.turn for one in batch}
    for one in new:
        chat = one.owner, one.id
        title = one.title or (title_of(first[chat].user) if chat in first else "")
        yield one, title, last[chat].id if chat in last else None


def title_of(message: Message) -> str:
    """Return the title of a conversation that begins with this message."""
    names = [part.name for part in message.parts if isinstance(part, FilePart) and part.name]
    # No more of them are looked at: to go over 2 MB holds Python for 0.15 s, whatever the thread.
    words = itertools.islice(re.finditer(r"\S+", message.text), _TITLE + 1)
    title = " ".join(word[0][: _TITLE + 1] for word in words) or ", ".join(names)
    return title if len(title) <= _TITLE else title[: _TITLE - 1].rstrip() + "…"


def add_receipts(
    connection: Connection, batch: Sequence[Encoded], wanted: Mapping[TurnId, Mapping[str, Any]]
) -> None:
    """Store the receipts of turns that were just saved; those that are there already stay."""
    rows = [
        {"owner": one.turn.owner, "turn": one.turn.id, "data": wanted[one.turn.id]}
        for one in batch
        if one.turn.id in wanted
    ]
    insert_rows(connection, receipts, rows, unless_there=True)


def save_receipt(connection: Connection, owner: str, turn: TurnId, receipt: Mapping[str, Any]) -> bool:
    """Return whether the receipt was stored: there may be one already. Raise NotStored."""
    get(connection, owner, turn)
    stored = insert_unless_there(connection, receipts).values(owner=owner, turn=turn, data=receipt)
    return (connection.execute(stored.returning(receipts.c.turn))).one_or_none() is not None


def receipts_of(
    connection: Connection, owner: str, wanted: Sequence[TurnId]
) -> Mapping[TurnId, Mapping[str, Any]]:
    """Return the receipts there are, by turn."""
    query = _readable(
        select(receipts.c.turn, receipts.c.data),
        receipts.join(turns, turns.c.id == receipts.c.turn),
        owner,
    ).where(receipts.c.owner == owner, receipts.c.turn.in_(wanted))
    return {row.turn: row.data for row in connection.execute(query)}


def media_type(connection: Connection, owner: str, sha256: str) -> str | None:
    """Return the media type of a file that a turn names which the owner can read."""
    query = _readable(
        select(attachments.c.media_type),
        attachments.join(turns, turns.c.id == attachments.c.turn),
        owner,
    ).where(attachments.c.owner == owner, attachments.c.sha256 == sha256)
    found: str | None = (connection.execute(query.limit(1))).scalar_one_or_none()
    return found


def unused(connection: Connection, sha256s: Collection[str]) -> list[str]:
    """Return those hashes that no turn names."""
    query = select(attachments.c.sha256).where(attachments.c.sha256.in_(sha256s)).distinct()
    used = set((connection.execute(query)).scalars())
    return [sha256 for sha256 in dict.fromkeys(sha256s) if sha256 not in used]
