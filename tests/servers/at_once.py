"""uvicorn that starts and stops at once: its own loops look ten times a second, once for every test."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import uvicorn


class AtOnce(uvicorn.Server):
    """A server for a thread of its own. `ready` is set once it listens; `leave` ends it, from any thread.

    Calls that still run when it ends have `timeout_graceful_shutdown` seconds, 0 unless configured.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals belong to pytest

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._leaving = asyncio.Event()
        self.ready.set()
        await self._leaving.wait()

    def leave(self) -> None:
        self._loop.call_soon_threadsafe(self._leaving.set)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            listening.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if calls := set(self.server_state.tasks):
            _, late = await asyncio.wait(calls, timeout=self.config.timeout_graceful_shutdown or 0)
            for call in late:
                call.cancel()
            if late:
                await asyncio.wait(late)
        for connection in list(self.server_state.connections):
            connection.transport.abort()  # of a call that was cut off, or of a client that stays
        await asyncio.sleep(0)
        await self.lifespan.shutdown()
