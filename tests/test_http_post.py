"""POSTs whose answers stream, against servers on loopback that send what they are told to."""

from __future__ import annotations

import asyncio
import gzip
from hashlib import sha256

import httpx2
import pytest

from chatlab.backend import CallContext, current_call
from chatlab.http import async_client
from chatlab.http_post import Post
from tests.test_http_transport import OK, Server, serving

HI = OK + b"content-length: 2\r\n\r\nhi"


async def posted(post: Post, ctx: CallContext | None = None) -> bytes:
    """Return the body of the answer to a call."""
    ctx = ctx or CallContext()
    current_call.set(ctx)
    found = await post({"text": "größer"}, {"Authorization": "Bearer key"}, ctx)
    pieces = found.aiter_bytes() if isinstance(found, httpx2.Response) else aiter(found)
    body = b"".join([piece async for piece in pieces])
    await found.aclose()
    return body


async def test_what_is_sent_is_what_the_client_sends_and_what_is_told() -> None:
    server, sent = Server(HI, HI), list[bytes]()
    ctx = CallContext(sent=sent.append, headers={"traceparent": "00-1"})
    async with serving(server.serve) as url, async_client(headers={"User-Agent": "me"}) as http:
        assert await posted(Post(http, f"{url}v1?a=b"), ctx) == b"hi"
        await http.post(f"{url}v1?a=b", json={"text": "größer"}, headers={"Authorization": "Bearer key"})
    own, httpx2s = [request.rpartition(b"\r\n\r\n") for request in server.requests]
    assert own[2] == httpx2s[2] == sent[0] == sent[1]
    assert {*own[0].lower().split(b"\r\n")} == {*httpx2s[0].lower().split(b"\r\n")}
    assert sha256(sent[0]).hexdigest() == sha256('{"text":"größer"}'.encode()).hexdigest()
    assert b"traceparent: 00-1" in own[0]
    assert server.connections == 1


async def test_a_cookie_comes_back_with_the_next_call() -> None:
    server = Server(OK + b"set-cookie: node=7\r\ncontent-length: 2\r\n\r\nhi", HI, HI)
    async with serving(server.serve) as url, async_client() as http:
        post = Post(http, url)
        assert [await posted(post) for _ in range(3)] == [b"hi"] * 3
    assert [b"node=7" in request for request in server.requests] == [False, True, True]


async def test_an_answer_that_is_compressed_is_read() -> None:
    packed = gzip.compress(b"hello")
    head = OK + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    async with serving(Server(head + packed).serve) as url, async_client() as http:
        assert await posted(Post(http, url)) == b"hello"


async def test_a_failure_is_a_response_and_no_redirect_is_followed() -> None:
    found = b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n"
    server = Server(found)
    async with serving(server.serve) as url, async_client() as http:
        response = await Post(http, url)({}, {}, CallContext())
        assert isinstance(response, httpx2.Response) and response.is_redirect
        with pytest.raises(httpx2.HTTPStatusError):
            response.raise_for_status()
        await response.aclose()
    assert len(server.requests) == 1


async def test_a_name_and_password_in_the_address_are_sent_as_httpx2_does() -> None:
    server = Server(HI)
    async with serving(server.serve) as url, async_client() as http:
        response = await Post(http, url.replace("//", "//me:secret@"))({}, {}, CallContext())
        await response.aclose()
    assert b"authorization: basic" in server.requests[0].lower()


async def test_an_answer_that_nobody_reads_closes_its_connection() -> None:
    server = Server(OK + b"content-length: 9\r\n\r\nhi")
    async with serving(server.serve) as url, async_client() as http:
        await (await Post(http, url)({}, {}, CallContext())).aclose()
        await asyncio.wait_for(server.left.wait(), 10)
