"""The connection to either database: its address, its transactions, and what its errors mean."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, event, exc, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from chatlab.errors import MissingExtra, StoreError
from chatlab.secret import SecretRef, remember, scrub
from chatlab.store import Unreachable

PATIENCE = 15.0  # seconds a transaction may take, waiting included; each wait within it is shorter

# https://www.sqlite.org/rescode.html: BUSY, LOCKED, READONLY, IOERR, FULL, CANTOPEN.
_SQLITE_TROUBLE = {5, 6, 8, 10, 13, 14}
# https://www.postgresql.org/docs/current/errcodes-appendix.html: connections, rollbacks by the server, read
# only, out of resources, a lock that was not to be had, intervention, system errors.
_POSTGRES_TROUBLE = re.compile("08|40|25006|53|55P03|57|58")


def address(url: str | SecretRef, root: Path) -> URL:
    """The database that `storage.url` names; a relative path is below `root`. Raises StoreError."""
    if isinstance(url, SecretRef):
        try:
            url = url.resolve().get_secret_value()
        except LookupError as error:
            raise StoreError(f"storage.url cannot be read: {error}") from error
    scheme, colon, rest = url.partition(":")
    if scheme == "sqlite" and colon:
        path = rest.removeprefix("///")
        if not path or path == ":memory:":
            raise StoreError(
                "storage.url lacks a path: write sqlite:PATH, such as sqlite:.chatlab/chatlab.db"
            )
        return URL.create("sqlite+aiosqlite", database=str(root / path))
    if scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        try:
            parsed = make_url(url)
        except (exc.ArgumentError, ValueError):
            raise StoreError(
                "storage.url is not a URL: write postgresql://USER:PASSWORD@HOST/DATABASE"
            ) from None  # its text has the password
        if parsed.password:
            remember(str(parsed.password))
        return parsed.set(drivername="postgresql+psycopg")
    raise StoreError("storage.url is neither sqlite:PATH nor a postgresql:// URL")


class Database:
    """Connections to one database. Every transaction either commits whole or leaves nothing behind."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self.sqlite = url.get_backend_name() == "sqlite"
        self._engine = _engine(url)
        self._writing = self._engine.execution_options(chatlab_writes=True)
        # SQLite has one writer at a time: a fair queue here, instead of its own polling.
        self._turnstile = asyncio.Lock() if self.sqlite else None

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection, None]:
        """A transaction that sees one state of the database. Raises Unreachable and StoreError."""
        async with _explained(), asyncio.timeout(PATIENCE), self._engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection, None]:
        """A transaction; it is committed when the block is left without an error. Raises as `read` does."""
        async with _explained(), asyncio.timeout(PATIENCE):
            if self._turnstile is None:
                async with self._writing.begin() as connection:
                    yield connection
            else:
                async with self._turnstile, self._writing.begin() as connection:
                    yield connection

    @asynccontextmanager
    async def migrate(self) -> AsyncGenerator[AsyncConnection, None]:
        """A transaction that may take as long as it takes."""
        async with _explained(), self._writing.begin() as connection:
            if not self.sqlite:
                await connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            yield connection

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._engine.dispose()


def _engine(url: URL) -> AsyncEngine:
    if url.get_backend_name() == "sqlite":
        engine = create_async_engine(url, pool_timeout=10, hide_parameters=True)
        event.listen(engine.sync_engine, "connect", _set_up_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine
    try:
        engine = create_async_engine(
            url,
            pool_size=10,
            pool_timeout=5,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={"connect_timeout": 5},
        )
    except ModuleNotFoundError as error:
        raise MissingExtra("postgresql", "postgres", "psycopg") from error
    event.listen(engine.sync_engine, "connect", _set_up_postgres)
    return engine


def _set_up_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions begin where `_begin_sqlite` says, nowhere else
    cursor = connection.cursor()
    for pragma in ("busy_timeout = 5000", "journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes the lock at once: one that read first could not get it any more (SQLITE_BUSY).
    writes = connection.get_execution_options().get("chatlab_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _set_up_postgres(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("SET statement_timeout = '10s'")
    cursor.execute("SET lock_timeout = '5s'")
    cursor.close()
    connection.commit()


@asynccontextmanager
async def _explained() -> AsyncGenerator[None, None]:
    """Turns a database's errors into ours."""
    try:
        yield
    except (TimeoutError, exc.TimeoutError) as error:
        raise Unreachable("the database does not answer in time: try again later") from error
    except exc.StatementError as error:
        if isinstance(error.orig, StoreError | ValueError | TypeError):
            raise error.orig from None  # one of our own types refused the value
        if _trouble(error):
            raise Unreachable(
                f"the database does not answer ({_sentence(error)}): try again later"
            ) from error
        raise StoreError(f"the database refused ({_sentence(error)})") from error
    except exc.SQLAlchemyError as error:
        raise StoreError(f"the database cannot be used ({_sentence(error)})") from error
    except OSError as error:
        raise Unreachable(f"the database does not answer ({scrub(str(error))}): try again later") from error


def _trouble(error: exc.StatementError) -> bool:
    """Whether the database is away, or has no room or no time, rather than refusing what it was asked."""
    if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
        return True
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _SQLITE_TROUBLE
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return _POSTGRES_TROUBLE.match(state) is not None
    return isinstance(error, exc.OperationalError | exc.InterfaceError)


def _sentence(error: exc.SQLAlchemyError) -> str:
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines()
    return scrub(lines[0] if lines else type(cause).__name__)
