"""Full text search, the same on both databases.

Words are made here, not by the databases: lower case, without accents, each CJK character on its own. The
databases only find them, by their beginnings: FTS5 on SQLite, a GIN index of a tsvector on PostgreSQL, both
made in the first migration. The first word of each document says whose it is and whether it is a title, so
that a search looks at nobody else's documents; and as results are in order of age, it reads only the first.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from typing import Any, Literal, TypeAlias

from sqlalchemy import (
    ColumnElement,
    FromClause,
    cast,
    column,
    delete,
    insert,
    literal_column,
    select,
    table,
    update,
)
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.ext.asyncio import AsyncConnection

from chatlab.store import Hit, StoredTurn
from chatlab.store._conversations import conversation_of
from chatlab.store._turn_rows import from_row, text_of
from chatlab.store.schema import conversations, documents, turns

_Kind: TypeAlias = Literal["title", "turn"]
_KINDS: tuple[_Kind, ...] = ("title", "turn")

OPEN, CLOSE = "\ue000", "\ue001"

_MOST_CHARACTERS = 100_000  # of a document; a tsvector has room for a megabyte
_MOST_LETTERS = 60  # of a word; a lexeme has room for 2046 bytes
_MOST_WORDS = 20  # of a question
_PAGE = 200  # documents looked at in one go
_AROUND = 80  # characters of a snippet before and after the first word found

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")


def words_of(written: str) -> Iterator[tuple[str, int, int]]:
    """The words of a text as the search knows them, each with where it stands."""
    for found in _WORD.finditer(written):
        letters = unicodedata.normalize("NFKD", found[0].casefold())
        # What is left of a word by that may have signs in it, such as the stroke in ½.
        word = "".join(letter for letter in letters if letter.isalnum())[:_MOST_LETTERS]
        if word:
            yield word, found.start(), found.end()


def title_document(owner: str, title: str) -> str:
    """What is searched of a title."""
    return _document("title", owner, title)


def turn_document(turn: StoredTurn) -> str:
    """What is searched of a turn."""
    return _document("turn", turn.owner, text_of(turn))


async def set_title(connection: AsyncConnection, owner: str, conversation: str, title: str) -> None:
    """Makes a conversation found by this title, and by no other."""
    await connection.execute(
        delete(documents).where(
            documents.c.owner == owner,
            documents.c.conversation == conversation,
            documents.c.turn.is_(None),
        )
    )
    if title:
        words = title_document(owner, title)
        await connection.execute(
            insert(documents).values(owner=owner, conversation=conversation, words=words)
        )


async def set_turn(connection: AsyncConnection, turn: StoredTurn) -> None:
    """Makes a turn that is indexed found by what it has come to."""
    await connection.execute(
        update(documents)
        .where(documents.c.owner == turn.owner, documents.c.turn == turn.id)
        .values(words=turn_document(turn))
    )


async def search(connection: AsyncConnection, owner: str, wanted: str, limit: int) -> Sequence[Hit]:
    """See `Store.search`."""
    words = list(dict.fromkeys(word for word, _, _ in islice(words_of(wanted), _MOST_WORDS)))
    if not words or limit < 1:
        return ()
    found: dict[str, str | None] = {}  # the best turn by conversation
    for kind in _KINDS:
        before = None
        while len(found) < limit:
            page = await _matches(connection, kind, owner, words, before)
            for row in page:
                if row.listed and len(found) < limit:
                    found.setdefault(row.conversation, row.turn)
            if len(page) < _PAGE:
                break
            before = page[-1].number
    return await _hits(connection, owner, found, words)


async def _matches(
    connection: AsyncConnection, kind: _Kind, owner: str, words: Sequence[str], before: int | None
) -> Sequence[Any]:
    """The next page of documents with all the words, newest first."""
    key = _scope(kind, owner)
    if connection.dialect.name == "sqlite":
        index = table("documents_words", column("rowid"))
        number = index.c.rowid
        source: FromClause = index.join(documents, documents.c.number == number)
        terms = " AND ".join([f'"{key}"', *(f'"{word}"{" *" * _may_go_on(word)}' for word in words)])
        matches = literal_column("documents_words").op("MATCH")(terms)
    else:
        number = documents.c.number
        source = documents
        terms = " & ".join([f"'{key}'", *(f"'{word}'{':*' * _may_go_on(word)}" for word in words)])
        vector: ColumnElement[Any] = literal_column(
            "array_to_tsvector(string_to_array(documents.words, ' '))"
        )
        matches = vector.op("@@")(cast(terms, TSQUERY))
    query = (
        select(
            number.label("number"),
            documents.c.conversation,
            documents.c.turn,
            (conversations.c.deleted.is_(None) & conversations.c.comparison.is_(None)).label("listed"),
        )
        .select_from(source.join(conversations, conversations.c.id == documents.c.conversation))
        .where(documents.c.owner == owner, matches)
        .order_by(number.desc())
        .limit(_PAGE)
    )
    if before is not None:
        query = query.where(number < before)
    return (await connection.execute(query)).all()


async def _hits(
    connection: AsyncConnection, owner: str, found: Mapping[str, str | None], words: Sequence[str]
) -> Sequence[Hit]:
    chats = select(conversations).where(conversations.c.owner == owner, conversations.c.id.in_(found))
    best = select(turns).where(turns.c.owner == owner, turns.c.id.in_([id for id in found.values() if id]))
    chat_of = {row.id: conversation_of(row) for row in await connection.execute(chats)}
    turn_of = {row.id: from_row(row) for row in await connection.execute(best)}
    return [
        Hit(chat_of[id], turn, snippet(text_of(turn_of[turn]) if turn else chat_of[id].title, words))
        for id, turn in found.items()
    ]


def _may_go_on(word: str) -> bool:
    """Whether a word found may go on after this: too much begins with one letter to be found quickly."""
    return len(word) > 1


def snippet(written: str, words: Sequence[str]) -> str:
    """A piece of a text around the first word found, on one line, the words found between OPEN and CLOSE."""
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
    words = (word for word, _, _ in words_of(written[:_MOST_CHARACTERS]))
    return " ".join([_scope(kind, owner), *dict.fromkeys(words)])


def _scope(kind: _Kind, owner: str) -> str:
    return f"{kind}:{sha256(owner.encode('utf-8', 'surrogatepass')).hexdigest()[:24]}"
