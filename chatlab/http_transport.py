"""Requests of httpx2 over aiohttp's connections, where no proxy is set.

httpcore's pool, h11 and anyio, all in Python, cost more than all else that is done for a streamed answer; of
aiohttp the part that every token passes is compiled. Calls through a proxy use them still; `chatlab.http`
says which go where.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from functools import lru_cache
from typing import Any

import aiohttp
import httpx2
from yarl import URL

from chatlab.backend import current_call

log = logging.getLogger(__name__)

# Idle connections are kept for as long as a person takes to write, so that a turn seldom opens TLS anew.
IDLE_SECONDS = 60

_LONGEST_LINE = 100 * 2**10  # bytes of a response's head
# Headers that aiohttp adds where they are missing; httpx2 decides whether there are any.
_ADDED = frozenset({"accept", "accept-encoding", "content-type", "user-agent"})
_NO_NAME = re.compile(r"[^!#$%&'*+\-.^_`|~0-9A-Za-z]")
_NO_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# The first that fits decides; what to say instead of aiohttp's own words, which httpx2's users do not know.
_ERRORS: tuple[tuple[type[BaseException], type[httpx2.TransportError], str | None], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx2.ConnectTimeout, None),
    (TimeoutError, httpx2.ReadTimeout, None),
    (aiohttp.ClientConnectorError, httpx2.ConnectError, None),
    (
        aiohttp.ServerDisconnectedError,
        httpx2.RemoteProtocolError,
        "Server disconnected without sending a response.",
    ),
    (
        aiohttp.ClientPayloadError,
        httpx2.RemoteProtocolError,
        "peer closed connection without sending complete message body",
    ),
    (aiohttp.ClientResponseError, httpx2.RemoteProtocolError, None),
    (aiohttp.NonHttpUrlClientError, httpx2.UnsupportedProtocol, None),
    (aiohttp.ClientError, httpx2.ReadError, None),
    (OSError, httpx2.ReadError, None),
)


class AiohttpTransport(httpx2.AsyncBaseTransport):
    """Sends requests of httpx2 to their servers, over a connection that is kept or a new one.

    context: what TLS connections are checked against. Of a request's timeouts `connect` and `read` hold.
    Closing a response whose body has not ended closes its connection at once.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        context.set_alpn_protocols(["http/1.1"])
        self._context = context
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return a response once its head is there; raises what httpx2's own transport raises."""
        timeouts = request.extensions.get("timeout", {})
        body = await request.aread()
        # How long it is, is known by now.
        headers = [each for each in request.headers.multi_items() if each[0] != "transfer-encoding"]
        url = URL(str(request.url), encoded=True).with_user(None)  # whose name httpx2 sends in a header
        response = await self.send(
            request.method, url, headers, body, connect=timeouts.get("connect"), read=timeouts.get("read")
        )
        return httpx2.Response(response.status, headers=response.raw_headers, stream=AnswerBody(response))

    async def send(
        self,
        method: str,
        url: URL,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        *,
        connect: float | None,
        read: float | None = None,
    ) -> aiohttp.ClientResponse:
        """Return a response once its head is there. connect, read: seconds that each may take; None is no
        limit. Raises what httpx2's own transport raises."""
        names, values = "".join([name for name, _ in headers]), "".join([value for _, value in headers])
        if _NO_NAME.search(names) or _NO_VALUE.search(values):
            raise httpx2.LocalProtocolError("Illegal header")  # not which: it may be a secret
        try:
            response = await self._opened().request(
                method,
                url,
                data=body or None,
                headers=headers,
                allow_redirects=False,
                # To leave headers out takes aiohttp longer than to see that all are there.
                skip_auto_headers=_ADDED.difference([name.lower() for name, _ in headers]) or None,
                timeout=_timeout(connect, read),
            )
        except (aiohttp.ClientError, OSError) as exc:
            raise _httpx2_error(exc) from exc
        if response.status == 101:
            response.close()
            raise httpx2.RemoteProtocolError("the server goes on in another protocol")
        log.debug("the head of a response: %d %r", response.status, response.raw_headers)
        return response

    async def aclose(self) -> None:
        """Close the connections that wait for a request."""
        if self._session is not None:
            await self._session.close()

    def __del__(self) -> None:
        if self._session is not None:
            self._session.detach()  # its connections go without an error in the log, and so does it

    def _opened(self) -> aiohttp.ClientSession:
        """Return the session of this event loop: its connections are of no use to another."""
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop:
            if self._session is not None:
                self._session.detach()
            self._loop = loop
            self._session = aiohttp.ClientSession(
                connector=_Connections(ssl=self._context, limit=0, keepalive_timeout=IDLE_SECONDS),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                max_field_size=_LONGEST_LINE,
                max_line_size=_LONGEST_LINE,
            )
        return self._session


@lru_cache(maxsize=16)
def _timeout(connect: float | None, read: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(connect=connect, sock_read=read)


class _Connections(aiohttp.TCPConnector):  # type: ignore[misc]
    """Connections that go without an error in the log if nobody closes them, as those of httpx2 do: a script
    may throw its lab away. A call is told when it has its connection."""

    async def connect(self, *args: Any, **kwargs: Any) -> Any:
        connection = await super().connect(*args, **kwargs)
        if (ctx := current_call.get()) is not None:
            ctx.mark("connected")
        return connection

    def __del__(self, *_: object) -> None:
        pass


class AnswerBody(httpx2.AsyncByteStream):
    """The body of a response, as it arrives: an iterator, and no generator, which Python has to finish."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    @property
    def ended(self) -> bool:
        """Return whether all of it has arrived and was read."""
        return bool(self._response.content.at_eof())

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        content = self._response.content
        ctx = current_call.get()
        # Of a body that is whole nothing more gathers.
        if ctx is not None and not content.is_eof() and (rest := ctx.rest()):
            await self._rest(rest)
        try:
            piece: bytes = await content.readany()
        except (aiohttp.ClientError, OSError) as exc:
            # It raises at once, and there is no public way to what had arrived before.
            if not isinstance(exc, aiohttp.ClientError) or not (piece := content._read_nowait(-1)):
                raise _httpx2_error(exc) from exc
        if not piece:
            raise StopAsyncIteration
        if ctx is not None:
            ctx.arrived()
        return piece

    async def _rest(self, seconds: float) -> None:
        """Leave what arrives meanwhile to the system, which gathers it for less."""
        connection = self._response.connection
        transport = connection and connection.transport
        if transport is None or transport.is_closing() or not transport.is_reading():
            await asyncio.sleep(seconds)
            return
        transport.pause_reading()
        await asyncio.sleep(seconds)
        if not transport.is_closing():
            transport.resume_reading()

    async def aclose(self) -> None:
        """Give the connection back if the body has ended; otherwise close it, at once."""
        connection = self._response.connection
        if connection is None and self._response.closed:
            return  # it was given back when the body ended
        if connection is not None and connection.transport is not None:
            connection.transport.abort()
        self._response.close()


def _why(error: OSError) -> str:
    """Return why there is no connection, without the address, which may be of an inner network."""
    if error.errno is None or isinstance(error, ssl.SSLError | socket.gaierror):
        return error.strerror or str(error)
    return os.strerror(error.errno)


def _httpx2_error(exc: aiohttp.ClientError | OSError) -> httpx2.TransportError:
    """Return what httpx2's own transport raises."""
    _, kind, said = next(each for each in _ERRORS if isinstance(exc, each[0]))
    if said is None:
        if isinstance(exc, aiohttp.ClientConnectorError):
            said = _why(exc.os_error)
        elif isinstance(exc, aiohttp.ClientResponseError):  # what follows quotes the response
            said = "not valid HTTP: " + exc.message.partition("\n")[0].rstrip(":")
        else:
            said = str(exc)
    return kind(said)
