"""What comes a little apart goes on at once."""

from __future__ import annotations

import asyncio

import pytest

from chatlab.compare.batch.bursts import Bursts


async def test_those_that_come_one_after_the_other_wait_for_as_many_as_are_worth_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("chatlab.compare.batch.bursts._TOGETHER", 600)
    bursts, went = Bursts(3), []

    async def one(number: int) -> None:
        await bursts.next()
        went.append(number)

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        for number in range(6):
            tasks.create_task(one(number))
            for _ in range(5):
                await asyncio.sleep(0)
            assert len(went) == (number + 1) // 3 * 3
    assert sorted(went) == list(range(6))


async def test_one_that_no_other_follows_goes_on_all_the_same_and_so_does_the_next() -> None:
    bursts = Bursts(16)
    async with asyncio.timeout(10):
        await bursts.next()
        await bursts.next()


async def test_the_time_of_one_burst_does_not_begin_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    due = []
    monkeypatch.setattr(
        asyncio.get_running_loop(), "call_later", lambda _, call, *args: due.append(lambda: call(*args))
    )
    bursts = Bursts(2)
    await asyncio.gather(bursts.next(), bursts.next())
    alone = asyncio.create_task(bursts.next())
    await asyncio.sleep(0)
    due[0]()
    await asyncio.sleep(0)
    assert not alone.done()
    due[1]()
    await alone


async def test_where_one_is_enough_none_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatlab.compare.batch.bursts._TOGETHER", 600)
    async with asyncio.timeout(10):
        await Bursts(1).next()
