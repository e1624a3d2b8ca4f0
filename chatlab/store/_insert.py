"""Inserts that know what to do about rows that are there already: each database has its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Dialect, Insert, Table, insert
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import StatementError

from chatlab.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql


def insert_rows(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *, unless_there: bool = False
) -> None:
    """Insert rows that name the same columns. unless_there: leave those alone that are there already."""
    statement = _plain(connection.dialect.name, table, unless_there)
    if len(rows) > 1 and connection.dialect.name == "sqlite":
        # SQLAlchemy takes longer to make a row ready than SQLite to insert it.
        text, made_ready = _for_sqlite(connection.dialect, statement, tuple(rows[0]))
        try:
            ready = made_ready(rows)
        except (StoreError, TypeError, ValueError, OverflowError) as error:  # a type of ours refuses it
            raise StatementError(str(error), text, None, error) from error
        connection.exec_driver_sql(text, ready)
    elif rows:
        connection.execute(statement, rows)


@cache
def _plain(dialect: str, table: Table, unless_there: bool) -> Insert:
    return _unless_there(dialect, table, ()) if unless_there else insert(table)


@lru_cache(64)  # each store has a dialect of its own
def _for_sqlite(
    dialect: Dialect, statement: Insert, names: Sequence[str]
) -> tuple[str, Callable[[Iterable[Mapping[str, Any]]], list[tuple[Any, ...]]]]:
    """Return an insert of these columns as SQLite is given it, and what makes its parameters of rows."""
    columns = [column for column in statement.table.columns if column.name in names]
    values = itemgetter(*(column.name for column in columns))
    processors = [column.type.dialect_impl(dialect).bind_processor(dialect) for column in columns]

    def made_ready(rows: Iterable[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
        given = zip(*map(values, rows), strict=True)
        found = [
            column if process is None else map(process, column)
            for column, process in zip(given, processors, strict=True)
        ]
        return list(zip(*found, strict=True))

    return str(statement.compile(dialect=dialect, column_keys=list(names))), made_ready


def insert_unless_there(
    connection: Connection, table: Table, *returned: str
) -> sqlite.Insert | postgresql.Insert:
    """Return an insert that leaves rows alone that are there already, and returns these columns of others."""
    made: sqlite.Insert | postgresql.Insert = _unless_there(connection.dialect.name, table, returned)
    return made


@cache
def _unless_there(dialect: str, table: Table, returned: Sequence[str]) -> Any:
    made = _insert(dialect, table).on_conflict_do_nothing()
    return made.returning(*(table.c[name] for name in returned)) if returned else made


def insert_or_update(
    connection: Connection, table: Table, *changed: str
) -> sqlite.Insert | postgresql.Insert:
    """Return an insert of which only these columns are changed if a row's primary key is there already. Given
    rows as parameters it is compiled once."""
    return _or_update(connection.dialect.name, table, changed)


@cache
def _or_update(dialect: str, table: Table, changed: Sequence[str]) -> sqlite.Insert | postgresql.Insert:
    made = _insert(dialect, table)
    return made.on_conflict_do_update(
        index_elements=table.primary_key.columns, set_={name: made.excluded[name] for name in changed}
    )


def insert_or_add(
    connection: Connection, table: Table, values: Mapping[str, Any], *added: str
) -> sqlite.Insert | postgresql.Insert:
    """Return an insert of a row whose values of these columns are added to those of one that is there
    already.
    """
    made = _insert(connection.dialect.name, table).values(values)
    sums = {name: table.c[name] + made.excluded[name] for name in added}
    return made.on_conflict_do_update(index_elements=table.primary_key.columns, set_=sums)


def _insert(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    if dialect == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)
