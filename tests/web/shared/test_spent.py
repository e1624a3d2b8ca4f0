"""What visitors spent within a day: the same for all servers of a database, and after a restart."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import chatlab
from chatlab.backend import CallContext
from chatlab.errors import ChatlabError
from chatlab.messages import TextDelta
from chatlab.store import Store, Unreachable
from chatlab.store.sql import open_store
from chatlab.web.server import create_app
from chatlab.web.shared import spent as spent_module
from chatlab.web.shared.asked import observe_turns
from chatlab.web.shared.limits import LimitReached, Visitor, VisitorLimits, limits_of
from chatlab.web.shared.spent import DaySpending, spending_stored

CONFIG = """\
version: 1
backends:
  echo: {kind: echo, delay: 0.01, prices: {input: 1000000, output: 2000000}}
  away: {kind: openai, model: x, base_url: "http://127.0.0.1:9/v1", api_key: {env: CHATLAB_TEST_KEY}}
limits: {tokens_a_day: {visitor: 1000}}
storage: none
"""


async def test_servers_of_one_database_count_together_and_a_restart_forgets_nothing(tmp_path: Path) -> None:
    store = await open_store(f"sqlite:{tmp_path}/chatlab.db")

    async def opened() -> Store:
        return store

    one, other, later = DaySpending(), DaySpending(), DaySpending()
    async with spending_stored(one, opened), spending_stored(other, opened):
        one.add("ann", 3, 0.5)
        other.add("ann", 4, 0)
        other.add("bob", 1, 0)
        await other.exchange(opened)
        await one.exchange(opened)
        assert one.of_day("ann") == (7, 0.5) and one.of_day("") == (8, 0.5)
        await one.exchange(opened)  # what was told is not told again
        assert one.of_day("") == (8, 0.5)
        one.add("bob", 2, 0)
    async with spending_stored(later, opened):
        assert later.of_day("bob") == (3, 0) and later.of_day("") == (10, 0.5)
    await store.aclose()


async def test_money_of_a_day_holds_for_all_servers_without_signing_in_too(tmp_path: Path) -> None:
    limited = CONFIG.replace("tokens_a_day: {visitor: 1000}", "cost_a_day: {total: 5}")
    (tmp_path / "config.yaml").write_text(limited.replace("storage: none\n", ""), "utf-8")
    ann, bob = Visitor("ann", "198.51.100.1"), Visitor("bob", "198.51.100.2")

    async def started(running: AsyncExitStack) -> VisitorLimits:
        lab = chatlab.load(tmp_path / "config.yaml")
        app = create_app(lab)
        await running.enter_async_context(app.router.lifespan_context(app))
        return limits_of(lab)

    async with AsyncExitStack() as running:
        one, other = await started(running), await started(running)
        await other.charge(bob)
        one.spend("ann", 10, 5.0)
        with pytest.raises(LimitReached):
            await one.charge(ann)
        async with asyncio.timeout(10):
            while other.spending.of_day("") == (0, 0):
                await asyncio.sleep(0.05)
        with pytest.raises(LimitReached, match="5"):
            await other.charge(bob)
    async with AsyncExitStack() as running:
        with pytest.raises(LimitReached, match="5"):
            await (await started(running)).charge(bob)


async def test_what_others_spent_hours_ago_counts_until_it_is_a_day_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await open_store(f"sqlite:{tmp_path}/chatlab.db")
    hour = 500_000
    monkeypatch.setattr(spent_module, "this_hour", lambda: hour)

    async def opened() -> Store:
        return store

    one, other = DaySpending(), DaySpending()
    seen = []
    for _ in range(26):
        await one.exchange(opened)
        await other.exchange(opened)
        if hour in (500_000, 500_001, 500_003):
            other.add("ann", 1, 0)
            await other.exchange(opened)
            await one.exchange(opened)
        seen.append((one.of_day("ann")[0], one.of_day("")[0], other.of_day("ann")[0]))
        hour += 1
    assert seen == [(n, n, n) for n in [1, 2, 2, *([3] * 21), 2, 1]]
    await store.aclose()


async def test_what_cannot_be_stored_counts_here_and_is_stored_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = await open_store(f"sqlite:{tmp_path}/chatlab.db")
    is_away = True

    async def opened() -> Store:
        if is_away:
            raise Unreachable("the database does not answer")
        return store

    spending = DaySpending()
    for _ in range(3):
        await spending.exchange(opened)
        spending.add("ann", 2, 0)
    assert spending.of_day("ann") == (6, 0) and caplog.text.count("not stored just now") == 1
    is_away = False
    await spending.exchange(opened)
    assert spending.of_day("ann") == (6, 0)
    assert [one.tokens for one in await store.spending.since(0)] == [6]
    await store.aclose()


async def test_an_answer_that_was_stopped_counts_by_its_text_and_one_that_never_came_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHATLAB_TEST_KEY", "x")
    (tmp_path / "config.yaml").write_text(CONFIG, "utf-8")
    async with chatlab.load(tmp_path / "config.yaml") as lab:
        observe_turns(lab)
        spent = limits_of(lab).spending
        asked = "12345678 " * 100  # 900 bytes, which are about 225 tokens
        said = ""
        async with lab.turn("echo", asked, ctx=CallContext(owner="ann")) as turn:
            async for event in turn:
                said += event.text if isinstance(event, TextDelta) else ""
                if len(said) > 40:
                    break
        tokens, money = spent.of_day("ann")
        answered = -(-len(turn.answer.parts[0].text) // 4)  # type: ignore[union-attr]
        assert tokens == 225 + answered and answered > 10
        assert money == 225 + 2 * answered
        with pytest.raises(ChatlabError):
            await lab.answer("away", "Hello", ctx=CallContext(owner="bob"))
        assert spent.of_day("bob") == (0, 0)
