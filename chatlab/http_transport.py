"""HTTP/1.1 over connections without a proxy: asyncio's own, read by httptools' parser.

httpcore's pool, h11 and anyio, all in Python, cost more than all else that is done for a streamed answer.
Calls through a proxy use them still; `chatlab.http` says which go where.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, TypeAlias, cast

import httptools
import httpx2

from chatlab.backend import current_call

log = logging.getLogger(__name__)

# Idle connections are kept for as long as a person takes to write, so that a turn seldom opens TLS anew.
IDLE_SECONDS = 60
MOST_IDLE = 100

_Origin: TypeAlias = tuple[str, str, int]  # scheme, host, port
_NEXT_ADDRESS = 0.25  # seconds after which the next address of a host is tried, too: RFC 8305
_LONGEST_HEAD = 100 * 2**10  # bytes
_UNREAD = 256 * 2**10  # bytes that may wait for their reader before the server has to
_NO_NAME = re.compile(rb"[^!#$%&'*+\-.^_`|~0-9A-Za-z]")
_NO_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# What servers of models are known to send although it is not quite HTTP, and every client takes.
_LENIENT = (
    *("lenient_headers", "lenient_transfer_encoding", "lenient_chunked_length"),
    *(
        "lenient_optional_cr_before_lf",
        "lenient_optional_crlf_after_chunk",
        "lenient_spaces_after_chunk_size",
    ),
)
_CUT = "peer closed connection without sending complete message body"
_SILENT = "Server disconnected without sending a response."


class DirectTransport(httpx2.AsyncBaseTransport):
    """Sends requests of httpx2 to their servers, over a connection that is kept or a new one.

    context: what TLS connections are checked against. Of a request's timeouts `connect` and `read` hold.
    Closing a response whose body has not ended closes its connection at once.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        context.set_alpn_protocols(["http/1.1"])
        self._idle: dict[_Origin, deque[_Connection]] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return a response once its head is there; raises what httpx2's own transport raises."""
        sent = _bytes_of(request, await request.aread())
        timeouts = request.extensions.get("timeout", {})
        url = request.url
        origin = (
            url.scheme,
            url.raw_host.decode("ascii"),
            url.port or (443 if url.scheme == "https" else 80),
        )
        connection = self._kept(origin) or await self._connected(origin, timeouts.get("connect"))
        exchange = _Exchange(connection, self._idle.setdefault(origin, deque()), timeouts.get("read"))
        try:
            if trace := request.extensions.get("trace"):
                await trace("http11.send_request_headers.started", {"request": request})
            await connection.send(sent)
            await exchange.head(request.method)
        except BaseException:
            connection.close()
            raise
        log.debug("the head of a response: %d %r", exchange.status, exchange.headers)
        return httpx2.Response(exchange.status, headers=exchange.headers, stream=exchange)

    async def aclose(self) -> None:
        """Close the connections that wait for a request."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def _kept(self, origin: _Origin) -> _Connection | None:
        idle = self._idle.get(origin, ())
        now = asyncio.get_running_loop().time()
        while idle and (idle[0].idle_until < now or len(idle) > MOST_IDLE):
            idle.popleft().close()
        while idle:
            connection = idle.pop()
            if connection.usable:
                return connection
            connection.close()
        return None

    async def _connected(self, origin: _Origin, timeout: float | None) -> _Connection:  # noqa: ASYNC109
        scheme, host, port = origin
        if scheme not in ("http", "https"):
            raise httpx2.UnsupportedProtocol(f"Request URL has an unsupported protocol '{scheme}://'.")
        tls = {"ssl": self._context, "server_hostname": host} if scheme == "https" else {}
        made: tuple[Any, _Connection]
        try:
            async with asyncio.timeout(timeout):
                sock = await _socket(host, port)
                loop = asyncio.get_running_loop()
                made = await loop.create_connection(_Connection, sock=sock, **tls)  # type: ignore[call-overload]
        except TimeoutError as exc:
            raise httpx2.ConnectTimeout(str(exc)) from exc
        except OSError as exc:  # of names, of connecting, of TLS
            raise httpx2.ConnectError(str(exc)) from exc
        return made[1]


class _Connection(asyncio.Protocol):
    """One connection, from which bytes are taken as they come."""

    def __init__(self) -> None:
        self.idle_until = 0.0  # on the event loop's clock
        self._data: list[bytes] = []
        self._size = 0
        self._ended = False
        self._failure: Exception | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass

    def data_received(self, data: bytes) -> None:
        self._data.append(data)
        self._size += len(data)
        if self._size > _UNREAD:
            self._let_come(False)
        self._wake()

    def eof_received(self) -> None:
        self._ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended, self._failure = True, exc
        self._writable.set()
        self._wake()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    @property
    def usable(self) -> bool:
        """Return whether an idle connection is still open, and nothing came that nobody asked for."""
        return not (self._ended or self._data or self._transport.is_closing())

    async def send(self, data: bytes) -> None:
        """Write a request, and wait until most of it has gone."""
        self._transport.write(data)
        if not self._writable.is_set():
            await self._writable.wait()

    async def read(self, timeout: float | None) -> bytes:  # noqa: ASYNC109
        """Return what has arrived, once something has; nothing at the end."""
        ctx = current_call.get()
        if ctx is not None and (rest := ctx.rest()):
            await self._rest(rest)
        if not self._data and not self._ended:
            self._waiting = asyncio.get_running_loop().create_future()
            if timeout is None:
                await self._waiting
            else:
                try:
                    async with asyncio.timeout(timeout):
                        await self._waiting
                except TimeoutError as exc:
                    raise httpx2.ReadTimeout("") from exc
        data, self._data = b"".join(self._data), []
        if self._size > _UNREAD:
            self._let_come(True)
        self._size = 0
        if ctx is not None and data:
            ctx.arrived()
        if not data and self._failure is not None:
            raise httpx2.ReadError(str(self._failure)) from self._failure
        return data

    async def _rest(self, seconds: float) -> None:
        """Leave what arrives meanwhile to the system, which gathers it for less."""
        self._let_come(False)
        await asyncio.sleep(seconds)
        self._let_come(True)

    def _let_come(self, wanted: bool) -> None:
        if not self._transport.is_closing() and self._transport.is_reading() is not wanted:
            (self._transport.resume_reading if wanted else self._transport.pause_reading)()

    def close(self) -> None:
        """Close it now: nobody waits for the other side to agree."""
        self._transport.abort()


class _Exchange(httpx2.AsyncByteStream):
    """A response on its connection: httptools calls the methods `on_...` for what it finds."""

    def __init__(self, connection: _Connection, idle: deque[_Connection], timeout: float | None) -> None:
        """idle: where the connection goes once the response has ended."""
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._connection = connection
        self._idle = idle
        self._timeout = timeout
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(**dict.fromkeys(_LENIENT, True))
        self._body: list[bytes] = []
        self._has_head = self._ended = self._closed = False
        self._until_closed = True  # whether the body has no other end than the connection's

    def on_message_begin(self) -> None:
        if self._ended:
            raise httptools.HttpParserError("something came after the end")

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))
        self._until_closed = self._until_closed and name.lower() not in (
            b"content-length",
            b"transfer-encoding",
        )

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._has_head = self.status >= 200 or self.status == 101  # others only say that it goes on

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        if self._has_head:
            self._ended = True
            self._keep = self._parser.should_keep_alive()
        else:
            self.headers.clear()
            self._until_closed = True

    async def head(self, method: str) -> None:
        """Wait for status and headers."""
        size = 0
        while not self._has_head:
            size += await self._read()
            if size > _LONGEST_HEAD and not self._has_head:
                raise httpx2.RemoteProtocolError("the head of the response does not end")
        if method == "HEAD":
            self._ended, self._keep = True, False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            if self._body:
                body, self._body = b"".join(self._body), []
                yield body
            if self._ended:
                return
            await self._read()

    async def _read(self) -> int:
        """Take the next bytes in, and return how many there were."""
        data = await self._connection.read(self._timeout)
        if not data:
            if not self._has_head:
                raise httpx2.RemoteProtocolError(_SILENT)
            if not self._until_closed:
                raise httpx2.RemoteProtocolError(_CUT)
            self._ended, self._keep = True, False
            return 0
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as exc:
            raise httpx2.RemoteProtocolError("the server goes on in another protocol") from exc
        except httptools.HttpParserError as exc:
            if not self._ended:
                raise httpx2.RemoteProtocolError(str(exc)) from exc
            self._keep = False
        return len(data)

    async def aclose(self) -> None:
        """Give the connection back if the response has ended; otherwise close it."""
        if self._closed:
            return
        self._closed = True
        if self._ended and self._keep and self._connection.usable:
            self._connection.idle_until = asyncio.get_running_loop().time() + IDLE_SECONDS
            self._idle.append(self._connection)
        else:
            self._connection.close()


async def _socket(host: str, port: int) -> socket.socket:
    """Return a socket that is connected with a host, at whichever of its addresses answers first."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # Addresses of both families in turns, so that a family which does not work costs its head start alone.
    first = [one for one in found if one[0] == found[0][0]]
    other = [one for one in found if one[0] != found[0][0]]
    ordered = [one for n in range(len(found)) for one in (*first[n : n + 1], *other[n : n + 1])]
    tries: set[asyncio.Task[socket.socket]] = set()
    failure: BaseException = OSError(f"{host} has no address")
    try:
        for n, (family, _, _, _, address) in enumerate(ordered, 1):
            tries.add(asyncio.create_task(_connected(family, address)))
            while tries:
                last = n == len(ordered)
                wait = asyncio.wait(
                    tries, timeout=None if last else _NEXT_ADDRESS, return_when=asyncio.FIRST_COMPLETED
                )
                for one in (await wait)[0]:
                    tries.remove(one)
                    if (exc := one.exception()) is None:
                        return one.result()
                    failure = exc
                if not last:
                    break
        raise failure
    finally:
        for one in tries:
            if not one.cancel() and not one.exception():
                one.result().close()


async def _connected(family: int, address: Any) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _bytes_of(request: httpx2.Request, body: bytes) -> bytes:
    """Return a request as it is sent, head and body. Raises LocalProtocolError, without what is wrong in it:
    that may be a secret."""
    headers = [(name, value.strip(b" \t")) for name, value in request.headers.raw]
    if any(name.lower() == b"transfer-encoding" for name, _ in headers):  # it is known by now how long it is
        headers = [(name, value) for name, value in headers if name.lower() != b"transfer-encoding"]
        headers.append((b"Content-Length", b"%d" % len(body)))
    names, values = zip(*headers, strict=True)
    if _NO_NAME.search(b"".join(names)):
        raise httpx2.LocalProtocolError("Illegal header name")
    if _NO_VALUE.search(b"".join(values)):
        raise httpx2.LocalProtocolError("Illegal header value")
    line = b"%b %b HTTP/1.1\r\n" % (request.method.encode("ascii"), request.url.raw_path)
    return line + b"".join(b"%b: %b\r\n" % each for each in headers) + b"\r\n" + body
