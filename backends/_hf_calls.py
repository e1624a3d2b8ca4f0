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
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from backends._hf_errors import error_from_chunk, error_from_exception, error_from_reply
from backends._sse import DONE, SseDecoder, decode
from chatlab.errors import BackendError, BrokenStream, InvalidRequest, ModelNotFound, Unavailable

_MAX_ERROR_BODY = 64_000  # bytes of a failure that are read
_ERROR_BODY_SECONDS = 5.0

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
) -> Call:
    """The request that `AsyncInferenceClient` would send for `ask(client)`, a streamed call on it.

    target: a model id or a URL. Without a token none is sent, whatever the environment or a login on this
    machine holds: left alone, huggingface_hub sends that to any URL. Raises BackendError.
    """
    from huggingface_hub import AsyncInferenceClient

    client: Any = AsyncInferenceClient(
        model=target,
        provider=provider,  # type: ignore[arg-type]
        token=token or _NO_TOKEN,
        bill_to=bill_to,
    )
    calls: list[Call] = []

    async def take(parameters: Any, *, stream: bool = False) -> AsyncIterator[bytes]:
        headers = dict(parameters.headers)
        if token is None:
            headers.pop("authorization", None)
        calls.append(Call(parameters.url, headers, parameters.json))
        return _nothing()

    client._inner_post = take
    try:
        if provider is not None:
            # Blocks on the network the first time; remembered by the library after that.
            await asyncio.to_thread(_look_up, provider, target)
        await ask(client)
    except BackendError:
        raise
    except Exception as exc:
        error = error_from_exception(exc) or _error_in_preparation(exc)
        if error is None:
            raise
        raise error from exc
    return calls[0]


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
    except httpx2.HTTPError as exc:
        raise connection_error(exc, answered) from exc


def connection_error(exc: Exception, answered: bool) -> BackendError:
    """The error for a connection that failed: before an answer began, or in the middle of one."""
    said = str(exc) or type(exc).__name__
    if answered:
        return BrokenStream(f"the connection broke while the answer was read: {said}")
    return Unavailable(f"no connection to the endpoint: {said}", retryable=True)


async def reply_error(response: Any) -> BackendError:
    """The error for a response with an error status, its body read as far as that is quick."""
    body = bytearray()
    try:
        async with asyncio.timeout(_ERROR_BODY_SECONDS):
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > _MAX_ERROR_BODY:
                    break
    except TimeoutError:
        pass
    text = body.decode("utf-8", "replace")
    try:
        decoded: Any = json.loads(text)
    except ValueError:
        decoded = text
    return error_from_reply(response.status_code, decoded, _seconds(response.headers.get("retry-after")))


def _seconds(value: str | None) -> float | None:
    try:
        return None if value is None else max(0.0, float(value))
    except ValueError:  # a date; run_turn's own pause will do
        return None


async def data_chunks(response: Any) -> AsyncGenerator[dict[str, Any], None]:
    """The JSON objects of a stream of server-sent events, up to `[DONE]` or its end. Raises BrokenStream."""
    decoder = SseDecoder()
    async for piece in response.aiter_bytes():
        for payload in decoder.feed(piece):
            if payload == DONE:
                return
            yield decode(payload)
    for payload in decoder.end():
        if payload != DONE:
            yield decode(payload)


# -- the text-generation client


def import_text_generation() -> None:
    """Imports the `text-generation` client. Raises ModuleNotFoundError if it is not installed."""
    import text_generation  # noqa: F401
    from pydantic import PydanticDeprecatedSince20

    # It calls a method that pydantic 2 renamed, at every request.
    warnings.filterwarnings("ignore", category=PydanticDeprecatedSince20, module=r"text_generation\.")


async def text_generation_chunks(
    url: str, headers: Mapping[str, str], prompt: str, parameters: Mapping[str, Any], connect_timeout: float
) -> AsyncGenerator[Any, None]:
    """The chunks of one answer through `text_generation.AsyncClient`, in the protocol's own shape.

    With `best_of` above 1, one item: the whole answer as a list. The client shows neither when it has its
    connection nor the length of the prompt, and takes no `top_p` or `typical_p` of 1. Raises BackendError.
    """
    import aiohttp
    from pydantic import ValidationError
    from text_generation import AsyncClient

    client = AsyncClient(url, headers=dict(headers))
    # Its own timeout ends every answer after ten seconds; only connecting is bounded here.
    client.timeout = aiohttp.ClientTimeout(total=None, connect=connect_timeout)
    answered = False
    try:
        arguments = _arguments(parameters)
        if arguments.get("best_of", 1) > 1:
            whole = await client.generate(prompt, **arguments)
            answered = True
            yield [whole.model_dump(mode="json")]
            return
        arguments.pop("best_of", None)
        async with aclosing(client.generate_stream(prompt, **arguments)) as stream:
            async for chunk in stream:
                answered = True
                details = chunk.details
                yield {
                    "index": chunk.index,
                    "token": {"text": chunk.token.text, "special": chunk.token.special},
                    "details": details
                    and {
                        "finish_reason": details.finish_reason.value,
                        "generated_tokens": details.generated_tokens,
                    },
                }
    except ValidationError as exc:
        # It means to catch this for a chunk that says what went wrong, but has another class of that name.
        chunk = exc.errors()[0]["input"]
        if isinstance(chunk, Mapping) and "error" in chunk:
            raise error_from_chunk(chunk) from exc
        broken = "the endpoint does not speak the text generation protocol of TGI"
        raise BrokenStream(broken) from exc
    except (aiohttp.ClientError, TimeoutError) as exc:
        if isinstance(exc, aiohttp.ClientResponseError) and exc.status >= 400:
            raise error_from_reply(exc.status, None) from exc  # a failure whose body is not JSON
        raise connection_error(exc, answered) from exc
    except (KeyError, ValueError) as exc:
        raise BrokenStream("the endpoint sent something other than the protocol of TGI") from exc
    except Exception as exc:
        error = error_from_exception(exc)
        if error is None:
            raise
        raise error from exc


def _arguments(parameters: Mapping[str, Any]) -> dict[str, Any]:
    from pydantic import ValidationError
    from text_generation.types import Grammar

    arguments = dict(parameters)
    if "stop" in arguments:
        arguments["stop_sequences"] = arguments.pop("stop")
    grammar = arguments.get("grammar")
    if grammar is not None:
        if grammar.get("type") == "json_schema":  # the same with a name to it
            grammar = {"type": "json", "value": grammar["value"]["schema"]}
        try:
            arguments["grammar"] = Grammar(**grammar)
        except ValidationError as exc:
            raise InvalidRequest("grammar: the text-generation client takes type json or regex") from exc
    return arguments
