"""Calls are started one by one: a long run is not drawn up ahead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from chatlab.compare.batch.append_log import AppendLog
from chatlab.compare.batch.budget import Budget
from chatlab.compare.batch.engines.engine import Lost, Ran
from chatlab.compare.batch.scheduler import ModelCall, Scheduler
from chatlab.config.load import load_config
from chatlab.config.registry import Backends, Entry
from chatlab.messages import Message
from chatlab.turns.ended import EndedTurn


async def test_a_call_is_drawn_up_when_it_may_start_and_not_before(tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text("backends: {e: {kind: echo}}\n")
    backends = Backends(load_config(tmp_path / "lab.yaml").backends)
    ledger = AppendLog(tmp_path / "ledger.jsonl")
    drawn = ended = most = 0

    async def over(turn: EndedTurn, wire: str | None) -> Sequence[ModelCall]:
        nonlocal ended
        ended += 1
        return ()

    def calls(lane: str) -> Iterator[ModelCall]:
        nonlocal drawn, most
        for place in range(60):
            drawn += 1
            most = max(most, drawn - ended)
            yield ModelCall(lane, backends["e"], (Message.of("user", "hello"),), over, place=place)

    scheduler = Scheduler(concurrency=3, limits={}, budget=Budget(None, ledger))
    assert await scheduler.run({lane: calls(lane) for lane in ("a", "b")})
    assert (drawn, ended) == (120, 120)
    assert most <= 3 + 2, "those that run, and the next of each lane"
    ledger.close()
    await backends.aclose()


async def test_the_next_call_starts_while_what_came_of_one_is_written(tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text("backends: {e: {kind: echo}}\n")
    backends = Backends(load_config(tmp_path / "lab.yaml").backends)
    ledger = AppendLog(tmp_path / "ledger.jsonl")
    made, disk, two = 0, asyncio.Event(), asyncio.Barrier(2)

    async def engine(entry: Entry, *about: Any) -> Ran:
        nonlocal made
        made += 1
        if made > 1:  # all but the first end when another one runs at the same time
            await two.wait()
        return Ran(EndedTurn.failed(entry, Lost("nothing")), None, 0)

    written = 0

    async def over(turn: EndedTurn, wire: str | None) -> Sequence[ModelCall]:
        nonlocal written
        written += 1
        if written == 1 or written > 11:
            await disk.wait()
        return ()

    messages = (Message.of("user", "hello"),)
    calls = [ModelCall("a", backends["e"], messages, over, last=True) for _ in range(41)]
    scheduler = Scheduler(concurrency=2, limits={}, budget=Budget(None, ledger), engine=engine)
    run = asyncio.create_task(scheduler.run({"a": calls}))
    async with asyncio.timeout(10):
        while made < 11:
            await asyncio.sleep(0)
        for _ in range(200):
            await asyncio.sleep(0)
        assert made <= 11 + 2 * 2, "few wait to be written: those a crash would have paid for twice"
        disk.set()
        assert await run
    assert (made, written) == (41, 41)
    ledger.close()
    await backends.aclose()


@pytest.fixture
async def entry(tmp_path: Path) -> AsyncIterator[Entry]:
    (tmp_path / "lab.yaml").write_text("backends: {e: {kind: echo}}\n")
    backends = Backends(load_config(tmp_path / "lab.yaml").backends)
    yield backends["e"]
    await backends.aclose()


@pytest.fixture
def budget(tmp_path: Path) -> Iterator[Budget]:
    ledger = AppendLog(tmp_path / "ledger.jsonl")
    yield Budget(None, ledger)
    ledger.close()


class Calls:
    """Calls whose answers come when they are let, in the order of `made`. written: what came of them."""

    def __init__(self, entry: Entry, size: int, *, last: bool = True) -> None:
        self.made: list[int] = []
        self.tasks: set[asyncio.Task[Any] | None] = set()
        self.answered = [asyncio.Event() for _ in range(size)]
        self.written: list[int] = []
        self.disk = asyncio.Event()
        self.disk.set()
        self.broken: Exception | None = None
        self.of_lane = [
            ModelCall("a", entry, (Message.of("user", str(n)),), self._over(n), place=n, last=last)
            for n in range(size)
        ]

    async def engine(self, entry: Entry, messages: tuple[Message, ...], *about: Any) -> Ran:
        number = int(messages[0].text)
        self.made.append(number)
        self.tasks.add(asyncio.current_task())
        await self.answered[number].wait()
        return Ran(EndedTurn.failed(entry, Lost("nothing")), None, 0)

    def _over(self, number: int) -> Any:
        async def over(turn: EndedTurn, wire: str | None) -> Sequence[ModelCall]:
            await self.disk.wait()
            if self.broken is not None:
                raise self.broken
            self.written.append(number)
            return ()

        return over

    async def until_made(self, size: int) -> None:
        async with asyncio.timeout(10):
            while len(self.made) < size:
                await asyncio.sleep(0)


async def test_a_call_that_has_ended_makes_room_for_the_next_at_once(entry: Entry, budget: Budget) -> None:
    calls = Calls(entry, 20)
    scheduler = Scheduler(concurrency=8, limits={}, budget=budget, engine=calls.engine)
    run = asyncio.create_task(scheduler.run({"a": calls.of_lane}))
    for number in range(20):
        await calls.until_made(min(number + 8, 20))
        assert calls.made == list(range(min(number + 8, 20)))
        calls.answered[number].set()
    assert await asyncio.wait_for(run, 10)
    assert sorted(calls.written) == list(range(20))
    assert len(calls.tasks) == 8, "no task is begun for each"


@pytest.mark.parametrize("last", [True, False])
async def test_what_cannot_be_written_ends_the_run_and_the_rest_is_written(
    entry: Entry, budget: Budget, last: bool
) -> None:
    calls = Calls(entry, 9, last=last)
    calls.disk.clear()
    scheduler = Scheduler(concurrency=3, limits={}, budget=budget, engine=calls.engine)
    run = asyncio.create_task(scheduler.run({"a": calls.of_lane}))
    await calls.until_made(3)
    calls.answered[0].set()
    calls.answered[1].set()
    await calls.until_made(5 if last else 3)
    full = OSError("the disk is full")
    calls.broken = full
    calls.disk.set()
    with pytest.raises(OSError, match="the disk is full") as said:
        await asyncio.wait_for(run, 10)
    assert said.value is full
    assert len(calls.made) == (5 if last else 3), "no call is begun that cannot be written"


async def test_what_had_ended_when_a_run_is_cancelled_is_written(entry: Entry, budget: Budget) -> None:
    calls = Calls(entry, 9)
    calls.disk.clear()
    scheduler = Scheduler(concurrency=3, limits={}, budget=budget, engine=calls.engine)
    run = asyncio.create_task(scheduler.run({"a": calls.of_lane}))
    await calls.until_made(3)
    calls.answered[1].set()
    await calls.until_made(4)
    run.cancel()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not run.done() and not calls.written
    calls.disk.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(run, 10)
    assert (calls.made, calls.written) == ([0, 1, 2, 3], [1])
