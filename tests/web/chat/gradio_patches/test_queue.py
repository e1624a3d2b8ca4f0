"""The queue of answers: woken by what comes, and without work for threads."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio.to_thread
import gradio as gr
import httpx2
import pytest
from gradio.queueing import Queue

from benchmarks.page_driver import PageDriver
from chatlab.web.chat.gradio_patches import PatchedBlocks, patch_process
from tests.web.pages import Served


def queued() -> Any:
    """The queue of a page that is not served."""
    patch_process()
    with PatchedBlocks() as page:
        box = gr.Textbox()
        box.submit(lambda text: text, box, box)
    page.queue()
    return page._queue


async def test_a_queue_that_has_nothing_to_do_does_nothing() -> None:
    queue = queued()
    looked = 0

    class Counted(type(queue)):  # type: ignore[misc]
        def __len__(self) -> int:
            nonlocal looked
            looked += 1
            return int(super().__len__())

    queue.__class__ = Counted
    queue.start()
    await asyncio.wait([asyncio.create_task(asyncio.Event().wait())], timeout=0.2)
    queue.close()
    assert 0 < looked < 3


async def test_of_a_crowd_a_few_begin_in_each_pass_of_the_event_loop_in_their_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[int] = []

    async def process_events(queue: Queue, number: int) -> None:
        begun.append(number)

    monkeypatch.setattr(Queue, "process_events", process_events)
    queue = queued()
    crowd = [asyncio.create_task(queue.process_events(number)) for number in range(95)]
    while len(begun) < len(crowd):
        before = len(begun)
        await asyncio.sleep(0)
        assert len(begun) - before <= 10
    assert begun == list(range(95))
    await asyncio.wait(crowd)


async def test_answers_begin_when_they_come_and_when_one_before_them_has_ended(
    serve: Callable[[str], Served],
) -> None:
    served = serve("backends: {echo: {kind: echo}}\nserver: {concurrency: 1}")
    async with httpx2.AsyncClient(timeout=60) as client:
        page = await PageDriver.of(served.url, client)
        asked = (page.ask(client, f"tab{n}", f"say {n}", []) for n in range(8))
        answers = [str(one.shown) for one in await asyncio.gather(*asked)]
    assert all(f"say {n}" in answer for n, answer in enumerate(answers))


async def test_of_many_who_ask_at_once_each_is_told_of_its_own_place_and_not_of_every_begin(
    serve: Callable[[str], Served],
) -> None:
    served = serve("backends: {echo: {kind: echo}}\nlimits: {running_turns: {visitor: null, address: null}}")
    places: Counter[str] = Counter()

    def told(tab: str) -> Callable[[dict[str, Any]], None]:
        return lambda message: places.update([tab] if message["msg"] == "estimation" else [])

    async with httpx2.AsyncClient(timeout=60) as client:
        page = await PageDriver.of(served.url, client)
        tabs = [f"tab{n}" for n in range(20)]
        await asyncio.gather(*(page.ask(client, tab, "hello", [], on_message=told(tab)) for tab in tabs))
    assert set(places) == set(tabs) and sum(places.values()) < 3 * len(tabs)


async def test_an_answer_takes_no_thread_of_gradios(
    serve: Callable[[str], Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve("backends: {echo: {kind: echo}}")
    in_threads = []
    run = anyio.to_thread.run_sync

    async def noted(function: Any, *args: Any, **options: Any) -> Any:
        in_threads.append(getattr(function, "__name__", function))
        return await run(function, *args, **options)

    async with httpx2.AsyncClient(timeout=60) as client:
        page = await PageDriver.of(served.url, client)
        monkeypatch.setattr(anyio.to_thread, "run_sync", noted)
        await page.ask(client, "tab", "hello", [])
    assert in_threads == []
