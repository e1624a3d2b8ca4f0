"""The secret-number suite: every lane knows a number that no other was told, whatever is done to a session.

After each step every lane is asked for its numbers, and what came over the wire to a real upstream, what the
session shows and what the store has are compared with what should be there (`numbers_model`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from chatlab.conversations.saving import Saving
from chatlab.store.sql import open_store
from tests.compare.session.numbers_model import Known, Person
from tests.compare.session.numbers_upstream import NumbersUpstream


@pytest.fixture(scope="module")
def upstream() -> Iterator[NumbersUpstream]:
    with NumbersUpstream() as server:
        yield server


@asynccontextmanager
async def people(upstream: NumbersUpstream, folder: Path, count: int) -> AsyncIterator[list[Person]]:
    """So many people at one server with one database."""
    backends = upstream.backends()
    store = await open_store(f"sqlite:{folder}/numbers.db")
    saving = Saving(store)
    upstream.take()
    found = [Person(upstream, backends, store, saving, f"person{number}") for number in range(count)]
    try:
        yield found
    finally:
        for person in found:
            if hasattr(person, "session"):
                await person.session.aclose()
        await saving.aclose()
        await store.aclose()
        await backends.aclose()


@pytest.mark.parametrize("lanes", [2, 4, 8])
async def test_every_lane_knows_its_own_numbers_and_no_others_after_every_step(
    upstream: NumbersUpstream, tmp_path: Path, lanes: int
) -> None:
    async with people(upstream, tmp_path, 1) as (me,):
        await me.begin(lanes)
        first = me.visible()[0]
        await me.ask()
        await me.check()
        await me.edit(me.visible()[-1], None)
        await me.check()
        await me.edit(me.visible()[-1], me.lanes[0])
        await me.check()
        await me.retry(me.visible()[-1], None)
        await me.check()
        await me.retry(me.visible()[-2], me.lanes[-1])
        await me.check()
        edited = await me.edit(first, me.lanes[0])
        await me.check()
        await me.walk(first)
        assert edited not in me.visible()
        await me.check()
        await me.reopen()
        await me.walk(edited)
        await me.check()
        last = me.visible()[-1]
        await me.retry(last, None)
        for lane in me.lanes:
            await me.walk_alone(lane, last, 0)
        await me.check()
        await me.walk_alone(me.lanes[-1], last, 1)
        await me.check()
        await me.undo()
        await me.undo()
        await me.check()
        await me.remove(me.lanes[0])
        await me.check()
        await me.add(None)
        await me.tell(me.lanes[-1])
        await me.check()
        await me.swap(me.lanes[0], keep=False)
        await me.tell(me.lanes[0])
        await me.check()
        await me.swap(me.lanes[0], keep=True)
        await me.check()
        await me.reopen()
        await me.check()
        await me.rerun(me.lanes[-1])
        await me.check()
        await me.remove(me.lanes[0])
        await me.add(me.lanes[0])
        await me.check()
        await me.share(me.lanes[-1])
        await me.check()
        await me.pick(me.lanes[0])
        await me.ask()
        await me.rerun(me.lanes[0])
        await me.check()
        await me.own()
        for lane in me.lanes:
            await me.tell(lane)
        await me.check()
        await me.reopen()
        await me.undo()
        await me.check()


async def test_two_people_at_once_know_nothing_of_each_other(
    upstream: NumbersUpstream, tmp_path: Path
) -> None:
    async with people(upstream, tmp_path, 2) as (me, you):
        await me.begin(4)
        await you.begin(4)
        for _ in range(3):
            mine, yours = await asyncio.gather(
                me.session.ask("Say it", lanes=None), you.session.ask("Say it", lanes=None)
            )
            await asyncio.gather(me.session.settled(), you.session.settled())
            calls = upstream.take()
            assert len(calls) == 8
            for person, round_id in ((me, mine), (you, yours)):
                person._new_round(round_id, "Say it", True, None)
                upstream.calls = [call for call in calls if call.seed in {lane.seed for lane in person.lanes}]
                await person.answered(round_id, "Say it", person.lanes)
            await me.check()
            await you.check()
        numbers = [set().union(*(person.numbers(lane) for lane in person.lanes)) for person in (me, you)]
        assert len(numbers[0]) == len(numbers[1]) == 4
        assert not numbers[0] & numbers[1]


class Steps(RuleBasedStateMachine):
    """Any steps in any order."""

    upstream: NumbersUpstream
    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.people = people(self.upstream, self.folder, 1)
        self.run = self.runner.run
        (self.me,) = self.run(self.people.__aenter__())

    @initialize(lanes=st.integers(2, 4))
    def begin(self, lanes: int) -> None:
        self.run(self.me.begin(lanes))

    def lane(self, data: st.DataObject) -> Known:
        return self.me.lanes[data.draw(st.integers(0, len(self.me.lanes) - 1), "lane")]

    def round(self, data: st.DataObject, lane: Known | None) -> str:
        rounds = self.me.visible() if lane is None else [exchange.round for exchange in lane.history]
        return rounds[data.draw(st.integers(0, len(rounds) - 1), "round")]

    @property
    def common(self) -> bool:
        return len({str(lane.history) for lane in self.me.lanes}) == 1

    @property
    def may_ask(self) -> bool:
        return self.me.mode == "own" or self.common

    @precondition(lambda self: self.may_ask)
    @rule(data=st.data())
    def tell(self, data: st.DataObject) -> None:
        self.run(self.me.tell(self.lane(data)))

    @precondition(lambda self: self.may_ask)
    @rule()
    def ask(self) -> None:
        self.run(self.me.ask())

    @precondition(lambda self: self.me.visible())
    @rule(data=st.data(), one=st.booleans(), edit=st.booleans())
    def anew(self, data: st.DataObject, one: bool, edit: bool) -> None:
        lane = self.lane(data) if one else None
        if lane is not None and not lane.history:
            return
        round_id = self.round(data, lane)
        self.run(self.me.edit(round_id, lane) if edit else self.me.retry(round_id, lane))

    @precondition(lambda self: self.me.visible())
    @rule()
    def undo(self) -> None:
        self.run(self.me.undo())

    @precondition(lambda self: len(self.me.lanes) > 1)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        self.run(self.me.remove(self.lane(data)))

    @precondition(lambda self: len(self.me.lanes) < 8 and self.may_ask)
    @rule(data=st.data(), like=st.booleans())
    def add(self, data: st.DataObject, like: bool) -> None:
        self.run(self.me.add(self.lane(data) if like else None))

    @precondition(lambda self: self.may_ask)
    @rule(data=st.data(), keep=st.booleans())
    def swap(self, data: st.DataObject, keep: bool) -> None:
        self.run(self.me.swap(self.lane(data), keep))

    @rule(data=st.data())
    def share(self, data: st.DataObject) -> None:
        lane = self.lane(data)
        if lane.history:
            self.run(self.me.share(lane))

    @rule()
    def own(self) -> None:
        self.run(self.me.own())

    @precondition(lambda self: self.me.visible() and self.may_ask)
    @rule(data=st.data())
    def rerun(self, data: st.DataObject) -> None:
        lane = self.lane(data)
        if self.me.mode == "own" and not lane.history:
            return
        self.run(self.me.rerun(lane))

    @rule(data=st.data())
    def walk(self, data: st.DataObject) -> None:
        self.run(self.me.walk(data.draw(st.sampled_from(sorted(self.me.order, key=self.me.order.get)))))

    @rule(data=st.data())
    def walk_alone(self, data: st.DataObject) -> None:
        lane = self.lane(data)
        if lane.given:
            round_id = data.draw(st.sampled_from(list(lane.given)))
            answer = data.draw(st.integers(0, len(lane.given[round_id]) - 1))
            self.run(self.me.walk_alone(lane, round_id, answer))

    @rule()
    def reopen(self) -> None:
        self.run(self.me.reopen())

    @precondition(lambda self: self.me.mode == "own" or any(lane.history for lane in self.me.lanes))
    @rule()
    def check(self) -> None:
        self.run(self.me.check())

    def teardown(self) -> None:
        if hasattr(self.me, "session"):
            self.run(self.me.check())
        self.run(self.people.__aexit__(None, None, None))
        self.runner.close()


def test_no_order_of_steps_leaks_or_mixes_up_anything(upstream: NumbersUpstream, tmp_path: Path) -> None:
    Steps.upstream, Steps.folder = upstream, tmp_path
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        Steps,
        settings=settings(
            max_examples=8, stateful_step_count=10, deadline=None, suppress_health_check=checks
        ),
    )
