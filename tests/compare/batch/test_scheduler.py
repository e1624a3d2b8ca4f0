"""Calls are started one by one: a long run is not drawn up ahead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from chatlab.compare.batch.append_log import AppendLog
from chatlab.compare.batch.budget import Budget
from chatlab.compare.batch.scheduler import ModelCall, Scheduler
from chatlab.config.load import load_config
from chatlab.config.registry import Backends
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
