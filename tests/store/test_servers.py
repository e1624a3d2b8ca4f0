"""Turns whose server died become interrupted; those of a living one are left alone."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql.base import PGDialect as PostgreSQL
from sqlalchemy.dialects.sqlite.base import SQLiteDialect as SQLite

from chatlab.messages import TextPart
from chatlab.store import _replicas, _servers
from chatlab.store._servers import Beats
from chatlab.store.sql import SqlStore, open_store
from tests.store.values import turn_in

ME = "owner-1"
SOON = timedelta(milliseconds=20)


async def pretend(store: SqlStore, assignment: str, **values: object) -> None:
    """Changes how this store's server looks to others."""
    change = text(f"UPDATE servers SET {assignment} WHERE token = :token")
    await store._database.write(Connection.execute, change, {"token": store.replicas.server.token, **values})


async def running(store: SqlStore) -> str:
    chat = await store.create(ME)
    turn = turn_in(chat, answer=(TextPart("half an answer"),))
    await store.save([turn])
    return turn.id


async def test_a_living_servers_turns_run_on_when_another_starts(store: SqlStore, url: str) -> None:
    mine = await running(store)
    other = await open_store(url)
    await pretend(store, "host = 'elsewhere', pid = 1")
    theirs = await running(other)
    assert await other.recover() == 0
    await pretend(other, "host = 'elsewhere', pid = 2")
    assert await store.recover() == 0
    assert {(await store.turn(ME, turn)).status for turn in (mine, theirs)} == {"running"}
    await other.aclose()


async def test_turns_that_begin_at_once_say_together_that_their_server_is_there(url: str) -> None:
    for _ in range(5):
        store = await open_store(url)
        chats = [await store.create(ME) for _ in range(8)]
        await asyncio.gather(*(store.save([turn_in(chat)]) for chat in chats))
        query = text("SELECT count(*) FROM servers WHERE token = :token")
        asked = {"token": store.replicas.server.token}
        assert await store._database.read(Connection.scalar, query, asked) == 1
        await store.aclose()


async def test_a_server_whose_process_is_gone_is_dead(store: SqlStore, url: str) -> None:
    turn = await running(store)
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    await pretend(store, "pid = :pid", pid=process.pid)
    other = await open_store(url)
    assert await other.recover() == 1
    found = await other.turn(ME, turn)
    assert (found.status, found.answer) == ("interrupted", (TextPart("half an answer"),))
    assert [hit.turn for hit in await other.search(ME, "half")] == [turn]
    assert await other.recover() == 0
    await other.aclose()


async def test_a_process_that_got_the_number_of_a_dead_one_is_another(store: SqlStore, url: str) -> None:
    turn = await running(store)
    other = await open_store(url)
    assert store.replicas.server.pid == other.replicas.server.pid == os.getpid()
    assert await other.recover() == 1
    assert (await other.turn(ME, turn)).status == "interrupted"
    await other.aclose()


async def test_a_server_elsewhere_is_dead_once_it_was_not_heard_of_for_a_minute(
    store: SqlStore, url: str
) -> None:
    await running(store)
    long_ago = _servers.now() - timedelta(seconds=61)
    await pretend(store, "host = 'elsewhere', seen = :seen", seen=_stored(store, long_ago))
    other = await open_store(url)
    assert await other.recover() == 1
    await other.aclose()


def _stored(store: SqlStore, moment: object) -> object:
    from chatlab.store.schema import Moment

    dialect = (SQLite if store._database.sqlite else PostgreSQL)()
    value = Moment().process_bind_param(moment, dialect)  # type: ignore[arg-type]
    return str(value) if store._database.sqlite else value


async def test_a_server_that_was_taken_for_dead_may_still_bring_its_answer(store: SqlStore, url: str) -> None:
    turn = await store.turn(ME, await running(store))
    other = await open_store(url)
    assert await other.recover() == 1
    await store.save([replace(turn, answer=(TextPart("half an answer and"),))])  # a checkpoint is late
    assert (await store.turn(ME, turn.id)).status == "interrupted"
    whole = replace(turn, status="finished", answer=(TextPart("the whole answer"),))
    await store.save([whole])
    assert await other.turn(ME, turn.id) == whole
    await other.aclose()


async def test_a_server_that_closes_leaves_nothing_running(store: SqlStore, url: str) -> None:
    other = await open_store(url)
    turn = await running(other)
    await other.aclose()
    assert await store.recover() == 1
    assert (await store.turn(ME, turn)).status == "interrupted"


async def test_a_server_goes_on_saying_that_it_is_there(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_replicas, "SQLITE_BEATS", Beats(SOON, timedelta(minutes=1)))
    monkeypatch.setattr(_replicas, "POSTGRES_BEATS", Beats(SOON, timedelta(minutes=1)))
    store = await open_store(url)
    await running(store)
    await pretend(store, "seen = :seen", seen=_stored(store, _servers.now() - timedelta(hours=1)))
    async with asyncio.timeout(10):
        while True:
            since = _stored(store, _servers.now() - timedelta(minutes=1))
            query = text("SELECT count(*) FROM servers WHERE seen > :since")
            if await store._database.read(Connection.scalar, query, {"since": since}):
                break
    await store.aclose()
