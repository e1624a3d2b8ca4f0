"""Calls are started one by one: a long run is not drawn up ahead."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

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
