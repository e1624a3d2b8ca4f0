"""Many rows are inserted in a way of our own, which writes what SQLAlchemy's does."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, DateTime, Table, insert
from sqlalchemy.dialects import sqlite

from chatlab.errors import StoreError
from chatlab.store import NotStored, StoredConversation, new_id
from chatlab.store._database import Database, address
from chatlab.store._insert import insert_rows, insert_unless_there
from chatlab.store.schema import (
    Moment,
    attachments,
    comparisons,
    conversations,
    documents,
    log_entries,
    receipts,
    turns,
)
from chatlab.store.sql import SqlStore
from tests.store.values import finished

ODD = "\0 \ud83d \ud83d\ude00 😀 '\"\\ \r\n\t ½"
MOMENTS = [
    datetime(1, 2, 3, tzinfo=UTC),
    datetime(2026, 11, 30, 23, 59, 59, 999_999, tzinfo=timezone(timedelta(hours=-11))),
    datetime(2026, 3, 29, 2, 30, 0, 7, tzinfo=timezone.utc, fold=1),  # noqa: UP017
]
DATA: list[Any] = [
    {"text": ODD, 1: "a number", "$pairs": None, "nested": [[], {}, {"1e-5": 0.00001}]},
    {"nan": math.nan, "large": 10**30, "floats": [1e22, -0.0, 0.1, 1e15]},
    None,
]
ROWS: dict[Table, list[dict[str, Any]]] = {
    comparisons: [
        {
            **{"id": f"s{n}", "owner": "o", "title": ODD, "created": at, "updated": at},
            **{"deleted": end, "entries": n},
        }
        for n, (at, end) in enumerate(zip(MOMENTS, [None, *MOMENTS[1:]], strict=True))
    ],
    conversations: [
        {
            **{"id": f"c{n}", "owner": "o", "title": ODD[n:], "created": at, "updated": at, "deleted": None},
            **{"pinned": n == 1, "head": None if n else "t0", "comparison": "s0" if n else None},
        }
        for n, at in enumerate(MOMENTS)
    ],
    turns: [
        {
            **{"id": f"t{n} ½😀", "owner": "o", "conversation": "c0", "created": at},
            **{"parent": f"t{n - 1} ½😀" if n else None, "status": "running" if n else "finished"},
            **{"server": "me" if n else None, "asked": '{"a":"½ 😀 \x1ad83d"}', "answered": "{}" * n},
        }
        for n, at in enumerate(MOMENTS)
    ],
    documents: [
        {"owner": "o", "conversation": "c0", "turn": turn, "words": "one two½"}
        for turn in (None, "t0 ½😀", "t1 ½😀")
    ],
    attachments: [
        {"turn": "t0 ½😀", "sha256": f"{n}{ODD}", "owner": "o", "media_type": ODD[n:]} for n in range(3)
    ],
    receipts: [{"turn": f"t{n} ½😀", "owner": "o", "data": data} for n, data in enumerate(DATA)],
    log_entries: [
        {"comparison": "s0", "seq": n, "owner": "o", "at": at, "data": data}
        for n, (at, data) in enumerate(zip(MOMENTS, DATA, strict=True))
    ],
}


@pytest.fixture
def database(store: SqlStore, url: str) -> Database:
    """A database with the newest tables."""
    return Database(address(url, Path()))


def stored(connection: Connection, write: Callable[[Table, list[dict[str, Any]]], object]) -> dict[str, Any]:
    """What stands in the tables, as the driver has it, once `write` has written to them; it is taken back."""
    found = {}
    with connection.begin_nested() as all_of_it:
        for table, rows in ROWS.items():
            write(table, rows)
            columns = [column.name for column in table.columns if column is not documents.c.number]
            query = f"SELECT {', '.join(columns)} FROM {table.name} ORDER BY {', '.join(columns)}"
            found[table.name] = [tuple(row) for row in connection.exec_driver_sql(query)]
        all_of_it.rollback()
    return found


async def test_many_rows_stand_in_every_table_as_a_plain_insert_writes_them(database: Database) -> None:
    def both(connection: Connection) -> tuple[dict[str, Any], dict[str, Any]]:
        plain = stored(connection, lambda table, rows: connection.execute(insert(table), rows))
        return plain, stored(connection, lambda table, rows: insert_rows(connection, table, rows))

    plain, ours = await database.write(both)
    await database.aclose()
    assert {name: len(rows) for name, rows in plain.items()} == dict.fromkeys(plain, 3)
    assert repr(ours) == repr(plain)


async def test_many_rows_leave_those_alone_that_are_there_already(database: Database) -> None:
    def both(connection: Connection) -> tuple[dict[str, Any], dict[str, Any]]:
        def there(table: Table, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
            connection.execute(insert(table), rows[:1])
            if table is receipts:
                return [{**rows[0], "data": "another"}, *rows[1:]]
            return rows if table.c[0].primary_key and table is not documents else rows[1:]

        def plainly(table: Table, rows: list[dict[str, Any]]) -> None:
            connection.execute(insert_unless_there(connection, table), there(table, rows))

        def ours(table: Table, rows: list[dict[str, Any]]) -> None:
            insert_rows(connection, table, there(table, rows), unless_there=True)

        return stored(connection, plainly), stored(connection, ours)

    plain, ours = await database.write(both)
    await database.aclose()
    assert {name: len(rows) for name, rows in plain.items()} == dict.fromkeys(plain, 3)
    assert repr(ours) == repr(plain)


async def test_an_id_that_no_database_holds_is_nobodys_among_many_too(store: SqlStore) -> None:
    chat = await store.create("owner")
    with pytest.raises(NotStored):
        await store.save([finished(chat, "Hello", "Hi", parent=parent) for parent in (None, "\0")])
    assert await store.turns("owner", chat.id) == []
    other = StoredConversation(new_id(), "owner", "", chat.created, chat.updated)
    with pytest.raises(NotStored):
        await store.adopt(other, [finished(other, "Hello", "Hi", parent=parent) for parent in (None, "\0")])


async def test_a_time_that_utc_has_no_year_for_is_refused_among_many_too(store: SqlStore) -> None:
    chat = await store.create("owner")
    before = datetime.min.replace(tzinfo=timezone(timedelta(hours=5)))
    with pytest.raises(StoreError, match="the database refused"):
        await store.save([replace(finished(chat, "Hello", "Hi"), created=before) for _ in range(2)])
    assert await store.turns("owner", chat.id) == []


@pytest.mark.parametrize("moment", [*MOMENTS, None])
def test_a_time_is_the_text_that_sqlalchemy_writes(moment: datetime | None) -> None:
    dialect = sqlite.dialect()
    ours, theirs = (kind.dialect_impl(dialect).bind_processor(dialect) for kind in (Moment(), DateTime()))
    assert ours is not None and theirs is not None
    plain = None if moment is None else moment.astimezone(UTC).replace(tzinfo=None)
    assert ours(moment) == theirs(plain)
