"""An OpenAI-compatible upstream in the test's own event loop, whose lanes wait where the test says.

A lane is told apart by the model it asks for. All times are `time.perf_counter()`, chatlab's own clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from time import perf_counter
from types import TracebackType
from typing import Literal, Self

from chatlab.config.models import BackendConfig
from chatlab.config.registry import Backends, backend_class

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
_REFUSAL = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@dataclass(eq=False)
class Lane:
    """What one model answers, and what came of its last request.

    gates: before the piece of that number, an event to wait for, or seconds. end: "linger" keeps the body
    open for as long after its end. left: set when the client went away before the answer had ended.
    """

    pieces: Sequence[str] = ("one ", "two ", "three")
    gates: Mapping[int, asyncio.Event | float] = field(default_factory=dict)
    end: Literal["whole", "refuse", "break", "linger"] = "whole"
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    received: float = 0.0
    written: dict[int, float] = field(default_factory=dict)
    done: float = 0.0


class GatedUpstream:
    """The server, as an async context manager. `open` has the models that are being answered."""

    def __init__(self, lanes: Mapping[str, Lane]) -> None:
        self.lanes = lanes
        self.open: set[str] = set()
        self._connections: set[asyncio.Task[object]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        await self.closed()

    def backends(self) -> Backends:
        """One backend a lane, of its name."""
        options = backend_class("openai").Options
        return Backends(
            {
                name: BackendConfig(
                    kind="openai",
                    retries=0,
                    options=options.model_validate({"model": name, "base_url": self.url}),
                )
                for name in self.lanes
            }
        )

    async def closed(self) -> None:
        """Waits until every connection is closed. Raises TimeoutError."""
        async with asyncio.timeout(10):
            while self._connections:
                await asyncio.wait(self._connections)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:] if line)
            name = json.loads(await reader.readexactly(int(lines[b"content-length"])))["model"]
            lane = self.lanes[name]
            lane.received = perf_counter()
            lane.left.clear()
            lane.asked.set()
            self.open.add(name)
            gone = asyncio.create_task(reader.read())  # nothing more is sent: it returns when the client left
            answer = asyncio.create_task(self._answer(lane, writer))
            await asyncio.wait((gone, answer), return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                lane.left.set()
            for one in (answer, gone):
                one.cancel()
                with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                    await one
            self.open.discard(name)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, lane: Lane, writer: asyncio.StreamWriter) -> None:
        if lane.end == "refuse":
            writer.write(_REFUSAL)
            return
        writer.write(_HEAD)
        for number, piece in enumerate(lane.pieces):
            gate = lane.gates.get(number)
            if isinstance(gate, asyncio.Event):
                await gate.wait()
            elif gate is not None:
                await asyncio.sleep(gate)  # an upstream takes its time; the test does not wait for it
            lane.written[number] = perf_counter()
            writer.write(_content(piece))
            await writer.drain()
        if lane.end == "break":
            writer.transport.abort()
            return
        lane.done = perf_counter()
        usage = {"prompt_tokens": 1, "completion_tokens": len(lane.pieces), "total_tokens": 1}
        writer.write(
            _data({}, "stop") + b'data: {"choices": [], "usage": %b}\n\n' % json.dumps(usage).encode()
        )
        writer.write(b"data: [DONE]\n\n")
        await writer.drain()
        if lane.end == "linger":
            await asyncio.Event().wait()


@cache
def _content(piece: str) -> bytes:
    return _data({"content": piece})


def _data(delta: Mapping[str, str], finish: str | None = None) -> bytes:
    return b"data: %b\n\n" % json.dumps({"choices": [{"delta": delta, "finish_reason": finish}]}).encode()
