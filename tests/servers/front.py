"""A real HTTP server in a thread that records what it is asked, fails on demand, and passes the rest on.

It sees what the upstream of a backend would see: the request byte by byte, and whether the client went away.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx2
import uvicorn
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message as AsgiMessage
from starlette.types import Receive, Scope, Send

from tests.servers.at_once import AtOnce

Handler = Callable[[Request], Awaitable[Response]]

_NOT_FORWARDED = {"host", "content-length", "connection", "accept-encoding", "transfer-encoding"}


@dataclass(eq=False, slots=True)
class Seen:
    """One request. Times are `time.perf_counter()`, so they compare with the test's own.

    closed: set when the client went away before its answer had ended; closed_at: when that was noticed.
    answered: set when the answer was sent to its end.
    port: the client's, one a connection.
    """

    method: str
    path: str
    query: str
    headers: dict[str, str]
    received_at: float
    port: int
    body: bytes = b""
    closed: threading.Event = field(default_factory=threading.Event)
    closed_at: float | None = None
    answered: threading.Event = field(default_factory=threading.Event)
    started: threading.Event = field(default_factory=threading.Event)
    """Set when the first byte of the answer's body was sent."""

    @property
    def json(self) -> Any:
        """The body, decoded. Raises json.JSONDecodeError if it is not JSON."""
        return json.loads(self.body)

    def ended(self) -> None:
        """Notes that the client went away."""
        if not self.closed.is_set():
            self.closed_at = time.perf_counter()
            self.closed.set()


class Front:
    """The server. A context manager; `url` is known once it is entered.

    upstream: the base URL that requests without a route or a failure of their own are passed on to,
        streaming.
    delay: seconds to wait before each piece of a forwarded answer, so that it lasts as a real model's does.
    """

    def __init__(self, upstream: str | None = None, *, delay: float = 0.0) -> None:
        self.upstream = upstream
        self.delay = delay
        self.requests: list[Seen] = []
        self._arrival = threading.Condition()
        self._routes: dict[tuple[str, str], Handler] = {}
        self._failures: list[Response] = []
        self._socket = socket.socket(proto=socket.IPPROTO_TCP)  # as in `tests/web/pages.py`
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = AtOnce(
            uvicorn.Config(
                self._app,
                log_config=None,
                log_level="error",
                lifespan="off",
                interface="asgi3",
                # On a busy machine a client may take up a connection just as it is closed for being idle.
                timeout_keep_alive=600,
            )
        )
        self._thread = threading.Thread(target=self._run, name="front", daemon=True)

    # -- what a test says

    def on(self, method: str, path: str, handler: Handler) -> Front:
        """Answers this method and path itself, without its query; where it ends in `/*`, all paths below."""
        self._routes[method.upper(), path] = handler
        return self

    def fail(
        self,
        status: int,
        body: Mapping[str, Any] | str | bytes = b"",
        headers: Mapping[str, str] | None = None,
        times: int = 1,
    ) -> Front:
        """Answers the next calls so, whatever they are. A mapping is sent as JSON."""
        if isinstance(body, str | bytes):
            content, media_type = body, "text/plain"
        else:
            content, media_type = json.dumps(body), "application/json"
        for _ in range(times):
            self._failures.append(Response(content, status, dict(headers or {}), media_type))
        return self

    def hang(self) -> Front:
        """Takes the next call and never answers it."""
        self._failures.append(_Hanging())
        return self

    def stream(
        self, path: str, pieces: Sequence[str | bytes], *, end: Literal["clean", "drop", "hang"] = "clean"
    ) -> Front:
        """Answers POSTs to this path with an event stream of these pieces, each sent on its own.

        end: the body ends as it should, the connection is dropped in the middle of it, or nothing more comes.
        """

        async def body() -> AsyncIterator[str | bytes]:
            for piece in pieces:
                yield piece
                await asyncio.sleep(0)
            if end == "drop":
                raise drop()
            if end == "hang":
                await asyncio.Event().wait()

        async def handler(_: Request) -> Response:
            return StreamingResponse(body(), media_type="text/event-stream")

        return self.on("POST", path, handler)

    def forget(self) -> None:
        """Drops what was recorded, and every route and failure."""
        self.requests.clear()
        self._routes.clear()
        self._failures.clear()

    @property
    def last(self) -> Seen:
        """The latest request."""
        return self.requests[-1]

    async def wait_for(self, count: int, timeout: float = 10.0) -> list[Seen]:
        """Waits until so many requests have arrived, without blocking the event loop. Raises TimeoutError."""

        def wait() -> bool:
            with self._arrival:
                return self._arrival.wait_for(lambda: len(self.requests) >= count, timeout)

        if not await asyncio.to_thread(wait):
            raise TimeoutError(f"{len(self.requests)} of {count} requests arrived within {timeout} s")
        return self.requests

    # -- the server

    def __enter__(self) -> Front:
        self._thread.start()
        if not self._server.ready.wait(10):
            raise RuntimeError("the front did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.leave()
        self._thread.join(60)  # on a busy machine; a socket that is closed before would be missed by it
        self._socket.close()

    def _run(self) -> None:
        async def serve() -> None:
            # No connection is used twice: llama.cpp closes one after so many requests, or for being idle, and
            # a request that was on its way then would fail here as if the backend had broken it.
            once = httpx2.Limits(max_keepalive_connections=0)
            async with httpx2.AsyncClient(
                timeout=None, trust_env=False, verify=False, limits=once
            ) as self._client:
                await self._server.serve(sockets=[self._socket])

        asyncio.run(serve())

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        seen = Seen(
            scope["method"],
            scope["path"],
            scope["query_string"].decode("latin-1"),
            {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]},
            time.perf_counter(),
            scope["client"][1],
        )
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                seen.ended()
                break
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        seen.body = bytes(body)
        with self._arrival:
            self.requests.append(seen)
            self._arrival.notify_all()

        replay: AsgiMessage | None = {"type": "http.request", "body": seen.body, "more_body": False}

        async def replayed() -> AsgiMessage:
            nonlocal replay
            if replay is not None:
                message, replay = replay, None
                return message
            return await receive()

        async def watched(message: AsgiMessage) -> None:
            await send(message)
            if message["type"] == "http.response.body":
                if message.get("body"):
                    seen.started.set()
                if not message.get("more_body"):
                    seen.answered.set()

        request = Request(scope, replayed)
        answer = asyncio.create_task(self._answer(request, seen, scope, replayed, watched))
        gone = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done() and not seen.answered.is_set():
                seen.ended()
            if not answer.done():
                answer.cancel()
            with contextlib.suppress(asyncio.CancelledError, _Dropped):
                await answer
        finally:
            gone.cancel()

    def _handler(self, seen: Seen) -> Handler | None:
        at = seen.path
        found = self._routes.get((seen.method, at))
        while found is None and "/" in at:
            at = at.rpartition("/")[0]
            found = self._routes.get((seen.method, f"{at}/*"))
        return found

    async def _answer(self, request: Request, seen: Seen, scope: Scope, receive: Receive, send: Send) -> None:
        if self._failures:
            response: Response = self._failures.pop(0)
        elif handler := self._handler(seen):
            response = await handler(request)
        elif self.upstream is not None:
            await self._forward(seen, send)
            return
        else:
            response = Response(f"nothing at {seen.method} {seen.path}", 404)
        await response(scope, _never, send)

    async def _forward(self, seen: Seen, send: Send) -> None:
        url = f"{self.upstream}{seen.path}" + (f"?{seen.query}" if seen.query else "")
        headers = {name: value for name, value in seen.headers.items() if name not in _NOT_FORWARDED}
        async with self._client.stream(seen.method, url, headers=headers, content=seen.body) as reply:
            kept = [
                (name.lower().encode(), value.encode())
                for name, value in reply.headers.items()
                if name.lower() not in _NOT_FORWARDED | {"content-encoding", "keep-alive"}
            ]
            await send({"type": "http.response.start", "status": reply.status_code, "headers": kept})
            async for piece in reply.aiter_raw():
                if self.delay:
                    await asyncio.sleep(self.delay)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


class _Hanging(Response):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()


class _Dropped(Exception):
    """A handler raises it to drop the connection in the middle of its answer."""


def drop() -> Exception:
    """What a handler raises to break off the connection where it stands, as a crashed server would."""
    return _Dropped()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _never() -> AsgiMessage:
    await asyncio.Event().wait()
    raise AssertionError
