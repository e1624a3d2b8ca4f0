"""Inserts that know what to do about rows that are there already: each database has its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import sqlite

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql


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
