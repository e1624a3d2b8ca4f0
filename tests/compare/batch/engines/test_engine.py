"""Calls that nobody knows the end of, since whoever made them is gone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from chatlab.compare.batch.engines.engine import Engine, Lost, Meter, Ran, run_here
from chatlab.config.registry import Entry
from chatlab.messages import Message
from tests.compare.batch.test_batch import Rig, prompts

PRICED = """
backends:
  a: {kind: echo, reply: one two, prices: {input: 0, output: 1000000}, parameters: {max_tokens: 4}}  # 4
"""


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path, PRICED)


def losing(times: int, *, asked: list[str], last: str) -> Engine:
    """Return an engine that loses the calls of one prompt so many times."""

    async def run(
        entry: Entry,
        messages: tuple[Message, ...],
        parameters: Mapping[str, Any],
        system: str | None,
        meter: Meter,
    ) -> Ran:
        asked.append(messages[-1].text)
        if messages[-1].text == last and asked.count(last) <= times:
            raise Lost("the worker is gone")
        return await run_here(entry, messages, parameters, system, meter)

    return run


async def test_a_call_that_was_lost_is_made_again_and_counts_with_the_most_it_may_have_cost(rig: Rig) -> None:
    asked: list[str] = []
    plan = rig.plan(["a"], prompts(3))
    assert await rig.run(plan, engine=losing(1, asked=asked, last="prompt 1"))
    assert sorted(asked) == ["prompt 0", "prompt 1", "prompt 1", "prompt 2"]
    assert [result.turn.status for result in rig.results] == ["finished"] * 3
    assert (rig.folder / "ledger.jsonl").read_text().count('"aside"') == 4
    assert rig.spent() == 4 + sum(result.turn.cost or 0 for result in rig.results)


async def test_a_call_that_is_lost_again_and_again_has_failed(rig: Rig) -> None:
    asked: list[str] = []
    plan = rig.plan(["a"], prompts(2))
    assert await rig.run(plan, engine=losing(9, asked=asked, last="prompt 1"))
    assert asked.count("prompt 1") == 3
    (failed,) = (result for result in rig.results if result.turn.status == "failed")
    assert (failed.item, failed.turn.error) == (plan.items[1].id, "the worker is gone")


async def test_a_call_that_was_lost_is_made_again_only_where_the_budget_has_room(rig: Rig) -> None:
    asked: list[str] = []
    plan = rig.plan(["a"], prompts(1))
    done = await rig.run(plan, engine=losing(1, asked=asked, last="prompt 0"), budget=6.0)
    assert not done and asked == ["prompt 0"]
    assert not rig.results and rig.spent() == 4
