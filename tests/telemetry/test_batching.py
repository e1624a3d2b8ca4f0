"""Work is done some pieces at a time, and soon."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import pytest

from chatlab.telemetry.batching import Batches

here = ContextVar("here", default="nowhere")


async def test_a_piece_alone_is_done_soon() -> None:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[int] = loop.create_future()
    Batches(lambda piece: loop.call_soon_threadsafe(done.set_result, piece)).add(1)
    assert not done.done()
    assert await asyncio.wait_for(done, 30) == 1


async def test_many_are_done_at_once_and_in_their_order() -> None:
    done: list[int] = []
    batches = Batches(done.append)
    for piece in range(130):
        batches.add(piece)
    assert len(done) >= 100 and done == list(range(len(done)))
    batches.do()
    assert done == list(range(130))


async def test_what_waits_is_done_when_asked_for_from_any_thread() -> None:
    done: list[int] = []
    batches = Batches(done.append)
    batches.add(1)
    await asyncio.to_thread(batches.do)
    assert done == [1]


def test_without_a_thread_more_it_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: threading.Timer) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Timer, "start", refused)
    done: list[int] = []
    Batches(done.append).add(1)
    assert done == [1]


def test_a_loop_that_ended_leaves_nothing_undone() -> None:
    done: list[int] = []
    last = threading.Event()

    def work(piece: int) -> None:
        done.append(piece)
        last.set()

    batches = Batches(work)

    async def add(piece: int) -> None:
        batches.add(piece)

    for piece in (1, 2):
        last.clear()
        asyncio.run(add(piece))
        assert last.wait(30) and done[-1] == piece
    assert done == [1, 2]


async def test_it_is_done_in_nobodys_context() -> None:
    seen: list[str] = []
    batches = Batches(lambda _: seen.append(here.get()))
    here.set("in a run")
    for piece in range(100):
        batches.add(piece)
    assert seen == ["nowhere"] * 100
