"""Full text search, the same on both databases.

Words are made here, not by the databases: lower case, without accents, each CJK character on its own. The
databases only find them, by their beginnings: FTS5 on SQLite, a GIN index of a tsvector on PostgreSQL, both
made in the first migration. The first word of each document says whose it is and whether it is a title, so
that a search looks at nobody else's documents.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import islice
from typing import Any, Literal, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    cast,
    column,
    delete,
    func,
    insert,
    literal_column,
    select,
    table,
    update,
)

from chatlab.ids import ConversationId, TurnId
from chatlab.store import Hit, StoredTurn
from chatlab.store._conversations import conversation_of
from chatlab.store._turn_rows import from_row, text_of
from chatlab.store.schema import conversations, documents, turns

_Kind: TypeAlias = Literal["title", "turn"]
_Found: TypeAlias = dict[ConversationId, TurnId | None]
"""The best turn by conversation, best conversation first; None for its title."""
_KINDS: tuple[_Kind, ...] = ("title", "turn")

OPEN, CLOSE = "\ue000", "\ue001"

_MOST_CHARACTERS = 100_000  # of a document; a tsvector has room for a megabyte
_MOST_LETTERS = 60  # of a word; a lexeme has room for 2046 bytes
_MOST_WORDS = 20  # of a question
_PAGE = 200  # documents looked at in one go
_SPAN = 2048  # documents of neighbouring numbers, which PostgreSQL's index knows by a word for them all
_SPANS = 8  # of them that are asked for first
_AROUND = 80  # characters of a snippet before and after the first word found

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_VECTOR: ColumnElement[Any] = literal_column(
    f"array_to_tsvector(string_to_array(documents.words || ' n:' || (documents.number / {_SPAN})::text, ' '))"
)
_ASCII_WORD = re.compile("[a-z0-9]+")
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")


def words_of(written: str) -> Iterator[tuple[str, int, int]]:
    """Return the words of a text as the search knows them, each with its position."""
    for found in _WORD.finditer(written):
        word = found[0]
        if word.isascii():
            word = word.lower()
        else:
            letters = unicodedata.normalize("NFKD", word.casefold())
            # What is left of a word by that may have signs in it, such as the stroke in ½.
            word = "".join(letter for letter in letters if letter.isalnum())
        word = word[:_MOST_LETTERS]
        if word:
            yield word, found.start(), found.end()


def title_document(owner: str, title: str) -> str:
    """Return the words of a title to be searched."""
    return _document("title", owner, title)


def turn_document(turn: StoredTurn) -> str:
    """Return the words of a turn to be searched."""
    return _document("turn", turn.owner, text_of(turn))


def set_title(connection: Connection, owner: str, conversation: ConversationId, title: str) -> None:
    """Make a conversation found by this title, and by no other."""
    connection.execute(_NO_TITLE, {"of": owner, "which": conversation})
    if title:
        connection.execute(_TITLE, title_row(owner, conversation, title))


def title_row(owner: str, conversation: ConversationId, title: str) -> dict[str, Any]:
    """Return the row of `documents` by which a conversation is found that has none."""
    words = title_document(owner, title)
    return {"owner": owner, "conversation": conversation, "turn": None, "words": words}


def turn_row(turn: StoredTurn, words: str) -> dict[str, Any]:
    """Return the row of `documents` by which a new turn is found."""
    return {"owner": turn.owner, "conversation": turn.conversation, "turn": turn.id, "words": words}


def set_turn(connection: Connection, owner: str, turn: TurnId, words: str) -> None:
    """Make an indexed turn found by its newest text."""
    connection.execute(_SET_TURN, {"of": owner, "which": turn, "words": words})


_NO_TITLE = delete(documents).where(
    documents.c.owner == bindparam("of"),
    documents.c.conversation == bindparam("which"),
    documents.c.turn.is_(None),
)
_TITLE = insert(documents)
_SET_TURN = (
    update(documents)
    .where(documents.c.owner == bindparam("of"), documents.c.turn == bindparam("which"))
    .values(words=bindparam("words"))
)


def moved_words(words: ColumnElement[str], owner: str, to: str) -> ColumnElement[str]:
    """Return the words of a document that another owner is to find, and this one no more."""
    for kind in _KINDS:
        words = func.replace(words, _scope(kind, owner), _scope(kind, to))
    return words


def search(connection: Connection, owner: str, wanted: str, limit: int) -> Sequence[Hit]:
    """See `Store.search`."""
    words = list(dict.fromkeys(word for word, _, _ in islice(words_of(wanted), _MOST_WORDS)))
    if not words or limit < 1:
        return ()
    looking = _in_sqlite if connection.dialect.name == "sqlite" else _in_postgres
    return _hits(connection, owner, looking(connection, owner, words, limit), words)


_LISTED = conversations.c.deleted.is_(None) & conversations.c.comparison.is_(None)
_SOURCE = documents.join(conversations, conversations.c.id == documents.c.conversation)


def _in_sqlite(connection: Connection, owner: str, words: Sequence[str], limit: int) -> _Found:
    """The index has the documents in order, and is read only as far as they are asked for."""
    index = table("documents_words", column("rowid"))
    found: _Found = {}
    for kind in _KINDS:
        terms = [f'"{_scope(kind, owner)}"', *(f'"{word}"{" *" * _may_go_on(word)}' for word in words)]
        before = None
        while len(found) < limit:
            query = (
                select(index.c.rowid, documents.c.conversation, documents.c.turn, _LISTED.label("listed"))
                .select_from(index.join(_SOURCE, documents.c.number == index.c.rowid))
                .where(
                    documents.c.owner == owner,
                    literal_column("documents_words").op("MATCH")(" AND ".join(terms)),
                )
                .order_by(index.c.rowid.desc())
                .limit(_PAGE)
            )
            if before is not None:
                query = query.where(index.c.rowid < before)
            page = connection.execute(query).all()
            for row in page:
                if row.listed and len(found) < limit:
                    found.setdefault(row.conversation, row.turn)
            if len(page) < _PAGE:
                break
            before = page[-1].rowid
    return found


def _in_postgres(connection: Connection, owner: str, words: Sequence[str], limit: int) -> _Found:
    """Return the index gives all that match, in no order: so the newest turns are asked for first, and all
    only if too few of them have the words, which then are not in many. The titles come with them.

    PostgreSQL is told to use the index: what it takes instead when it errs about how many there are, to look
    at each document for its words, takes seconds.
    """
    from sqlalchemy.dialects.postgresql import TSQUERY

    settings = (func.set_config(name, "off", True) for name in ("enable_seqscan", "enable_indexscan"))
    last = connection.execute(select(func.max(documents.c.number), *settings)).one()[0] or 0
    newest = " | ".join(f"'n:{last // _SPAN - back}'" for back in range(_SPANS))
    title, turn = (f"'{_scope(kind, owner)}'" for kind in _KINDS)
    terms = [f"'{word}'{':*' * _may_go_on(word)}" for word in words]
    found: _Found = {}
    for scope in (f"({title} | {turn} & ({newest}))", turn):
        if len(found) == limit:
            break
        number = func.max(documents.c.number)
        of_title = number.filter(documents.c.turn.is_(None))
        best = (
            select(func.coalesce(of_title, number).label("number"))
            .select_from(_SOURCE)
            .where(
                documents.c.owner == owner,
                _VECTOR.op("@@")(cast(" & ".join([scope, *terms]), TSQUERY)),
                _LISTED,
                conversations.c.id.not_in(found),
            )
            .group_by(documents.c.conversation)
            .order_by(of_title.is_(None), number.desc())
            .limit(limit - len(found))
            .subquery()
        )
        rows = connection.execute(
            select(documents.c.conversation, documents.c.turn)
            .join(best, best.c.number == documents.c.number)
            .order_by(documents.c.turn.is_not(None), documents.c.number.desc())
        )
        found |= {row.conversation: row.turn for row in rows}
    return found


def _hits(connection: Connection, owner: str, found: _Found, words: Sequence[str]) -> Sequence[Hit]:
    chats = select(conversations).where(conversations.c.owner == owner, conversations.c.id.in_(found))
    best = select(turns).where(
        turns.c.owner == owner, turns.c.id.in_([turn for turn in found.values() if turn])
    )
    chat_of = {row.id: conversation_of(row) for row in connection.execute(chats)}
    turn_of = {row.id: from_row(row) for row in connection.execute(best)}
    return [
        Hit(chat_of[chat], turn, snippet(text_of(turn_of[turn]) if turn else chat_of[chat].title, words))
        for chat, turn in found.items()
    ]


def _may_go_on(word: str) -> bool:
    """Return whether a word found may go on after this: too much begins with one letter to be found
    quickly."""
    return len(word) > 1


def snippet(written: str, words: Sequence[str]) -> str:
    """Return a piece of a text around the first word found, on one line, the words found between OPEN and
    CLOSE."""
    beginnings = tuple(word for word in words if _may_go_on(word))
    spots = [
        (start, end)
        for word, start, end in words_of(written[:_MOST_CHARACTERS])
        if word in words or word.startswith(beginnings)
    ]
    middle = spots[0] if spots else (0, 0)
    begin, finish = max(0, middle[0] - _AROUND), min(len(written), middle[1] + _AROUND)
    pieces, at = ["…" if begin else ""], begin
    for start, end in spots:
        if start < begin or end > finish:
            continue
        pieces += [_plain(written[at:start]), OPEN, _plain(written[start:end]), CLOSE]
        at = end
    pieces += [_plain(written[at:finish]), "…" if finish < len(written) else ""]
    return re.sub(r"\s+", " ", "".join(pieces)).strip()


def _plain(piece: str) -> str:
    return piece.replace(OPEN, "").replace(CLOSE, "")


def _document(kind: _Kind, owner: str, written: str) -> str:
    written = written[:_MOST_CHARACTERS]
    words: Iterable[str]
    if written.isascii():  # the same words, ten times as fast
        words = (word[:_MOST_LETTERS] for word in _ASCII_WORD.findall(written.lower()))
    else:
        words = (word for word, _, _ in words_of(written))
    return " ".join([_scope(kind, owner), *dict.fromkeys(words)])


def _scope(kind: _Kind, owner: str) -> str:
    return f"{kind}:{sha256(owner.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}"
