"""The connections of backends through a proxy, which httpcore makes.

What is replaced inside of httpcore and of a client stands in `replace_network` alone;
`tests/upstream/test_network.py` says what a release of them changed.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import anyio
import httpcore2
import httpx2
from httpcore2._backends.anyio import AnyIOBackend, AnyIOStream

from chatlab.backend import current_call
from chatlab.http_transport import AiohttpTransport


class _Stream(AnyIOStream):
    """A connection whose reads without a timeout cost what a read costs, and are few under load. The head of
    a request goes out with what follows it: one packet, and one turn of the event loop less.

    The library sets up a timeout for every read even if there is none, which is a third of what a streamed
    token costs a client (`benchmarks/streaming.py`). Most of the rest is the read itself, so that tokens that
    are read together cost less each.
    """

    _head = b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        if not self._head and b" HTTP/1.1\r\n" in buffer and buffer.endswith(b"\r\n\r\n"):
            self._head = buffer  # the library goes on with the body, or with b"" if there is none
            return
        head, self._head = self._head, b""
        await super().write(head + buffer, timeout)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        if timeout is not None:
            return await super().read(max_bytes, timeout)
        ctx = current_call.get()
        if ctx is not None and (rest := ctx.rest()):
            await asyncio.sleep(rest)
        try:
            piece = await self._stream.receive(max_bytes)
            if ctx is not None:
                ctx.arrived()
            return piece
        except anyio.EndOfStream:
            return b""
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as exc:
            raise httpcore2.ReadError(str(exc)) from exc

    async def start_tls(self, *args: Any, **kwargs: Any) -> _Stream:
        return _Stream((await super().start_tls(*args, **kwargs))._stream)  # type: ignore[attr-defined]


class _Network(AnyIOBackend):
    async def connect_tcp(self, *args: Any, **kwargs: Any) -> _Stream:
        return _Stream((await super().connect_tcp(*args, **kwargs))._stream)  # type: ignore[attr-defined]


def replace_network(client: httpx2.AsyncClient, context: ssl.SSLContext) -> AiohttpTransport | None:
    """Have a client's connections made by `AiohttpTransport`, those through a proxy by `_Network`. Return
    what sends all its requests; None where some may go through a proxy.

    There is no public way to give a client its own transport and leave it the environment's proxies, nor a
    pool its backend.
    """
    own = None
    if isinstance(client._transport, httpx2.AsyncHTTPTransport):
        own = client._transport = AiohttpTransport(context)
    for transport in client._mounts.values():
        if isinstance(transport, httpx2.AsyncHTTPTransport):
            transport._pool._network_backend = _Network()
    return None if client._mounts else own
