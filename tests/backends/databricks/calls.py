"""Calls of the databricks backend, and chunks as agents write them, for its tests."""

from __future__ import annotations

from typing import Any

from backends.databricks import DatabricksBackend
from chatlab.backend import CallContext, ChatRequest
from chatlab.messages import Message, StreamEvent, TextDelta

HELLO = ChatRequest((Message.of("user", "hello"),))


def backend(**options: Any) -> DatabricksBackend:
    return DatabricksBackend(DatabricksBackend.Options.model_validate({"endpoint": "bot", **options}))


async def ask(request: ChatRequest = HELLO, **options: Any) -> list[StreamEvent]:
    made = backend(**options)
    try:
        return [event async for event in made.stream(request, CallContext())]
    finally:
        await made.aclose()


def text_of(events: list[StreamEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def of_type(events: list[StreamEvent], kind: Any) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def agent(content: str = "", **message: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "delta": {"role": "assistant", "content": content, "id": "msg-1", **message},
    }


def done(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "response.output_item.done", "item": item}


async def read_all(stream: Any) -> list[StreamEvent]:
    return [event async for event in stream]
