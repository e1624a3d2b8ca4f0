"""One comparison session on two servers of one database: each sees what the other does, and can stop it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from chatlab.compare.session.events import SessionError
from chatlab.compare.session.session import ComparisonSession
from chatlab.config.registry import Entry
from chatlab.conversations.saving import Saving
from chatlab.store.sql import SqlStore, open_store
from tests.compare.session.scripted import script, scripted
from tests.compare.session.test_session import head, lane, text
from tests.store.databases import Postgres, on_machines_of_their_own


@dataclass
class Two:
    """A session of the first server, as the second has it, and the backends of either."""

    first: ComparisonSession
    second: ComparisonSession
    backends: tuple[dict[str, Entry], dict[str, Entry]]


@asynccontextmanager
async def server(url: str, *, notify: bool) -> AsyncIterator[tuple[SqlStore, Saving, dict[str, Entry]]]:
    store = await open_store(url, notify=notify)
    await store.recover()
    saving = Saving(store)
    store.replicas.take_wishes(saving.wished)
    yield store, saving, scripted("a", "b")
    await saving.aclose()
    await store.aclose()


@pytest.fixture(params=[True, False], ids=["notified", "looking"])
async def two(
    request: pytest.FixtureRequest, postgres_of_this_version: Postgres, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Two]:
    on_machines_of_their_own(monkeypatch)
    url = postgres_of_this_version.new()
    async with (
        server(url, notify=request.param) as (store, saving, backends),
        server(url, notify=request.param) as (other, others, theirs),
    ):
        first = await ComparisonSession.create(
            backends, list(backends), owner="me", store=store, saving=saving
        )
        second = await ComparisonSession.open(theirs, first.id, owner="me", store=other, saving=others)
        yield Two(first, second, (backends, theirs))
        await first.aclose()
        await second.aclose()
    postgres_of_this_version.drop(url)


async def until(session: ComparisonSession, seen: Callable[[], bool]) -> None:
    """Waits, as a page does that reads the session's changes."""
    async with asyncio.timeout(20):
        async for _ in session.changes():
            if seen():
                return


async def test_what_runs_on_one_server_is_seen_growing_on_the_other_and_stopped_there(two: Two) -> None:
    first, second = two.first, two.second
    script(two.backends[0], "b").hold = asyncio.Event()
    await first.ask("Hello")
    await until(second, lambda: bool(second.state.rounds) and text(second, "a") == "a says 1")
    await until(second, lambda: text(second, "b") == "b sa")  # the first half
    assert second.running(lane(second, "b").id)
    with pytest.raises(SessionError, match="b is still answering"):
        await second.ask("And?")
    await second.stop(lane(second, "b").id)
    assert head(second, "b").status == "stopped" and not second.running()
    assert script(two.backends[0], "b").open == 0, "its upstream is closed"
    await first.settled()
    (asked,) = second.state.rounds
    await until(second, lambda: asked in second.state.checked)
    assert second.mismatches(asked) == () and second.receipts(asked) == first.receipts(asked)


async def test_both_servers_can_go_on_with_a_session_one_after_the_other(two: Two) -> None:
    first, second = two.first, two.second
    one = await first.ask("one")
    await first.settled()
    await second.refresh()
    await second.vote(one, "tie", voter="me")
    script(two.backends[1], "a").hold = asyncio.Event()
    await second.ask("two")
    await first.refresh()
    assert [vote.best for vote in first.state.votes] == ["tie"]
    assert first.running(lane(first, "a").id)
    script(two.backends[1], "a").hold.set()
    await second.settled()
    await until(first, lambda: not first.running())
    assert text(first, "a") == text(second, "a")
    await first.refresh()
    assert len(await asyncio.gather(first.ask("three"))) == 1
    await first.settled()
    assert [turn.user.text for turn in map(first.turn, first.state.positions)].count("three") == 2


async def test_of_two_who_ask_at_once_one_is_told_to_look_again_and_no_round_is_half_there(two: Two) -> None:
    asked = await asyncio.gather(two.first.ask("one"), two.second.ask("two"), return_exceptions=True)
    refused = [one for one in asked if isinstance(one, BaseException)]
    assert len(refused) == 1 and "changed elsewhere" in str(refused[0])
    for session in (two.first, two.second):
        await session.settled()
        await session.refresh()
        await until(session, lambda session=session: not session.running())  # type: ignore[misc]
        (known,) = session.state.rounds.values()
        assert all(len(turns) == 1 for turns in known.turns.values()) and len(known.turns) == 2
