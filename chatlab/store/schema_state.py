"""The version of the tables that a database has, and the way to the newest."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

from sqlalchemy import Connection, inspect, select

from chatlab.azure_identity import AzureIdentity
from chatlab.errors import StoreError
from chatlab.secret import SecretRef
from chatlab.store._database import Database, address
from chatlab.store.schema import VERSIONS, alembic_version, served_since

State: TypeAlias = Literal["up to date", "behind", "ahead", "differs"]
"""ahead: of a newer chatlab. differs: of this version by its own account, but somebody changed the tables."""

_NEWEST_SQLITE = Path(__file__).with_name("newest_sqlite.sql")


async def upgrade(url: str | SecretRef, root: Path, identity: AzureIdentity | None = None) -> None:
    """Bring the tables to the newest version, making the database's file if it is SQLite's."""
    database = await opened(url, root, identity)
    try:
        await upgrade_database(database)
    finally:
        await database.aclose()


async def current(url: str | SecretRef, root: Path, identity: AzureIdentity | None = None) -> str | None:
    """Return the version the database has; None if it has no tables of ours yet, or is no file yet."""
    if await _missing(url, root):
        return None
    database = await opened(url, root, identity)
    try:
        return await database.read(_revision)
    finally:
        await database.aclose()


async def check(url: str | SecretRef, root: Path, identity: AzureIdentity | None = None) -> State:
    """Return the state of the database, its tables compared one by one."""
    if await _missing(url, root):
        return "behind"
    database = await opened(url, root, identity)
    try:
        return await database.read(_state)
    finally:
        await database.aclose()


async def upgrade_database(database: Database) -> None:
    """Do `upgrade` on a database that is open."""
    await database.migrate(_upgrade)


async def require_newest(database: Database) -> None:
    """Raises StoreError, with what to do, unless the database has the newest version, or one of a newer
    chatlab that this one can still use: so an update may bring the tables first, and then the servers."""
    state = await database.read(_by_revision)
    if state == "ahead" and not await database.read(_serves_this):
        raise StoreError(_AHEAD)
    if state == "behind":
        raise StoreError(
            "the database's tables are behind this chatlab: back it up, then run "
            "`chatlab db upgrade CONFIG` with this configuration"
        )


_AHEAD = "the database was written by a newer chatlab: install that one, or go back to a backup"


def newest_sqlite() -> Iterator[str]:
    """Yield the statements that make the newest tables in an empty SQLite file: exactly what the steps of
    `chatlab/store/migrations` make, in a tenth of the time."""
    statement = ""
    for line in _NEWEST_SQLITE.read_text("utf-8").splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(alembic_version.name):
        return None
    return connection.execute(select(alembic_version.c.version_num)).scalar()


def _serves_this(connection: Connection) -> bool:
    """Return whether a database of a newer chatlab says that this version of the tables is enough for it."""
    if not inspect(connection).has_table(served_since.name):
        return False
    return connection.execute(select(served_since.c.version)).scalar() in VERSIONS


def _by_revision(connection: Connection) -> State:
    revision = _revision(connection)
    if revision is not None and revision not in VERSIONS:
        return "ahead"
    return "up to date" if revision == VERSIONS[-1] else "behind"


def _state(connection: Connection) -> State:
    from chatlab.store.migrating import differences

    state = _by_revision(connection)
    return "differs" if state == "up to date" and differences(connection) else state


def _upgrade(connection: Connection) -> None:
    state = _by_revision(connection)
    if state == "ahead":
        raise StoreError(_AHEAD)
    if state == "up to date":
        return
    if connection.dialect.name == "sqlite" and _is_empty(connection):
        for statement in newest_sqlite():
            connection.exec_driver_sql(statement)
        return
    from chatlab.store.migrating import migrate

    migrate(connection)


def _is_empty(connection: Connection) -> bool:
    return connection.exec_driver_sql("SELECT name FROM sqlite_master").first() is None


async def opened(url: str | SecretRef, root: Path, identity: AzureIdentity | None = None) -> Database:
    """Yield connections to the database that `storage.url` names; a SQLite file has a folder to be in.

    identity: signs in to PostgreSQL, instead of a password.
    """
    place = address(url, root)
    if place.get_backend_name() == "sqlite":
        await asyncio.to_thread(_make_private, Path(str(place.database)))
    return Database(place, identity)


async def _missing(url: str | SecretRef, root: Path) -> bool:
    """Return whether there is not even a file, which asking need not make."""
    place = address(url, root)
    return place.get_backend_name() == "sqlite" and not await asyncio.to_thread(
        Path(str(place.database)).exists
    )


def _make_private(file: Path) -> None:
    """Let only who runs chatlab read the file: conversations are nobody else's on this machine."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.touch(mode=0o600)
    except OSError as error:
        raise StoreError(f"cannot write {file}: {error.strerror}") from error
