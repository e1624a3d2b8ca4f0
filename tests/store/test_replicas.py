"""What servers of one database tell each other of the turns that they run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from chatlab.messages import TextPart
from chatlab.store import _replicas, _servers
from chatlab.store._servers import Beats
from chatlab.store.replicas import Wish
from chatlab.store.sql import SqlStore, open_store
from tests.store.databases import Postgres, on_machines_of_their_own
from tests.store.values import turn_in

ME = "owner-1"


@pytest.fixture(params=[True, False], ids=["notified", "looking"])
async def two(
    request: pytest.FixtureRequest, postgres_of_this_version: Postgres, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[SqlStore, SqlStore]]:
    """The stores of two servers on one database, which hear of each other or only look."""
    on_machines_of_their_own(monkeypatch)
    url = postgres_of_this_version.new()
    stores = [await open_store(url, notify=request.param) for _ in range(2)]
    for one in stores:
        await one.recover()
        while request.param and one.replicas.patience == _replicas._UNASKED:
            await asyncio.sleep(0.01)  # until it listens
    yield stores[0], stores[1]
    for one in stores:
        await one.aclose()
    postgres_of_this_version.drop(url)


async def test_who_runs_a_turn_learns_that_others_look_on_and_that_they_want_it_stopped(
    two: tuple[SqlStore, SqlStore],
) -> None:
    runs, looks = two
    wishes: asyncio.Queue[Wish] = asyncio.Queue()
    runs.replicas.take_wishes(wishes.put_nowait)
    looks.replicas.take_wishes(lambda wish: pytest.fail(f"none of its turns: {wish}"))
    turn = turn_in(await runs.create(ME))
    await runs.save([turn])
    for owner in ("owner-2", ME):  # somebody else's wish is none
        await looks.replicas.look_on(owner, [turn.id])
    assert await asyncio.wait_for(wishes.get(), 10) == Wish(turn.id, stop=False)
    await looks.replicas.ask_to_stop("owner-2", [turn.id])
    await looks.replicas.look_on(ME, [turn.id])
    assert await asyncio.wait_for(wishes.get(), 10) == Wish(turn.id, stop=False)
    await looks.replicas.ask_to_stop(ME, [turn.id])
    await looks.replicas.look_on(ME, [turn.id])  # takes nothing back
    async with asyncio.timeout(10):
        while await wishes.get() != Wish(turn.id, stop=True):
            pass


@pytest.mark.parametrize("two", [True], indirect=True, ids=["notified"])
async def test_news_of_a_turn_are_told_only_while_somebody_looks_on(two: tuple[SqlStore, SqlStore]) -> None:
    runs, looks = two
    watched, alone = turn_in(await runs.create(ME)), turn_in(await runs.create(ME))
    await runs.save([watched, alone])
    session = await runs.create_comparison(ME)
    with (
        looks.replicas.news(watched.id) as news,
        looks.replicas.news(alone.id) as none,
        looks.replicas.news(session.id) as logged,
    ):
        await looks.replicas.look_on(ME, [watched.id])
        async with asyncio.timeout(10):
            while not runs.replicas.looked_on([watched]):
                await asyncio.sleep(0.01)
        grown = [replace(turn, answer=(TextPart("a word"),)) for turn in (alone, watched)]
        await runs.save(grown[:1])
        await runs.save(grown)
        await asyncio.wait_for(news.wait(), 10)
        assert not none.is_set() and not logged.is_set()
        assert await looks.turn(ME, watched.id) == grown[1]
        await runs.append(ME, session.id, 0, [{"a": 1}])
        await asyncio.wait_for(logged.wait(), 10)


@pytest.mark.parametrize("two", [True], indirect=True, ids=["notified"])
async def test_a_listening_connection_that_was_ended_is_made_anew_and_what_was_missed_is_looked_for(
    two: tuple[SqlStore, SqlStore], postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_replicas, "_LISTEN_AGAIN", 0.05)
    _, looks = two
    with looks.replicas.news("anything") as news:
        postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
        await asyncio.wait_for(news.wait(), 20)


async def test_a_server_that_was_killed_is_found_by_its_silence(
    postgres_of_this_version: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats = _servers.POSTGRES_BEATS
    assert beats.every + beats.silence < timedelta(seconds=10)
    on_machines_of_their_own(monkeypatch)
    monkeypatch.setattr(_replicas, "POSTGRES_BEATS", Beats(beats.every / 20, beats.silence / 20))
    url = postgres_of_this_version.new()
    killed, lives = await open_store(url), await open_store(url)
    await lives.recover()
    turn = turn_in(await killed.create(ME), answer=(TextPart("half an answer"),))
    await killed.save([turn])
    await asyncio.sleep(0)
    for task in killed.replicas._tasks:
        task.cancel()  # it says nothing any more
    async with asyncio.timeout(10):
        while (await lives.turn(ME, turn.id)).status == "running":
            await asyncio.sleep(0.05)
    assert await lives.turn(ME, turn.id) == replace(turn, status="interrupted")
    for one in (killed, lives):
        await one.aclose()
    postgres_of_this_version.drop(url)
