"""The limits of a minute and of running turns, on two servers of one PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

import chatlab
from chatlab.store import Unreachable
from chatlab.store.allowances import Part
from chatlab.store.sql import SqlStore, open_store
from chatlab.web.server import create_app
from chatlab.web.shared.allowances import SharedAllowances
from chatlab.web.shared.limits import LimitReached, Visitor, VisitorLimits, limits_of
from tests.store.databases import Postgres, on_machines_of_their_own

ANN = Visitor("ann", "198.51.100.1")
BOB = Visitor("bob", "198.51.100.1")
CONFIG = """\
backends: {echo: {kind: echo}}
storage: {url: {env: CHATLAB_TEST_DATABASE}, files: files}
limits:
  running_turns: {visitor: 3}
  turns_a_minute: {visitor: 8}
  sign_ins_a_minute: {address: 2}
  passwords_a_minute: {person: 2}
"""


@pytest.fixture
async def two(
    postgres_of_this_version: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[VisitorLimits, VisitorLimits]]:
    """The limits of two servers on one database."""
    on_machines_of_their_own(monkeypatch)
    url = postgres_of_this_version.new()
    monkeypatch.setenv("CHATLAB_TEST_DATABASE", url)
    (tmp_path / "config.yaml").write_text(CONFIG, "utf-8")
    async with AsyncExitStack() as running:
        labs = [chatlab.load(tmp_path / "config.yaml") for _ in range(2)]
        for lab in labs:
            app = create_app(lab)
            await running.enter_async_context(app.router.lifespan_context(app))
        yield limits_of(labs[0]), limits_of(labs[1])
    postgres_of_this_version.drop(url)


async def _outcomes(*tries: Any) -> tuple[list[Any], list[str]]:
    """Return what came of tries that are made together, and the refusals."""
    done = await asyncio.gather(*tries, return_exceptions=True)
    assert all(not isinstance(one, BaseException) or isinstance(one, LimitReached) for one in done), done
    refused = [one for one in done if isinstance(one, LimitReached)]
    return [one for one in done if one not in refused], [str(one) for one in refused]


async def test_nobody_waits_for_ever_who_asks_while_a_database_of_one_server_is_opened(
    tmp_path: Path,
) -> None:
    asked, opens = asyncio.Event(), asyncio.Event()
    store = await open_store(f"sqlite:{tmp_path}/chatlab.db")

    async def opened() -> SqlStore:
        asked.set()
        await opens.wait()
        return store

    shared = SharedAllowances(opened)
    first = asyncio.create_task(shared.take([Part("ann", places=1, at_once=3)]))
    await asked.wait()
    second = asyncio.create_task(shared.take([Part("bob", places=1, at_once=3)]))
    await asyncio.wait([second], timeout=0)
    opens.set()
    async with asyncio.timeout(10):
        came = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(one) for one in came] == [Unreachable, Unreachable]
    await shared.aclose()
    await store.aclose()


async def test_limits_hold_for_two_servers_together(two: tuple[VisitorLimits, VisitorLimits]) -> None:
    one, other = two
    places, refused = await _outcomes(*(server.begin(ANN) for server in two for _ in range(10)))
    assert len(places) == 3 and len(refused) == 17
    assert set(refused) == {
        "One visitor may have 3 answers running at a time: wait for one to end, or stop one"
    }
    async with AsyncExitStack() as held:
        waits = asyncio.create_task(held.enter_async_context(other.turn(ANN, charged=True, wait=True)))
        await asyncio.sleep(0)
        assert not waits.done()
        places.pop().release()  # which either server may have had
        await asyncio.wait_for(waits, 10)
    await one.charge(ANN, 4)  # with those that began and are over a minute's
    _, refused = await _outcomes(*(server.charge(ANN) for server in two for _ in range(2)))
    assert len(refused) == 3 and "8 answers a minute" in refused[0]
    await one.charge(BOB, 8)
    tries = [server.charge_sign_in(ANN) for server in two for _ in range(2)]
    assert len((await _outcomes(*tries))[1]) == 2
    tries = [server.charge_password("ann\0\ud800", ANN) for server in two for _ in range(2)]
    assert len((await _outcomes(*tries))[1]) == 2


async def test_who_gave_up_asking_holds_nothing(two: tuple[VisitorLimits, VisitorLimits]) -> None:
    one, other = two
    asks = [asyncio.create_task(one.begin(ANN)) for _ in range(3)]
    await asyncio.sleep(0)
    for task in asks:
        task.cancel()
    await asyncio.wait(asks)
    async with asyncio.timeout(10), AsyncExitStack() as held:
        for _ in range(3):
            await held.enter_async_context(other.turn(ANN, charged=True, wait=True))


@pytest.mark.parametrize("why", [Unreachable("the database does not answer"), KeyError("nobody foresaw it")])
async def test_while_the_database_is_away_each_server_counts_for_itself(
    two: tuple[VisitorLimits, VisitorLimits],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    why: Exception,
) -> None:
    one, other = two

    async def away(*_: object) -> None:
        raise why

    monkeypatch.setattr("chatlab.store._allowances.SqlAllowances.take", away)
    async with asyncio.timeout(20):
        places, refused = await _outcomes(*(one.begin(ANN) for _ in range(5)))
    assert len(places) == 3 and len(refused) == 2
    assert caplog.text.count("limits hold for this server alone") == 1
    await other.charge(ANN, 8)
    with pytest.raises(LimitReached, match="8 answers a minute"):
        await other.charge(ANN, 1)


async def test_a_sqlite_file_has_one_server_which_counts_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG.replace("{env: CHATLAB_TEST_DATABASE}", "sqlite:c.db"))
    lab = chatlab.load(tmp_path / "config.yaml")
    app = create_app(lab)
    monkeypatch.setattr("chatlab.store._allowances.SqlAllowances.take", lambda *_: pytest.fail("it is asked"))
    async with app.router.lifespan_context(app):
        await limits_of(lab).charge(ANN, 8)
        with pytest.raises(LimitReached):
            await limits_of(lab).charge(ANN)
