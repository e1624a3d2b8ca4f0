"""The HTTP client of backends: one that says when a call has its connection, and when something arrives.

Imported only by backends, inside `__init__`: it brings httpx2. What is replaced inside of httpcore stands in
`chatlab.http_proxies` alone, which is imported only where a proxy is set.
"""

from __future__ import annotations

import ssl
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.request import getproxies
from weakref import WeakKeyDictionary

import httpx2

from chatlab.backend import current_call
from chatlab.errors import NotReady
from chatlab.http_transport import IDLE_SECONDS, AiohttpTransport
from chatlab.upstream.network import authorities, certificates, network_problem

_PROXIED = ("http", "https", "all")  # what httpx2 takes proxies for, of those that the environment names

# httpcore's trace points (https://www.encode.io/httpcore/extensions/#trace). Sending the headers is the
# first thing that happens on a connection, new or reused, so it is the moment at which the call has one.
_CONNECTED = ("http11.send_request_headers.started", "http2.send_request_headers.started")


async def _trace(name: str, info: dict[str, Any]) -> None:
    if name in _CONNECTED:
        ctx = current_call.get()
        if ctx is not None:
            ctx.mark("connected")


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
    if "proxy" in kwargs or not getproxies().keys().isdisjoint(_PROXIED):
        from chatlab.http_proxies import replace_network

        client = like(verify=context, limits=limits, event_hooks=hooks, **kwargs)
        own = replace_network(client, context)
    else:
        own = AiohttpTransport(context)
        client = like(transport=own, limits=limits, event_hooks=hooks, **kwargs)
    if own is not None:
        _direct[client] = own
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
