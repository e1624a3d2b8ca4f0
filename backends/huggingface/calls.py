"""The calls of the Hugging Face backend: prepared by a client library, closed at once when nobody reads on.

`huggingface_hub.AsyncInferenceClient` decides what is sent where: provider, the model's name there, URL,
headers and payload. The request itself goes over chatlab's own transport, because the client's is aiohttp,
httpx or httpx2 by version, has one timeout for everything, keeps an abandoned stream's connection open until
the whole client is closed, and hides the body of a failure that came without a length. The seam is its one
method that sends (`_inner_post`), which is the same in 0.36 and 2.4.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from backends.huggingface.errors import error_from_exception, error_from_reply
from chatlab.errors import AuthenticationFailed, BackendError, ModelNotFound, Unavailable
from chatlab.upstream import ChunkReader, error_before_answer, error_body, retry_after, with_challenge
from chatlab.upstream import error_from_exception as error_of_transport

_NO_TOKEN = "none"  # noqa: S105 - keeps huggingface_hub from looking for one by itself; taken out again below


@dataclass(frozen=True, slots=True)
class Call:
    """One POST, ready to be sent."""

    url: str
    headers: Mapping[str, str]
    body: dict[str, Any]


async def prepare(
    target: str,
    ask: Callable[[Any], Awaitable[Any]],
    *,
    provider: str | None = None,
    token: str | None = None,
    bill_to: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Call:
    """The request that `AsyncInferenceClient` would send for `ask(client)`, a streamed call on it.

    target: a model id or a URL. Without a token none is sent, whatever the environment or a login on this
    machine holds: left alone, huggingface_hub sends that to any URL. Raises BackendError.
    """

    def blocking() -> Call:
        # The library looks things up as it goes, synchronously: a provider's name for the model at the first
        # call, its own lists now and then.
        if provider is not None:
            _look_up(provider, target)
        return _taken(target, ask, provider, token, bill_to, headers)

    try:
        return await asyncio.to_thread(blocking)
    except BackendError:
        raise
    except Exception as exc:
        error = error_from_exception(exc) or _error_in_preparation(exc)
        if error is None:
            raise
        raise error from exc


def _taken(
    target: str,
    ask: Callable[[Any], Awaitable[Any]],
    provider: str | None,
    token: str | None,
    bill_to: str | None,
    headers: Mapping[str, str] | None,
) -> Call:
    from huggingface_hub import AsyncInferenceClient

    client: Any = AsyncInferenceClient(
        model=target,
        provider=provider,  # type: ignore[arg-type]
        token=token or _NO_TOKEN,
        bill_to=bill_to,
        headers=dict(headers or {}),
    )
    calls: list[Call] = []

    async def take(parameters: Any, *, stream: bool = False) -> AsyncIterator[bytes]:
        sent = dict(parameters.headers)
        if token is None:
            sent.pop("authorization", None)
        calls.append(Call(parameters.url, sent, parameters.json))
        return _nothing()

    async def asked() -> None:
        await ask(client)

    client._inner_post = take
    try:
        asked().send(None)  # nothing in it waits: a loop of its own would cost more than all the rest
    except StopIteration:
        return calls[0]
    raise RuntimeError("huggingface_hub waited for something before it sent the request")


async def _nothing() -> AsyncIterator[bytes]:
    nothing: tuple[bytes, ...] = ()
    for line in nothing:
        yield line


def _look_up(provider: str, model: str) -> None:
    from huggingface_hub.inference._providers import get_provider_helper

    try:
        helper = get_provider_helper(provider, task="conversational", model=model)  # type: ignore[arg-type]
        helper._prepare_mapping_info(model)
    except StopIteration:
        raise ValueError(f"no provider serves {model}") from None


def _error_in_preparation(exc: Exception) -> BackendError | None:
    if isinstance(exc, ValueError) and "api key" in str(exc).lower().replace("_", " "):
        return AuthenticationFailed(str(exc))
    if isinstance(exc, ValueError):  # "Model ... is not supported by provider ..."
        return ModelNotFound(str(exc))
    if isinstance(exc, OSError) or type(exc).__module__.startswith(("httpx", "requests")):
        return Unavailable(f"the model could not be looked up: {exc}", retryable=True)
    return None


@asynccontextmanager
async def post(http: Any, call: Call, connect_timeout: float) -> AsyncIterator[Any]:
    """Sends a call and gives its response once its headers are there; leaving closes the connection at once.

    http: an `httpx2.AsyncClient`. Raises BackendError, for whatever happens while the body is read, too.
    """
    import httpx2

    timeout = httpx2.Timeout(None, connect=connect_timeout)
    answered = False
    try:
        async with http.stream(
            "POST", call.url, headers=dict(call.headers), json=call.body, timeout=timeout
        ) as response:
            answered = True
            if response.status_code >= 300:
                raise await reply_error(response)
            yield response
    except (httpx2.HTTPError, httpx2.InvalidURL) as exc:
        raise (error_of_transport(exc) if answered else error_before_answer(exc)) from exc


async def reply_error(response: Any) -> BackendError:
    """Return the error for a response with an error status, its body read as far as that is quick."""
    text = (await error_body(response)).decode("utf-8", "replace")
    try:
        decoded: Any = json.loads(text)
    except (ValueError, RecursionError):
        decoded = text
    error = error_from_reply(response.status_code, decoded, retry_after(response.headers))
    return with_challenge(error, response.headers)


async def chunks_of(response: Any, reader: ChunkReader) -> AsyncGenerator[dict[str, Any], None]:
    """Yield the chunks of an answer, up to the end that is said or its last byte. Raises BackendError."""
    async for piece in response.aiter_bytes():
        for chunk in reader.feed(piece):
            yield chunk
        if reader.done:
            return
    for chunk in reader.end():
        yield chunk
