"""The pages that were closed, of which some events come only after that: nothing of them stays behind."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import gradio as gr

_REMEMBERED = 10_000  # pages, those first forgotten that were closed first
LATER = 1.0
"""Seconds after an event, in which it has ended and its messages are sent."""

Forget: TypeAlias = Callable[[str, gr.Request], Awaitable[bool]]
"""Has everything of a page forgotten, by its hash and a request of it; returns False while something of it
still runs."""


class ClosedPages:
    """Tells an event of an open page from one that comes after its page was closed, and then has the page
    forgotten again. A page is open while it holds a connection; a browser that lost its own makes a new one,
    and a client that never had one is not taken for closed. The event loop owns it."""

    def __init__(self, forget: Forget) -> None:
        self._forget = forget
        self._connections: Counter[str] = Counter()
        self._closed: dict[str, None] = {}
        self._forgetting: dict[str, asyncio.Task[None]] = {}

    def opened(self, session_hash: str) -> None:
        """A page made a connection that it holds as long as it is open."""
        self._connections[session_hash] += 1
        self._closed.pop(session_hash, None)

    def closed(self, session_hash: str) -> None:
        """A page lost such a connection."""
        self._connections[session_hash] -= 1
        if self._connections[session_hash] > 0:
            return
        del self._connections[session_hash]
        self._closed[session_hash] = None
        if len(self._closed) > _REMEMBERED:
            self._closed.pop(next(iter(self._closed)))

    def ended(self, session_hash: str, request: gr.Request) -> None:
        """An event has ended: what it left of a closed page is forgotten."""
        if session_hash in self._closed and session_hash not in self._forgetting:
            forgetting = asyncio.create_task(self._forget_soon(session_hash, request), name="closed page")
            self._forgetting[session_hash] = forgetting
            forgetting.add_done_callback(lambda _: self._forgetting.pop(session_hash, None))

    async def _forget_soon(self, session_hash: str, request: gr.Request) -> None:
        while True:
            await asyncio.sleep(LATER)
            if session_hash not in self._closed or await self._forget(session_hash, request):
                return
