"""The HTTP client of backends: one that says when a call has its connection, and when something arrives.

Imported only by backends, inside `__init__`: it brings httpx2. What it replaces inside of httpcore stands in
`_replace_network` alone; `tests/upstream/test_network.py` says what a release of it changed.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import anyio
import httpcore2
import httpx2
from httpcore2._backends.anyio import AnyIOBackend, AnyIOStream

from chatlab.backend import current_call
from chatlab.errors import NotReady
from chatlab.http_transport import IDLE_SECONDS, AiohttpTransport
from chatlab.upstream.network import authorities, certificates, network_problem

# httpcore's trace points (https://www.encode.io/httpcore/extensions/#trace). Sending the headers is the
# first thing that happens on a connection, new or reused, so it is the moment at which the call has one.
_CONNECTED = ("http11.send_request_headers.started", "http2.send_request_headers.started")


async def _trace(name: str, info: dict[str, Any]) -> None:
    if name in _CONNECTED:
        ctx = current_call.get()
        if ctx is not None:
            ctx.mark("connected")


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


async def mark_connection(request: Any) -> None:
    """Have a request of httpx2 or httpx say when it has its connection, and what is sent. A request hook."""
    request.extensions = {**request.extensions, "trace": _trace}
    ctx = current_call.get()
    if ctx is None:
        return
    if ctx.headers:
        request.headers.update(ctx.headers)
    if ctx.sent is not None and request.method == "POST":
        ctx.sent(await request.aread())


def async_client(
    ca_bundle: Path | None = None, *, like: type[httpx2.AsyncClient] = httpx2.AsyncClient, **kwargs: Any
) -> httpx2.AsyncClient:
    """Return a client that marks connections and has room for many streams at once; proxy variables hold.

    ca_bundle: a file of certificate authorities to trust, in place of those of the environment
    (SSL_CERT_FILE, SSL_CERT_DIR, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE) and of the system. Raises NotReady with
    a sentence for a proxy or authorities that cannot be used. like: the class to make.

    Timeouts are left to `run_turn`, which holds all four of them for every backend alike; only the connect
    timeout has to be the client's: pass `timeout=httpx2.Timeout(None, connect=ctx.connect_timeout)` a call.
    """
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=IDLE_SECONDS)
    kwargs.setdefault("timeout", httpx2.Timeout(None, connect=10.0))
    hooks = dict(kwargs.pop("event_hooks", {}))
    hooks["request"] = [mark_connection, *hooks.get("request", [])]
    problem = network_problem(ca_bundle)
    if problem is not None:
        raise NotReady(problem)
    context = ssl_context(ca_bundle)
    client = like(verify=context, limits=limits, event_hooks=hooks, **kwargs)
    _replace_network(client, context)
    return client


def ssl_context(ca_bundle: Path | None = None) -> ssl.SSLContext:
    """Return what TLS connections of a backend are checked against. Raises LookupError with a sentence."""
    _, where = authorities(ca_bundle)
    return _context(where, where.stat().st_mtime_ns if where is not None and where.exists() else 0)


@lru_cache(maxsize=16)
def _context(where: Path | None, _changed: int) -> ssl.SSLContext:
    # Reading the authorities takes tens of milliseconds: once, not once a backend.
    return (certificates(where) if where is not None else None) or httpx2.create_ssl_context(trust_env=False)


_direct: WeakKeyDictionary[httpx2.AsyncClient, AiohttpTransport] = WeakKeyDictionary()


def direct(client: httpx2.AsyncClient) -> AiohttpTransport | None:
    """Return what sends all requests of a client of `async_client`; None where some go through a proxy."""
    return _direct.get(client)


def _replace_network(client: httpx2.AsyncClient, context: ssl.SSLContext) -> None:
    """Have a client's connections made by `AiohttpTransport`, those through a proxy by `_Network`.

    There is no public way to give a client its own transport and leave it the environment's proxies, nor a
    pool its backend.
    """
    if isinstance(client._transport, httpx2.AsyncHTTPTransport):
        own = AiohttpTransport(context)
        client._transport = own
        if not client._mounts:
            _direct[client] = own
    for transport in client._mounts.values():
        if isinstance(transport, httpx2.AsyncHTTPTransport):
            transport._pool._network_backend = _Network()
