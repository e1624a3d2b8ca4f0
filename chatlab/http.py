"""The HTTP transport of backends: an httpx2 transport that says when a call has its connection.

Imported only by backends, inside `__init__`: it brings httpx2.
"""

from __future__ import annotations

import ssl
from functools import cache
from typing import Any

import httpx2

from chatlab.backend import current_call

# httpcore's trace points (https://www.encode.io/httpcore/extensions/#trace). Sending the headers is the
# first thing that happens on a connection, new or reused, so it is the moment at which the call has one.
_CONNECTED = ("http11.send_request_headers.started", "http2.send_request_headers.started")


async def _trace(name: str, info: dict[str, Any]) -> None:
    if name in _CONNECTED:
        ctx = current_call.get()
        if ctx is not None:
            ctx.mark("connected")


class MarkingTransport(httpx2.AsyncHTTPTransport):
    """Marks `connected` on the current call when its request starts to be written to a connection."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.extensions = {**request.extensions, "trace": _trace}
        return await super().handle_async_request(request)


def async_client(**kwargs: Any) -> httpx2.AsyncClient:
    """A client with the marking transport and room for many streams at once.

    Timeouts are left to `run_turn`, which holds all four of them for every backend alike; only the connect
    timeout has to be the client's: pass `timeout=httpx2.Timeout(None, connect=ctx.connect_timeout)` a call.
    """
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=100)
    kwargs.setdefault("timeout", httpx2.Timeout(None, connect=10.0))
    transport = MarkingTransport(verify=_certificates(), limits=limits)
    return httpx2.AsyncClient(transport=transport, **kwargs)


@cache
def _certificates() -> ssl.SSLContext:
    # Reading the authorities takes tens of milliseconds: once, not once a backend.
    return httpx2.create_ssl_context()
