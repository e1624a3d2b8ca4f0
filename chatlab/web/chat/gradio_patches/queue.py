"""Gradio's queue of events, woken by what comes instead of looking for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import anyio.to_thread
import gradio as gr
import gradio.queueing
from gradio.queueing import Queue
from starlette.requests import Request

from chatlab.web.chat.gradio_patches.closed_pages import Forget
from chatlab.web.shared.tabs import BODY, PAGE

_LONGEST = 0.25  # seconds after which a queue looks though nothing woke it
_UNREAD = 1_000  # calls of no page whose answers may wait to be read; the oldest go first
_AT_ONCE = 10  # events that begin in one pass of the event loop; each takes it for half a millisecond


class LeanQueue(Queue):  # type: ignore[misc]
    """A queue that begins an event when it comes, or when another one has ended. Gradio looks for one 1,000
    times a second, and for progress 100 times: 7 % of a core while nobody does anything. After each event it
    has a thread make statistics of the last 10,000, for a page that is not served. Whenever one begins, it
    tells all others of their places: 5,050 messages for a hundred at once. The event loop owns it."""

    sleep_when_free: _News  # in Gradio, seconds
    begins: _Turnstile

    def wake_by_news(self, forget: Forget) -> None:
        """Begin to work as said. To be called once, before the queue runs."""
        self.sleep_when_free, self.begins = _News(), _Turnstile()
        # Calls of no page by the page that was made for each: their requests, of which bodies are not held.
        self._calls: dict[str, Request] = {}
        self._forget = forget
        self.progress_update_sleep_when_free = 0.25
        self.ANALYTICS_MAX_EVENTS = 1
        self.live_updates = False  # those who wait are told their places once a second, not at every begin

    async def push(self, body: Any, request: Any, username: str | None) -> Any:
        """As Gradio's own, but an event of no page gets the one that the guard made for it: Gradio would take
        the event's id for one, and that says nothing of whose it is."""
        if body.session_hash is None:
            body.session_hash = request.scope[PAGE]
            scope = {name: value for name, value in request.scope.items() if name != BODY}
            self._calls[body.session_hash] = Request(scope)
            if len(self._calls) > _UNREAD:
                await self.forget_call(next(iter(self._calls)))
        try:
            return await super().push(body, request, username)
        finally:
            self.sleep_when_free.tell()

    async def forget_call(self, session_hash: str) -> None:
        """Forget all of a call of no page, unless it still runs; of another page nothing."""
        request = self._calls.pop(session_hash, None)
        if request is None:
            return
        if not await self._forget(session_hash, gr.Request(request, session_hash=session_hash)):
            self._calls[session_hash] = request

    async def process_events(self, *args: Any, **kwargs: Any) -> None:
        """As Gradio's own, but a few of a crowd begin at a time: in between, the others have their turn."""
        await self.begins.pass_through()
        try:
            await super().process_events(*args, **kwargs)
        finally:
            self.sleep_when_free.tell()

    def compute_analytics_summary(self, _: Any) -> Any:
        """Return no statistics."""
        return self.cached_event_analytics_summary


class _News:
    """News, which a queue sleeps until."""

    def __init__(self) -> None:
        self._told = asyncio.Event()

    def tell(self) -> None:
        self._told.set()

    async def come(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST):
                await self._told.wait()
        self._told.clear()


class _Turnstile:
    """Lets a few through in each pass of the event loop, in the order in which they come."""

    def __init__(self) -> None:
        self._left = _AT_ONCE

    async def pass_through(self) -> None:
        while not self._left:  # noqa: ASYNC110 - a pass of the loop is what is waited for
            await asyncio.sleep(0)
        if self._left == _AT_ONCE:
            asyncio.get_running_loop().call_soon(self._next_pass)
        self._left -= 1

    def _next_pass(self) -> None:
        self._left = _AT_ONCE


class _Asyncio:
    """Stands for `asyncio` in `gradio.queueing`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float | _News) -> None:
        await (seconds.come() if isinstance(seconds, _News) else asyncio.sleep(seconds))


async def _run_sync(function: Callable[..., Any], *args: Any) -> Any:
    """Stands for `anyio.to_thread.run_sync` in `gradio.queueing`, which calls nothing but the statistics."""
    if isinstance(getattr(function, "__self__", None), LeanQueue):
        return function(*args)
    return await anyio.to_thread.run_sync(function, *args)


def patch_queueing() -> None:
    """Have Gradio's own queues work as before, and lean ones as they say."""
    gradio.queueing.asyncio = _Asyncio()
    gradio.queueing.run_sync = _run_sync
