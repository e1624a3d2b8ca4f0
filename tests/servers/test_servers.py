"""The servers that the other tests lean on do what they claim."""

from __future__ import annotations

import ast
import asyncio
import gc
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from tests.conftest import NetworkRefused
from tests.servers.front import Front, drop
from tests.servers.llama import ENDLESS, SECOND, THINKING, TOOL, LlamaServer, pieces, sentence


async def chat(url: str, text: str, **body: Any) -> Any:
    async with httpx2.AsyncClient(timeout=20) as client:
        messages = [{"role": "user", "content": text}]
        return (await client.post(f"{url}/v1/chat/completions", json={"messages": messages, **body})).json()


@pytest.mark.parametrize("seed", range(50))
def test_a_text_is_cut_into_tokens_that_differ_and_join_to_it(seed: int) -> None:
    cut = pieces(sentence(seed) + sentence(seed)[::-1])
    assert "".join(cut) == sentence(seed) + sentence(seed)[::-1]
    assert len(set(cut)) == len(cut)
    assert all(len(piece) > 1 for piece in cut)


async def test_llama_answers_with_its_text_exactly(llama: LlamaServer) -> None:
    assert (await chat(llama.url, "Grüße 👋\n\n\tx"))["choices"][0]["message"]["content"] == llama.text


async def test_llama_answers_by_keyword(llama: LlamaServer) -> None:
    second, thought, endless = await asyncio.gather(
        chat(llama.url, SECOND), chat(llama.url, THINKING), chat(llama.url, ENDLESS, max_tokens=600)
    )
    assert second["choices"][0]["message"]["content"] == llama.second
    message = thought["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == (llama.thought, llama.text)
    assert endless["choices"][0]["finish_reason"] == "length"
    assert endless["usage"]["completion_tokens"] == 600


async def test_llama_calls_a_tool_with_arguments_that_fit_its_schema(llama: LlamaServer) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = {"type": "function", "function": {"name": "weather", "parameters": schema}}
    choice = (await chat(llama.url, TOOL, tools=[tool], max_tokens=300))["choices"][0]
    call = choice["message"]["tool_calls"][0]["function"]
    assert choice["finish_reason"] == "tool_calls"
    assert call["name"] == "weather"
    assert llama.text.startswith(json.loads(call["arguments"])["city"])


async def test_front_records_and_forwards(front: Front, llama: LlamaServer) -> None:
    reply = await chat(front.url, "hello", seed=7)
    assert reply["choices"][0]["message"]["content"] == llama.text
    assert front.last.method == "POST"
    assert front.last.path == "/v1/chat/completions"
    assert front.last.json == {"messages": [{"role": "user", "content": "hello"}], "seed": 7}
    assert front.last.headers["content-type"] == "application/json"
    assert front.last.answered.wait(5)
    assert not front.last.closed.is_set()


async def test_front_forwards_piece_by_piece(front: Front) -> None:
    front.delay = 0.02
    body = {"messages": [{"role": "user", "content": ENDLESS}], "stream": True, "max_tokens": 50}
    async with (
        httpx2.AsyncClient() as client,
        client.stream("POST", f"{front.url}/v1/chat/completions", json=body) as reply,
    ):
        async for line in reply.aiter_lines():
            if "round" in line:
                break
        assert not front.last.answered.is_set()


async def test_front_sees_that_the_client_left_and_so_does_llama(front: Front, llama: LlamaServer) -> None:
    body = {"messages": [{"role": "user", "content": ENDLESS}], "stream": True}
    async with httpx2.AsyncClient() as client:
        async with client.stream("POST", f"{front.url}/v1/chat/completions", json=body) as reply:
            async for line in reply.aiter_lines():
                if "round" in line:
                    break
            assert not front.last.closed.is_set()
        assert await asyncio.to_thread(front.last.closed.wait, 5)
        assert not front.last.answered.is_set()
        while any(slot["is_processing"] for slot in (await client.get(f"{llama.url}/slots")).json()):
            await asyncio.sleep(0.01)  # bounded by the test's own timeout


async def test_front_fails_as_told_and_then_forwards_again(front: Front, llama: LlamaServer) -> None:
    front.fail(429, {"error": {"message": "slow down"}}, {"retry-after": "3"})
    async with httpx2.AsyncClient() as client:
        refused = await client.get(f"{front.url}/v1/models")
        fine = await client.get(f"{front.url}/v1/models")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "3")
    assert refused.json() == {"error": {"message": "slow down"}}
    assert fine.status_code == 200
    assert fine.json()["data"][0]["id"] == llama.model


async def test_front_routes_and_drops() -> None:
    async def own(request: Request) -> Response:
        return JSONResponse({"got": (await request.json())["x"]})

    async def broken(_: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b"data: 1\n\n"
            raise drop()

        return StreamingResponse(body())

    with Front() as front:
        front.on("POST", "/own", own).on("GET", "/broken", broken)
        async with httpx2.AsyncClient() as client:
            assert (await client.post(f"{front.url}/own", json={"x": 1})).json() == {"got": 1}
            with pytest.raises(httpx2.RemoteProtocolError):
                await client.get(f"{front.url}/broken")
            assert (await client.get(f"{front.url}/nothing")).status_code == 404
        assert [seen.path for seen in front.requests] == ["/own", "/broken", "/nothing"]


def test_the_network_ends_at_loopback() -> None:
    from tests import conftest

    with pytest.raises(NetworkRefused):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    with pytest.raises(NetworkRefused):
        socket.getaddrinfo("example.org", 80)
    assert len(conftest._refused) == 2
    conftest._refused.clear()  # or this very test would be failed for it


def test_a_source_is_parsed_whatever_ends_meanwhile() -> None:
    ended = 0

    class Ends:
        def __init__(self) -> None:
            self.only_garbage_collection_finds = self

        def __del__(self) -> None:
            nonlocal ended
            ended += 1
            ast.parse("1")
            if ended < 1_000:
                Ends()

    before = gc.get_threshold()
    Ends()
    gc.set_threshold(1)
    try:
        for _ in range(100):
            assert len(ast.parse("a = b\n" * 100).body) == 100
    finally:
        gc.set_threshold(*before)
    assert ended
