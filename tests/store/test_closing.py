"""Closing a store ends: beside a busy one, and whatever became of its heartbeat."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.util import await_only

from chatlab.messages import TextPart
from chatlab.store import _replicas, _servers
from chatlab.store._database import Database, address
from chatlab.store.sql import SqlStore, open_store
from tests.store.databases import Postgres
from tests.store.values import turn_in


def writers() -> int:
    return sum(thread.name.startswith("store-writer") for thread in threading.enumerate())


async def test_stores_are_opened_and_closed_beside_a_busy_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = replace(_servers.SQLITE_BEATS, every=timedelta(milliseconds=2))
    monkeypatch.setattr(_replicas, "SQLITE_BEATS", soon)  # so that a close meets a beat
    url = f"sqlite:{tmp_path}/chatlab.db"
    before = writers()
    busy = await open_store(url)
    going = True

    async def write(owner: str) -> int:
        turn = turn_in(await busy.create(owner))
        written = 0
        while going:
            await busy.save([replace(turn, answer=(TextPart("x" * written),))])
            written += 1
        return written

    async def visit(number: int) -> None:
        other = await open_store(url)
        reads = [asyncio.create_task(other.search("owner-1", "hello")) for _ in range(3)]
        await other.save([turn_in(await other.create(f"visitor-{number}"))])
        reads[0].cancel()  # as when its page was closed
        await other.aclose()
        await asyncio.gather(*reads, return_exceptions=True)

    writing = [asyncio.create_task(write(f"owner-{number}")) for number in range(3)]
    async with asyncio.timeout(60):
        for number in range(0, 24, 4):
            # Each in a thread and a loop of its own, as a second process would be.
            visits = (asyncio.to_thread(asyncio.run, visit(number + one)) for one in range(4))
            await asyncio.gather(*visits)
        going = False
        assert all(await asyncio.gather(*writing))
        await busy.aclose()
    assert writers() == before


async def test_a_store_whose_heartbeat_failed_is_closed_all_the_same(
    store: SqlStore, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = writers()
    other = await open_store(url)
    await other.recover()
    (beating,) = (task for task in asyncio.all_tasks() if task.get_name() == "store heartbeat")
    failed = asyncio.create_task(_fail(), name="store heartbeat")
    beating.cancel()
    other.replicas._tasks = [failed]
    await asyncio.wait([beating, failed])  # what it was asking the database has its connection until then
    await other.aclose()
    assert writers() == before
    assert isinstance(failed.exception(), RuntimeError)


async def test_a_connection_in_use_at_the_close_is_closed_after_it(
    postgres_of_this_version: Postgres,
) -> None:
    database = Database(address(postgres_of_this_version.url("newest"), Path()))
    used: list[Any] = []
    begun, closed = asyncio.Event(), asyncio.Event()

    def work(connection: Connection) -> None:
        used.append(connection.connection.driver_connection)
        begun.set()
        await_only(closed.wait())

    reading = asyncio.create_task(database.read(work))
    await begun.wait()
    await database.aclose()
    closed.set()
    await reading
    assert used[0].closed


async def _fail() -> None:
    raise RuntimeError("what nobody thought of")
