"""The HTTP clients of models that are made by name.

chatlab's own, so that a backend's certificate authorities hold for them, and a stand-in for a key goes no
further than here. Each SDK takes a client of the library that it was written for, httpx2 or httpx.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cached_property
from typing import Any

import httpx2

from backends.langchain.openai_client import OpenAIClient
from backends.langchain.options import LangChainOptions
from backends.langchain.providers import BASED_ON_OPENAI
from chatlab.backend import current_call
from chatlab.http import async_client, mark_connection, ssl_context

Hook = Callable[[Any], Awaitable[None]]


def give_client(arguments: dict[str, Any], options: LangChainOptions, hook: Hook) -> Any:
    """Add an HTTP client to the arguments of a model's class, and return it if it is ours to close.

    hook: called with each request before it goes out.
    """
    provider = options.provider
    if "http_async_client" in arguments:
        return None
    if provider in BASED_ON_OPENAI:
        hooks = {"request": [hook]}
        client = async_client(options.ca_bundle, like=OpenAIClient, given=_given(options), event_hooks=hooks)
        arguments["http_async_client"] = client
        return client
    if provider == "groq":
        from groq import DefaultAsyncHttpxClient

        arguments["http_async_client"] = client = _client(DefaultAsyncHttpxClient, options, hook)
        return client
    if provider == "ollama":
        ours = {"verify": ssl_context(options.ca_bundle), "event_hooks": _hooks(hook)}
        arguments["async_client_kwargs"] = {**ours, **(arguments.get("async_client_kwargs") or {})}
    return None


def mistral_client(model: Any, options: LangChainOptions, hook: Hook) -> Any:
    """Give Mistral's model a client of ours, with address and key of the one that it made, and return it."""
    made = model.async_client
    client = _client(type(made), options, hook, base_url=made.base_url, headers=made.headers)
    model.async_client = client
    return client


def anthropic_model(arguments: dict[str, Any], options: LangChainOptions, hook: Hook) -> tuple[Any, Any]:
    """Return Anthropic's model and its HTTP client, which its class takes in no argument."""
    from anthropic import AsyncAnthropic, DefaultAsyncHttpxClient
    from langchain_anthropic import ChatAnthropic

    beside = {"proxy": proxy} if (proxy := arguments.get("anthropic_proxy")) else {}
    client = _client(DefaultAsyncHttpxClient, options, hook, **beside)

    class ClientChatAnthropic(ChatAnthropic):  # type: ignore[misc]
        """ChatAnthropic over a client that it is given."""

        @cached_property
        def _async_client(self) -> Any:
            return AsyncAnthropic(**self._client_params, http_client=client)

    return ClientChatAnthropic(model=(options.model or "").partition(":")[2], **arguments), client


def _given(options: LangChainOptions) -> dict[str, Any]:
    """Return what a person set of a request's JSON, under whichever argument of the model's class."""
    arguments = options.model_options
    inner = (arguments.get(name) or {} for name in ("model_kwargs", "extra_body"))
    return dict(ChainMap(*({str(k): v for k, v in one.items()} for one in (arguments, *inner))))


def _client(like: type, options: LangChainOptions, hook: Hook, **beside: Any) -> Any:
    """Return a client of the library that a class of clients is of."""
    if issubclass(like, httpx2.AsyncClient):
        return async_client(options.ca_bundle, event_hooks={"request": [hook]}, **beside)
    import httpx

    timeout = httpx.Timeout(None, connect=10.0)  # all others are the turn's
    verify = ssl_context(options.ca_bundle)
    return httpx.AsyncClient(verify=verify, timeout=timeout, event_hooks=_hooks(hook), **beside)


def _hooks(hook: Hook) -> dict[str, list[Hook]]:
    """Return the hooks of a client of httpx, which say what `async_client` says by itself."""
    return {"request": [mark_connection, hook], "response": [_heard]}


async def _heard(response: Any) -> None:
    """Have the call know of each piece that arrives, be it a keep-alive that no SDK gives on."""
    import httpx

    class Heard(httpx.AsyncByteStream):
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for piece in self._stream:
                ctx = current_call.get()
                if ctx is not None:
                    ctx.arrived()
                yield piece

        async def aclose(self) -> None:
            await self._stream.aclose()

    response.stream = Heard(response.stream)
