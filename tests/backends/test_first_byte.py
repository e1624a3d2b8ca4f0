"""What happens on a connection around the first byte: resets, keep-alives, and look-ups that block."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from chatlab.config.models import BackendConfig, Timeouts
from chatlab.config.registry import Backends, backend_class
from chatlab.errors import Unavailable
from chatlab.messages import Message
from chatlab.turns.turn import run_turn
from tests.backends._openai_wire.cases import STOP, delta

ASK = (Message.of("user", "hi"),)
HEAD = "HTTP/1.1 200 OK\r\ncontent-type: {}\r\nconnection: close\r\n\r\n"
CHAT = HEAD.format("text/event-stream") + delta("Hel") + delta("lo") + STOP
TGI = HEAD.format("text/event-stream") + (
    'data:{"index":1,"token":{"id":1,"text":"Hello","logprob":0.0,"special":false},"generated_text":"Hello",'
    '"details":{"finish_reason":"eos_token","generated_tokens":1,"input_length":3}}\n\n'
)
Connection: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
WAYS: dict[str, tuple[str, Callable[[str], dict[str, Any]], str]] = {
    "openai": ("openai", lambda url: {"model": "m", "base_url": f"{url}/v1"}, CHAT),
    "huggingface": ("huggingface", lambda url: {"endpoint": f"{url}/v1", "model": "m"}, CHAT),
    "huggingface-text": (
        "huggingface",
        lambda url: {"endpoint": url, "task": "text-generation", "template": "chatml"},
        TGI,
    ),
    "huggingface-client": (
        "huggingface",
        lambda url: {
            "endpoint": url,
            "task": "text-generation",
            "template": "chatml",
            "client": "text-generation",
        },
        TGI,
    ),
    "databricks": (
        "databricks",
        lambda url: {
            "endpoint": "bot",
            "host": url,
            "task": "chat",
            "auth": {"type": "pat", "token": {"env": "RIG_TOKEN"}},
        },
        CHAT,
    ),
    "langchain": (
        "langchain",
        lambda url: {"model": "openai:m", "base_url": f"{url}/v1"},
        CHAT,
    ),
    "langchain-groq": ("langchain", lambda url: {"model": "groq:m", "base_url": f"{url}/v1"}, CHAT),
    "langchain-mistralai": (
        "langchain",
        lambda url: {"model": "mistralai:m", "base_url": f"{url}/v1"},
        CHAT,
    ),
}
NEEDS = {
    "huggingface-client": "text_generation",
    "langchain-groq": "langchain_groq",
    "langchain-mistralai": "langchain_mistralai",
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param in NEEDS:
        pytest.importorskip(NEEDS[request.param])
    monkeypatch.setenv("RIG_TOKEN", "dapi0123456789abcdef")
    return str(request.param)


async def asked(reader: asyncio.StreamReader) -> None:
    """Read a request whole."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.partition(b":")[2])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    )
    await reader.readexactly(length)


def reset(writer: asyncio.StreamWriter) -> None:
    """Break the connection off as a crashed server does: RST, not FIN."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def served(*connections: Connection) -> AsyncIterator[str]:
    """A server that treats the first connection so, the next one so."""
    left = list(connections)

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        await left.pop(0)(reader, writer)
        writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def entry_of(way: str, url: str, **settings: Any) -> AsyncIterator[Any]:
    kind, options, _ = WAYS[way]
    made = backend_class(kind).Options.model_validate(options(url))
    config = BackendConfig(kind=kind, options=made, **settings)
    backends = Backends({"x": config})
    try:
        yield backends["x"]
    finally:
        await backends.aclose()


async def test_a_connection_that_is_reset_before_the_first_byte_is_tried_again(way: str) -> None:
    async def broken(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reset(writer)

    async def good(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(WAYS[way][2].encode())
        await writer.drain()

    async with (
        served(broken, good) as url,
        entry_of(way, url, retries=1) as entry,
        run_turn(entry, ASK) as turn,
    ):
        async for _ in turn:
            pass
    assert turn.answer.message.text == "Hello"
    assert [notice.kind for notice in turn.answer.notices] == ["retried"]


async def test_keep_alives_are_no_silence_and_silence_is(way: str) -> None:
    begun = WAYS[way][2].partition("data")[0]
    first = begun + delta("Hel")
    if WAYS[way][2] == TGI:
        first = TGI.partition(',"generated_text"')[0] + "}\n\n"

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first.encode())
        for _number in range(12):  # three times as long as may be silent
            writer.write(b": keep-alive\n\n")
            await writer.drain()
            await asyncio.sleep(0.25)
        done.append(asyncio.get_running_loop().time())
        with suppress(OSError):
            await reader.read()  # until the client leaves

    done: list[float] = []
    timeouts = Timeouts(idle=1, first_token=30, total=60)
    async with (
        served(slow) as url,
        entry_of(way, url, retries=0, timeouts=timeouts) as entry,
        run_turn(entry, ASK) as turn,
    ):
        with pytest.raises(Unavailable, match="nothing arrived for 1 s"):
            async for _ in turn:
                pass
    assert done  # every keep-alive was waited for


async def test_what_huggingface_hub_looks_up_by_itself_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It fetches a list, synchronously, at its first call in a process and then once a day."""
    from huggingface_hub import constants

    _detect_agent = pytest.importorskip("huggingface_hub.utils._detect_agent", reason="it looks nothing up")

    looked_up = asyncio.Event()

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CHAT.encode())
        await writer.drain()

    async def hub(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        looked_up.set()
        await asyncio.sleep(1)  # a synchronous look-up on this very loop would never be answered
        writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(hub, "127.0.0.1", 0)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", False)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    monkeypatch.setattr(constants, "AGENT_HARNESSES_PATH", str(tmp_path / "harnesses.json"))
    monkeypatch.setattr(_detect_agent, "_registry", None)
    async with (
        server,
        served(answer) as url,
        entry_of("huggingface", url) as entry,
        run_turn(entry, ASK) as turn,
    ):
        async for _ in turn:
            pass
    assert looked_up.is_set()
    assert turn.answer.message.text == "Hello"
