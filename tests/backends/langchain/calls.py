"""How the tests call the kind `langchain`, and what they look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backends.langchain import LangChainBackend
from chatlab.backend import CallContext, ChatRequest
from chatlab.messages import Finish, Message, Notice, StreamEvent, TextDelta

Load = Callable[..., LangChainBackend]


def ask(*said: str, system: str | None = None, **parameters: Any) -> ChatRequest:
    roles = ("user", "assistant")
    messages = [Message.of(roles[n % 2], text) for n, text in enumerate(said)]
    if system is not None:
        messages.insert(0, Message.of("system", system))
    return ChatRequest(tuple(messages), parameters)


async def events(
    backend: LangChainBackend, request: ChatRequest, conversation: str | None = None
) -> list[StreamEvent]:
    ctx = CallContext(conversation=conversation)
    return [event async for event in backend.stream(request, ctx)]


def text(found: list[StreamEvent]) -> str:
    return "".join(event.text for event in found if isinstance(event, TextDelta))


def notices(found: list[StreamEvent]) -> list[Notice]:
    return [event for event in found if isinstance(event, Notice)]


def finish(found: list[StreamEvent]) -> Finish:
    assert isinstance(found[-1], Finish)
    return found[-1]
