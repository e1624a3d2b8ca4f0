"""A page that was closed is forgotten, and again after each event that comes only then."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import gradio as gr
import httpx2
import pytest

from benchmarks.page_driver import PageDriver
from chatlab.web.chat.gradio_patches import closed_pages, queue
from chatlab.web.chat.gradio_patches.closed_pages import ClosedPages
from chatlab.web.chat.gradio_patches.sessions import LeanStateHolder
from chatlab.web.chat.respond import Chat
from chatlab.web.shared.tabs import BODY
from tests.web.pages import Served


class Forgetting:
    """Notes what is to be forgotten, of which some still runs when first asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.running = 1
        self.forgot = asyncio.Event()

    async def __call__(self, session_hash: str, request: Any) -> bool:
        self.asked.append(session_hash)
        self.running -= 1
        if self.running < 0:
            self.forgot.set()
        return self.running < 0


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closed_pages, "LATER", 0.0)


async def test_what_comes_after_a_page_was_closed_is_forgotten_once_nothing_runs() -> None:
    forgetting = Forgetting()
    pages, request = ClosedPages(forgetting), object()
    pages.opened("page")
    pages.ended("page", request)  # type: ignore[arg-type]
    pages.closed("page")
    for _ in range(3):
        pages.ended("page", request)  # type: ignore[arg-type]
    await asyncio.wait_for(forgetting.forgot.wait(), 10)
    assert forgetting.asked == ["page", "page"]
    forgetting.forgot.clear()
    pages.ended("page", request)  # type: ignore[arg-type]
    await asyncio.wait_for(forgetting.forgot.wait(), 10)


async def test_a_page_that_is_open_or_came_back_or_was_never_seen_is_not_forgotten() -> None:
    forgetting = Forgetting()
    pages, request = ClosedPages(forgetting), object()
    for _ in range(2):
        pages.opened("reconnected")
    pages.closed("reconnected")
    pages.opened("back")
    pages.closed("back")
    for page in ("reconnected", "back", "a client without a connection"):
        pages.ended(page, request)  # type: ignore[arg-type]
    pages.opened("back")
    pages.opened("last")
    pages.closed("last")
    pages.ended("last", request)  # type: ignore[arg-type]
    await asyncio.wait_for(forgetting.forgot.wait(), 10)
    assert set(forgetting.asked) == {"last"}


async def test_an_event_that_comes_after_a_page_was_closed_leaves_nothing_of_it(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    forgotten = threading.Semaphore(0)
    left: list[int] = []
    close = LeanStateHolder.close

    def noted(holder: LeanStateHolder, session_hash: str, **how: bool) -> None:
        close(holder, session_hash, **how)
        left.append(len(holder.session_data))
        forgotten.release()

    monkeypatch.setattr(LeanStateHolder, "close", noted)
    served = serve("backends: {echo: {kind: echo}}\nstorage: none")
    async with httpx2.AsyncClient(timeout=60) as client:
        page = await PageDriver.of(served.url, client)
        async with page.present(client, "mine"):
            assert (await page.ask(client, "mine", "go", [])).shown
        assert await asyncio.to_thread(forgotten.acquire, timeout=20)
        await page.load(client, "mine")
        assert await asyncio.to_thread(forgotten.acquire, timeout=20)
    assert left == [0, 0]


async def test_a_call_of_no_page_leaves_nothing_once_its_answer_was_read_or_many_others_were_not(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "_UNREAD", 1)
    left: asyncio.Queue[tuple[int, ...]] = asyncio.Queue()
    loop, close = asyncio.get_running_loop(), LeanStateHolder.close
    bodies: list[object] = []

    async def ended(chat: Chat, request: gr.Request) -> None:
        bodies.append(request.request.scope.get(BODY))

    monkeypatch.setattr(Chat, "closed", ended)

    def noted(holder: LeanStateHolder, session_hash: str, **how: bool) -> None:
        close(holder, session_hash, **how)
        pending = (holder.blocks._queue.pending_event_ids_session, holder.session_data)
        loop.call_soon_threadsafe(left.put_nowait, tuple(map(len, pending)))

    monkeypatch.setattr(LeanStateHolder, "close", noted)
    served = serve("backends: {echo: {kind: echo}}\nstorage: none")
    async with httpx2.AsyncClient(base_url=served.url, timeout=60) as client:

        async def call() -> str:
            body = {"message": {"text": "go", "files": []}}
            asked = await client.post("/gradio_api/call/v2/chat", json=body)
            return f"/gradio_api/call/v2/chat/{asked.raise_for_status().json()['event_id']}"

        for _ in range(2):
            assert (await client.get(await call())).is_success
            assert await asyncio.wait_for(left.get(), 20) == (1, 0)
        await call()  # which nobody reads
        for _ in range(2):
            assert (await client.get(await call())).is_success
        assert [await asyncio.wait_for(left.get(), 20) for _ in range(3)][-1] == (1, 0)
    assert bodies == [None] * 5  # what was sent, megabytes each, is not held for an answer that nobody reads
