"""HTTP/1.1 without a proxy, against servers on loopback that send what they are told to."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx2
import pytest
import trustme
import uvloop
from starlette.requests import Request
from starlette.responses import Response

from chatlab.backend import CallContext, current_call
from chatlab.http_transport import AiohttpTransport
from tests.servers.front import Front

OK = b"HTTP/1.1 200 OK\r\n"
TWO = OK + b"content-length: 2\r\n\r\nhi"
NO_RESPONSE = "Server disconnected without sending a response"


class Server:
    """Answers each request with the next of its answers, and closes a connection after one that says so.

    requests: what came, head and body, one item for each time that something arrived.
    """

    def __init__(self, *answers: bytes, close: bool = False) -> None:
        self.answers = list(answers)
        self.close = close
        self.connections = 0
        self.left = asyncio.Event()
        self.requests: list[bytes] = []
        self.protocol: str | None = None
        self.written = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if tls := writer.get_extra_info("ssl_object"):
            self.protocol = tls.selected_alpn_protocol()
        try:
            while request := await reader.read(2**20):
                self.requests.append(request)
                if self.answers:
                    writer.write(self.answers.pop(0))
                    await writer.drain()
                if self.close:
                    break
        except ConnectionError:
            pass
        self.left.set()


@asynccontextmanager
async def serving(serve: Callable[..., Any], context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    serving = set[Any]()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        try:
            await serve(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(connected, "localhost", 0, family=socket.AF_INET, ssl=context)
    async with server:
        scheme = "http" if context is None else "https"
        yield f"{scheme}://localhost:{server.sockets[0].getsockname()[1]}/"
        if serving:
            await asyncio.wait(serving, timeout=10)


def client() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=AiohttpTransport(ssl.create_default_context()), timeout=10)


async def test_a_connection_serves_one_request_after_the_other() -> None:
    server = Server(TWO, TWO, TWO)
    async with serving(server.serve) as url, client() as http:
        assert [(await http.post(url, content=b"ask")).text for _ in range(3)] == ["hi"] * 3
    assert server.connections == 1
    assert [request.rpartition(b"\r\n\r\n")[2] for request in server.requests] == [b"ask"] * 3


async def test_a_body_that_is_whole_waits_for_no_more_of_it() -> None:
    server = Server(TWO)
    current_call.set(CallContext(rest=lambda: 3600.0))  # of a turn among many
    async with asyncio.timeout(10), serving(server.serve) as url, client() as http:
        assert (await http.get(url)).text == "hi"


async def test_two_at_once_have_a_connection_each() -> None:
    server = Server(TWO, TWO)
    async with serving(server.serve) as url, client() as http:
        await asyncio.gather(http.get(url), http.get(url))
    assert server.connections == 2


@pytest.mark.parametrize(
    ("answer", "close"),
    [
        (OK + b"content-length: 2\r\nconnection: close\r\n\r\nhi", False),
        (TWO + b"HTTP/1.1 408 Request Timeout\r\n\r\n", False),
        (TWO, True),
    ],
)
async def test_a_connection_that_ends_serves_no_other_request(answer: bytes, close: bool) -> None:
    server = Server(answer, TWO, close=close)
    async with serving(server.serve) as url, client() as http:
        assert (await http.get(url)).text == "hi"
        await asyncio.wait_for(server.left.wait(), 10)
        while server.connections == 1:  # the end of the first arrives at its own time
            try:
                assert (await http.get(url)).text == "hi"
            except httpx2.RemoteProtocolError as exc:
                assert NO_RESPONSE in str(exc)
    assert server.connections == 2


@pytest.mark.parametrize(
    ("answer", "close", "text"),
    [
        (TWO, False, "hi"),
        (OK + b"transfer-encoding: chunked\r\n\r\n1\r\nh\r\n1;a=b\r\ni\r\n0\r\n\r\n", False, "hi"),
        (OK + b"transfer-encoding: chunked\r\n\r\n1 \r\nh\r\n1\r\ni\r\n0\r\nx: y\r\n\r\n", False, "hi"),
        (OK + b"\r\nhi", True, "hi"),
        (OK.replace(b"1.1", b"1.0") + b"\r\nhi", True, "hi"),
        (b"HTTP/1.1 200 OK\ncontent-length: 2\n\nhi", False, "hi"),
        (OK + b"upgrade: h2,h2c\r\nconnection: Upgrade, close\r\n\r\nhi", True, "hi"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", False, ""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + TWO, False, "hi"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + TWO, False, "hi"),
    ],
)
async def test_the_end_of_a_body_is_found(answer: bytes, close: bool, text: str) -> None:
    async with serving(Server(answer, close=close).serve) as url, client() as http:
        reply = await asyncio.wait_for(http.get(url), 10)
    assert (reply.text, reply.is_success, "link" in reply.headers) == (text, True, False)


async def test_a_reply_to_head_has_no_body() -> None:
    async with serving(Server(OK + b"content-length: 9\r\n\r\n").serve) as url, client() as http:
        assert (await http.head(url)).headers["content-length"] == "9"


@pytest.mark.parametrize(
    ("answer", "error", "why"),
    [
        (b"", httpx2.RemoteProtocolError, NO_RESPONSE),
        (b"HTTP/1.1 200", httpx2.RemoteProtocolError, NO_RESPONSE),
        (OK + b"content-length: 9\r\n\r\nhi", httpx2.RemoteProtocolError, "without sending complete message"),
        (
            OK + b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n",
            httpx2.RemoteProtocolError,
            "without sending",
        ),
        (OK + b"transfer-encoding: chunked\r\n\r\nx\r\nhi\r\n", httpx2.RemoteProtocolError, "chunk"),
        (b"220 mail.example.org ESMTP\r\n", httpx2.RemoteProtocolError, "HTTP"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
            httpx2.RemoteProtocolError,
            "another",
        ),
        (OK + b"x: " + b"y" * 200_000, httpx2.RemoteProtocolError, "more than 102400 bytes"),
        (
            OK + b"content-length: 9\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
            httpx2.RemoteProtocolError,
            "Transfer-Encoding can't be present with Content-Length$",
        ),
    ],
)
async def test_what_is_no_response_is_an_error(answer: bytes, error: type[Exception], why: str) -> None:
    server = Server(answer, close=True)
    async with serving(server.serve) as url, client() as http:
        with pytest.raises(error, match=why):
            await asyncio.wait_for(http.get(url), 10)


async def test_a_server_that_is_not_there_or_silent_is_an_error_in_time() -> None:
    async with serving(Server().serve) as url, client() as http:
        with pytest.raises(httpx2.ReadTimeout):
            await http.get(url, timeout=httpx2.Timeout(10, read=0.05))
    async with client() as http:
        with pytest.raises(httpx2.ConnectError, match=r"^Connection refused$"):  # not where: pages say it
            await http.get(url)
        with pytest.raises(httpx2.UnsupportedProtocol):
            await http.get("gopher://localhost/")


async def test_leaving_a_body_before_its_end_closes_the_connection_at_once() -> None:
    server = Server(OK + b"content-length: 9\r\n\r\nhi")
    async with serving(server.serve) as url, client() as http:
        async with http.stream("GET", url) as response:
            assert await anext(response.aiter_bytes()) == b"hi"
        await asyncio.wait_for(server.left.wait(), 10)


async def test_a_cancelled_request_closes_the_connection_at_once() -> None:
    server = Server()
    async with serving(server.serve) as url, client() as http:
        asking = asyncio.create_task(http.get(url))
        while not server.requests:
            await asyncio.sleep(0.001)
        asking.cancel()
        await asyncio.wait_for(server.left.wait(), 10)


async def test_a_slow_reader_makes_the_server_wait() -> None:
    whole, written = 64 * 2**20, 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"content-length: %d\r\n\r\n" % whole)
        while written < whole:
            writer.write(bytes(2**20))
            await writer.drain()
            written += 2**20

    async with serving(serve) as url, client() as http, http.stream("GET", url) as response:
        before = -1
        while written != before:  # until it goes on no further
            before = written
            await asyncio.sleep(0.1)
        assert written < whole / 2
        assert sum([len(piece) async for piece in response.aiter_bytes()]) == whole


@pytest.mark.parametrize("value", ["sk-secret\r\nx: y", "sk-secret\n", "sk-secret\0", "sk-\x7fsecret"])
async def test_a_header_that_is_none_is_not_sent_and_not_shown(value: str) -> None:
    server = Server(TWO)
    async with serving(server.serve) as url, client() as http:
        with pytest.raises(httpx2.LocalProtocolError) as caught:
            await http.get(url, headers={"Authorization": value})
        with pytest.raises(httpx2.LocalProtocolError):
            await http.get(url, headers={"sk secret": "x"})
    assert "secret" not in f"{caught.value!r}"
    assert server.requests == []


async def test_a_body_that_comes_in_pieces_is_sent_with_its_length() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    server = Server(TWO)
    async with serving(server.serve) as url, client() as http:
        await http.post(url, content=pieces())
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert body == b"one two"
    assert b"content-length: 7" in head.lower() and b"transfer-encoding" not in head.lower()


@pytest.mark.parametrize("first", ["refuses", "hangs"])
async def test_the_next_address_of_a_host_is_tried(first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    connect, tried = loop.sock_connect, list[str]()

    async def connected(sock: socket.socket, address: Any) -> None:
        tried.append(address[0])
        if address[0] == "::1":
            if first == "refuses":
                raise ConnectionRefusedError
            await asyncio.Event().wait()
        await connect(sock, address)

    async def addresses(_: str, port: int, **__: Any) -> list[Any]:
        v6, v4 = (socket.AF_INET6, ("::1", port, 0, 0)), (socket.AF_INET, ("127.0.0.1", port))
        return [(family, socket.SOCK_STREAM, 6, "", address) for family, address in (v6, v6, v4)]

    async with serving(Server(TWO).serve) as url, client() as http:
        monkeypatch.setattr(loop, "sock_connect", connected)
        monkeypatch.setattr(loop, "getaddrinfo", addresses)
        assert (await http.get(url)).text == "hi"
    assert tried == ["::1", "127.0.0.1"]


def test_it_works_on_both_event_loops_and_over_tls() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def asked() -> None:
        server = Server(TWO, TWO, OK + b"content-length: 9\r\n\r\nhi")
        async with serving(server.serve, context) as url:
            async with httpx2.AsyncClient(transport=AiohttpTransport(trusting), timeout=10) as http:
                assert [(await http.get(url)).text for _ in range(2)] == ["hi"] * 2
                async with http.stream("GET", url):
                    pass
                await asyncio.wait_for(server.left.wait(), 10)
            async with client() as http:
                with pytest.raises(httpx2.ConnectError, match="certificate verify failed"):
                    await http.get(url)
        assert (server.connections, server.protocol) == (1, "http/1.1")

    asyncio.run(asked())
    uvloop.run(asked())


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of sockets that nobody closed
def test_a_client_goes_on_in_another_event_loop_and_may_be_thrown_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def hi(_: Request) -> Response:
        return Response("hi")

    async def asked(http: httpx2.AsyncClient, url: str) -> str:
        return (await http.get(url)).text

    def asked_twice() -> list[str]:
        http = client()
        with Front() as front:  # in a loop of its own, which goes on and closes no connection
            front.on("GET", "/", hi)
            return [asyncio.run(asked(http, front.url)) for _ in range(2)]

    assert asked_twice() == ["hi", "hi"]
    gc.collect()
    assert "Unclosed" not in caplog.text
