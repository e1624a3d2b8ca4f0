"""The HTTP client of models on OpenAI's SDK, which has servers say what the SDK and LangChain understand.

Both take the protocol by its letter: a keep-alive that is no JSON, calls of tools with the same index, or an
answer that comes whole end in an error that says nothing, or in an answer that lacks something. So each
stream is read as the kind `openai` reads it (docs/wire.md), and given on as the protocol has it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from typing import Any, assert_never

import httpx2

from backends._openai_wire import CAME_WHOLE, ChatStream, OwnOptions, read_answer
from chatlab.messages import (
    Citation,
    Finish,
    Notice,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolResult,
    Trace,
    Usage,
)
from chatlab.upstream import error_from_body

BESIDE = "chatlab"
"""The name in a delta of what LangChain has no place for: notices and sources, as `Notice` and `Citation`
have them. `chat_openai.py` takes it out."""

_ROUTE = "/chat/completions"
_REWRITTEN = ("content-type", "content-encoding", "content-length", "transfer-encoding")


class OpenAIClient(httpx2.AsyncClient):
    """Asks again without an option of ours that a server refuses, and rewrites the streams of chat models.

    given: what a person set of a request's JSON, which is never left out.
    """

    def __init__(self, *, given: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._given = given
        self._own_options = OwnOptions("stream_options", "store", "stream")

    async def send(self, request: httpx2.Request, **kwargs: Any) -> httpx2.Response:
        """Send a request, as often as its server refuses something of it that is not the person's."""
        body = _streamed(request)
        if body is None:
            return await super().send(request, **kwargs)
        while True:
            wanted = self._own_options.apply(body)
            response = await super().send(_with_body(request, wanted), **kwargs)
            if response.status_code == 200:
                return _rewritten(response, request, self._own_options.notices())
            error = error_from_body(response.status_code, await response.aread())
            if not self._own_options.refused_by(error, wanted, self._given):
                return response


class _Rewritten(httpx2.AsyncByteStream):
    """The bytes of an answer as an event stream of the protocol."""

    def __init__(self, response: httpx2.Response, notices: list[Notice]) -> None:
        self._response = response
        self._notices = notices

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for notice in self._notices:
            yield _frame(_beside(notice))
        calls = 0
        stream = ChatStream(whole=CAME_WHOLE)
        async with aclosing(read_answer(self._response.aiter_bytes(), stream)) as events:
            async for event in events:
                for chunk in _chunks(event, calls):
                    yield _frame(chunk)
                calls += isinstance(event, ToolCall)
        yield b"data: [DONE]\n\n"

    async def aclose(self) -> None:
        await self._response.aclose()


def _streamed(request: httpx2.Request) -> dict[str, Any] | None:
    """Return the JSON of a request for a streamed answer of a chat model; None for any other."""
    if request.method != "POST" or not request.url.path.endswith(_ROUTE):
        return None
    body = json.loads(request.content)
    return body if body.get("stream") else None


def _with_body(request: httpx2.Request, body: Mapping[str, Any]) -> httpx2.Request:
    headers = httpx2.Headers(request.headers)
    headers.pop("content-length", None)
    return httpx2.Request(
        request.method,
        request.url,
        headers=headers,
        content=json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(),
        extensions=request.extensions,
    )


def _rewritten(response: httpx2.Response, request: httpx2.Request, notices: list[Notice]) -> httpx2.Response:
    headers = [(name, value) for name, value in response.headers.multi_items() if name not in _REWRITTEN]
    return httpx2.Response(
        200,
        headers=[*headers, ("content-type", "text/event-stream")],
        stream=_Rewritten(response, notices),
        request=request,
        extensions=response.extensions,
    )


def _frame(chunk: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(chunk)}\n\n".encode()


def _chunks(event: StreamEvent, calls: int) -> Iterator[dict[str, Any]]:
    """Yield the chunks that say what an event says. calls: how many calls of tools came before."""
    if isinstance(event, TextDelta):
        yield _chunk({"content": event.text})
    elif isinstance(event, ReasoningDelta):
        yield _chunk({"reasoning_content": event.text})
    elif isinstance(event, ToolCall):
        function = {"name": event.name, "arguments": event.arguments}
        yield _chunk(
            {"tool_calls": [{"index": calls, "id": event.id, "type": "function", "function": function}]}
        )
    elif isinstance(event, Notice | Citation):
        yield _beside(event)
    elif isinstance(event, Finish):
        yield {**_chunk({}, event.reason), "model": event.model}
        if (usage := _usage(event.usage)) is not None:
            yield {"choices": [], "model": event.model, "usage": usage}
    elif not isinstance(event, ToolResult | Trace):  # which no model of a server gives
        assert_never(event)


def _chunk(delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
    delta = {"role": "assistant", **delta}
    return {
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


def _beside(event: Notice | Citation) -> dict[str, Any]:
    told = [event.kind, event.detail] if isinstance(event, Notice) else [event.title, event.url]
    return _chunk({BESIDE: {"notice" if isinstance(event, Notice) else "citation": told}})


def _usage(usage: Usage) -> dict[str, Any] | None:
    """Return the counts as the protocol has them; None where one is unknown, which LangChain takes for 0."""
    if usage.input is None or usage.output is None:
        return None
    read = {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_written}
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": read,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }
