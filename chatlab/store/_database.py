"""The connection to either database: its address, its transactions, and what its errors mean."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import URL, Connection, create_engine, event, exc, make_url
from sqlalchemy.util import await_only

from chatlab.azure_identity import AzureIdentity, AzureTokens
from chatlab.errors import ChatlabError, MissingExtra, StoreError
from chatlab.paths import sqlite_path
from chatlab.secret import SecretRef, remember, scrub
from chatlab.store import Unreachable

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE = 15.0  # seconds a transaction may take, waiting included; each wait within it is shorter
_READERS = 4  # threads that read a SQLite file

# https://www.sqlite.org/rescode.html: BUSY, LOCKED, READONLY, IOERR, FULL, CANTOPEN.
_SQLITE_TROUBLE = {5, 6, 8, 10, 13, 14}
_SQLITE_OTHER_FILE = 26  # NOTADB
_SQLITE_DAMAGED = 11  # CORRUPT
# https://www.postgresql.org/docs/current/errcodes-appendix.html: connections, rollbacks by the server, read
# only, out of resources, a lock that was not to be had, intervention, system errors.
_POSTGRES_TROUBLE = re.compile("08|40|25006|53|55P03|57|58")


def address(url: str | SecretRef, root: Path) -> URL:
    """Return the database that `storage.url` names; a relative path is below `root`. Raises StoreError."""
    if isinstance(url, SecretRef):
        try:
            url = url.text().get_secret_value()
        except LookupError as error:
            raise StoreError(f"storage.url cannot be read: {error}") from error
    scheme, colon, rest = url.partition(":")
    if scheme == "sqlite" and colon:
        try:
            path = sqlite_path(rest)
        except ValueError as error:
            raise StoreError(f"storage.url {error}") from error
        return URL.create("sqlite+pysqlite", database=str(root / path))
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


_POSTGRES_SCOPE = "https://ossrdbms-aad.database.windows.net/.default"
"""Azure Database for PostgreSQL, as Entra ID knows it."""


class Database:
    """Connections to one database. Every transaction either commits whole or leaves nothing behind.

    What is done in a transaction is a function of its connection, the same for both databases. SQLite's runs
    from its first statement to its commit in one thread: there, a thread for each statement costs more than
    the statements. PostgreSQL's runs in the event loop, which it leaves whenever it waits for an answer.
    """

    def __init__(self, url: URL, identity: AzureIdentity | None = None) -> None:
        """identity: signs in to PostgreSQL, instead of a password."""
        self.url = url
        self.sqlite = url.get_backend_name() == "sqlite"
        self._tokens = None if identity is None else AzureTokens(identity, _POSTGRES_SCOPE)
        self._engine: _SqliteThreads | AsyncEngine = (
            _SqliteThreads(url) if self.sqlite else _postgres(url, self._tokens)
        )

    async def read(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Return what `work` returns, in a transaction that sees one state of the database.

        Raises Unreachable and StoreError, and what `work` raises.
        """
        async with _explained(self.url), asyncio.timeout(PATIENCE):
            return await self._run(lambda connection: work(connection, *args, **kwargs), writes=False)

    async def write(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As `read`; what `work` wrote is committed if it raises nothing. Who does not wait for that to the
        end knows no more than that all of it was written or none.
        """
        async with _explained(self.url), asyncio.timeout(PATIENCE):
            return await self._run(lambda connection: work(connection, *args, **kwargs), writes=True)

    async def migrate(self, work: Callable[[Connection], T]) -> T:
        """Do as `write`, for as long as it takes."""
        async with _explained(self.url):
            return await self._run(partial(_without_hurry, work), writes=True)

    async def _run(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        if isinstance(self._engine, _SqliteThreads):
            return await self._engine.run(work, writes=writes)
        async with self._engine.begin() as connection:
            return await connection.run_sync(work)

    async def notifications(self, channel: str) -> AsyncGenerator[str, None]:
        """Yield what is notified on a channel of PostgreSQL's, by a connection of its own; at first, once it
        listens, an empty text. Raise Unreachable when the connection ends."""
        assert not isinstance(self._engine, _SqliteThreads)
        import psycopg

        async with _explained(self.url), self._engine.connect() as connection:
            listening: Any = (await connection.get_raw_connection()).driver_connection
            try:
                await listening.set_autocommit(True)
                await listening.execute(f'LISTEN "{channel}"')
                yield ""
                async for told in listening.notifies():
                    yield told.payload
            except psycopg.Error as error:
                raise Unreachable(f"the connection that listens to the database ended: {error}") from error
            finally:
                await connection.invalidate()  # nobody else gets one that listens

    async def aclose(self) -> None:
        """Close the connections, once what goes on is over."""
        if isinstance(self._engine, _SqliteThreads):
            await asyncio.to_thread(self._engine.close)
        else:
            # The pool closes those in it; what was cancelled a moment ago is still returning its own.
            event.listen(self._engine.sync_engine, "checkin", lambda _, returned: returned.invalidate())
            await self._engine.dispose()
        if self._tokens is not None:
            self._tokens.close()


class _SqliteThreads:
    """A SQLite file, with threads that read it and one that writes."""

    def __init__(self, url: URL) -> None:
        # All that write wait for each other here, in their order, instead of polling the file.
        self._writer = ThreadPoolExecutor(1, "store-writer")
        self._readers = ThreadPoolExecutor(_READERS, "store-reader")
        self._engine = create_engine(
            url,
            pool_size=1 + _READERS,
            pool_timeout=10,
            pool_use_lifo=True,
            hide_parameters=True,
            connect_args={"check_same_thread": False},
        )
        event.listen(self._engine, "connect", _set_up_sqlite)
        self._file = Path(str(url.database))
        self._opened: tuple[int, int] | None = None  # the device and inode of the file that is open

    async def run(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        """Return what `work` returns. Cancelled before a thread took it up, it is not done at all."""
        # A writer takes the lock at once: one that read first could not get it any more (SQLITE_BUSY).
        threads, begin = (self._writer, "BEGIN IMMEDIATE") if writes else (self._readers, "BEGIN")
        return await asyncio.get_running_loop().run_in_executor(threads, self._work, begin, work)

    def _work(self, begin: str, work: Callable[[Connection], T]) -> T:
        self._check_file()
        with self._engine.begin() as connection:
            connection.exec_driver_sql(begin)
            return work(connection)

    def _check_file(self) -> None:
        """Raise Unreachable if the file was taken away: SQLite would write on, into a file without a name.

        One that was put in its place is opened anew.
        """
        try:
            found = self._file.stat()
        except FileNotFoundError as error:
            if self._opened is None:
                return  # it is not there yet
            raise Unreachable(
                f"the database file {self._file} was taken away: put it, or a backup, in its place"
            ) from error
        identity = (found.st_dev, found.st_ino)
        if self._opened not in (None, identity):
            self._engine.dispose()
        self._opened = identity

    def close(self) -> None:
        """Close the file, once what goes on is over."""
        self._writer.shutdown()
        self._readers.shutdown()
        self._engine.dispose()


def _without_hurry(work: Callable[[Connection], T], connection: Connection) -> T:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    return work(connection)


def _postgres(url: URL, tokens: AzureTokens | None) -> AsyncEngine:
    from sqlalchemy.ext.asyncio import create_async_engine  # brings the ORM, which SQLite does without

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
    if tokens is not None:
        event.listen(engine.sync_engine, "do_connect", partial(_with_token, tokens))
    return engine


def _with_token(tokens: AzureTokens, _: Any, __: Any, args: Any, given: dict[str, Any]) -> None:
    """Have a new connection sign in with a token that is good now, over TLS."""
    try:
        given["password"] = await_only(tokens.token()).value
    except ChatlabError as error:
        raise Unreachable(f"nobody can sign in to the database: {error}") from error
    host = str(given.get("host") or "")
    if host and not host.startswith("/") and host not in ("localhost", "127.0.0.1", "::1"):
        given.setdefault("sslmode", "require")  # left alone, the library would send it in clear, too


def _set_up_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions begin where `_SqliteThreads` says, nowhere else
    for pragma in ("busy_timeout = 5000", "journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _set_up_postgres(connection: Any, _: object) -> None:
    cursor = connection.cursor()
    cursor.execute("SET statement_timeout = '10s'")
    cursor.execute("SET lock_timeout = '5s'")
    cursor.close()
    connection.commit()


@asynccontextmanager
async def _explained(url: URL) -> AsyncGenerator[None, None]:
    """Turn a database's errors into ours."""
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
        code = getattr(error.orig, "sqlite_errorcode", None)
        if code == _SQLITE_OTHER_FILE:
            raise StoreError(
                f"{url.database} is not a SQLite database: name another file in storage.url, or put a backup "
                "in its place"
            ) from error
        if code is not None and code & 0xFF == _SQLITE_DAMAGED:  # the low byte is the primary code
            raise StoreError(
                f"{url.database} is damaged ({_sentence(error)}): stop chatlab, keep a copy, and put a "
                "backup in its place, or what `sqlite3 FILE .recover` saves of it"
            ) from error
        raise StoreError(f"the database refused ({_sentence(error)})") from error
    except exc.SQLAlchemyError as error:
        raise StoreError(f"the database cannot be used ({_sentence(error)})") from error
    except OSError as error:
        raise Unreachable(f"the database does not answer ({scrub(str(error))}): try again later") from error


def _trouble(error: exc.StatementError) -> bool:
    """Return whether the database is away, or has no room or no time, rather than refusing what it was
    asked."""
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
