"""The HTTP client of backends, against a server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from httpcore2._backends.anyio import AnyIOStream

from chatlab.backend import CallContext, current_call
from chatlab.http import async_client

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


class Upstream:
    """Sends a piece whenever it is told to, and says when its client has left."""

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.left = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD)
        sending = asyncio.create_task(self._send(writer))
        with suppress(ConnectionError):
            await reader.read()  # until the client closes
        sending.cancel()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        self.left.set()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        while (piece := await self.pieces.get()) is not None:
            writer.write(piece)
            await writer.drain()
        writer.write_eof()


@asynccontextmanager
async def serving(upstream: Upstream) -> AsyncIterator[str]:
    server = await asyncio.start_server(upstream.answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await asyncio.wait_for(upstream.left.wait(), 10)


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


async def test_what_arrives_while_a_call_rests_is_read_together_and_nothing_is_lost(
    upstream: Upstream,
) -> None:
    rest = [0.0]
    current_call.set(CallContext(rest=lambda: rest[0]))
    async with (
        serving(upstream) as url,
        async_client() as client,
        client.stream("GET", url) as response,
    ):
        upstream.pieces.put_nowait(b"first ")
        pieces = response.aiter_bytes()
        assert await anext(pieces) == b"first "
        rest[0] = 0.3
        gathered = asyncio.create_task(anext(pieces))
        for n in range(5):
            upstream.pieces.put_nowait(b"%d " % n)
            await asyncio.sleep(0.01)
        upstream.pieces.put_nowait(None)
        assert await gathered == b"0 1 2 3 4 "
        assert [piece async for piece in pieces] == []


async def test_a_call_that_rests_closes_at_once(upstream: Upstream) -> None:
    arrived, resting = asyncio.Event(), asyncio.Event()

    def rest() -> float:
        if not arrived.is_set():
            return 0.0
        resting.set()
        return 3600.0

    async def read(url: str) -> None:
        current_call.set(CallContext(rest=rest))
        async with async_client() as client, client.stream("GET", url) as response:
            async for _ in response.aiter_bytes():
                arrived.set()

    async with serving(upstream) as url:
        upstream.pieces.put_nowait(b"first")
        reading = asyncio.create_task(read(url))
        await resting.wait()
        reading.cancel()
        await asyncio.wait_for(upstream.left.wait(), 10)
        await asyncio.wait([reading])
        assert reading.cancelled()


async def test_a_request_to_a_proxy_goes_out_whole(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bytes] = []
    write = AnyIOStream.write

    async def noted(stream: AnyIOStream, buffer: bytes, timeout: float | None = None) -> None:
        sent.append(buffer)
        await write(stream, buffer, timeout)

    monkeypatch.setattr(AnyIOStream, "write", noted)
    quoted = b"GET / HTTP/1.1\r\n\r\n"  # the end of a head, within a body
    async with serving(upstream) as url, async_client(proxy=url) as client:
        upstream.pieces.put_nowait(None)
        for content in (b"question", quoted, b"", None):
            upstream.pieces.put_nowait(None)
            await client.request("GET" if content is None else "POST", url, content=content)
    assert [each.partition(b"\r\n\r\n")[2] for each in sent if each] == [b"question", quoted, b"", b""]
