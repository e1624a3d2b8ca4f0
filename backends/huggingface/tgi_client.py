"""Text generation through the `text-generation` client (extra `tgi`).

The client makes an aiohttp session for each call and takes none, so its two methods are given ours in place
of that class: one that says when the call has its connection, shows what an error reply says (the client
forgets its status and `Retry-After`), and bounds connecting only (left alone, every answer ends after ten
seconds).
They are given `dict` in place of the classes of the answer, too: those drop the length of the prompt, and one
that says what went wrong is not understood, since the client catches another library's `ValidationError`.
"""

from __future__ import annotations

import functools
import json
import ssl
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from types import FunctionType
from typing import Any

from backends.huggingface.errors import error_from_exception, error_from_reply
from chatlab.backend import current_call
from chatlab.errors import BrokenStream, InvalidRequest, Unavailable
from chatlab.upstream import retry_after

_MAX_ERROR_BODY = 64_000  # bytes of an error reply that are read
_LONGEST_LINE = 2**20  # bytes; half of what aiohttp then takes: the last chunk repeats the whole answer


def import_text_generation() -> None:
    """Imports the client. Raises ModuleNotFoundError if it is not installed."""
    import text_generation.client  # noqa: F401
    from pydantic import PydanticDeprecatedSince20

    # It calls a method that pydantic 2 renamed, at every request.
    warnings.filterwarnings("ignore", category=PydanticDeprecatedSince20, module=r"text_generation\.")


async def text_generation_chunks(
    url: str,
    headers: Mapping[str, str],
    prompt: str,
    parameters: Mapping[str, Any],
    connect_timeout: float,
    tls: ssl.SSLContext,
) -> AsyncGenerator[Any, None]:
    """Yield the chunks of one answer as they came; with `best_of` above 1 one item, a list of the whole
    answer.

    Raises BackendError; a chunk that is an error is given as it is.
    """
    import aiohttp
    from pydantic import ValidationError
    from text_generation import AsyncClient

    client = AsyncClient(url, headers=dict(headers))
    client.timeout = aiohttp.ClientTimeout(total=None, connect=connect_timeout)
    answered = False
    try:
        arguments = _arguments(parameters)
        if arguments.get("best_of", 1) > 1:
            yield [await _ours(AsyncClient.generate, tls)(client, prompt, **arguments)]
            return
        arguments.pop("best_of", None)
        async with aclosing(_ours(AsyncClient.generate_stream, tls)(client, prompt, **arguments)) as chunks:
            async for chunk in chunks:
                answered = True
                yield chunk
    except ValidationError as exc:
        raise InvalidRequest("the text-generation client takes no such parameters") from exc
    except (aiohttp.ClientError, TimeoutError) as exc:
        if answered or not isinstance(exc, aiohttp.ClientConnectionError | TimeoutError):
            raise BrokenStream("the connection broke before the answer ended") from exc
        raise Unavailable(f"no connection to the upstream ({type(exc).__name__})", retryable=True) from exc
    except (LookupError, TypeError, ValueError) as exc:
        raise BrokenStream("the endpoint does not speak the text generation protocol of TGI") from exc
    except Exception as exc:
        error = error_from_exception(exc)
        if error is None:
            raise
        raise error from exc


def _ours(method: Any, tls: ssl.SSLContext) -> Any:
    """Return the client's method, with our session where it names aiohttp's class, giving what the server
    said.
    """
    import aiohttp

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(_connected)
    session = functools.partial(
        aiohttp.ClientSession,
        trace_configs=[trace],
        response_class=_heard_response(),
        connector=aiohttp.TCPConnector(ssl=tls),
        trust_env=True,  # proxies, as for every other backend
        raise_for_status=_raise_for_status,
        read_bufsize=_LONGEST_LINE,
    )
    names = {**method.__globals__, "ClientSession": session, "StreamResponse": dict, "Response": dict}
    return FunctionType(method.__code__, names, method.__name__, method.__defaults__, method.__closure__)


async def _connected(*_: Any) -> None:
    ctx = current_call.get()
    if ctx is not None:
        ctx.mark("connected")


@functools.cache
def _heard_response() -> Any:
    """Return aiohttp's class of responses, with lines that the call knows of, keep-alives among them.

    aiohttp's own trace of what arrives is of bodies that are read whole.
    """
    from aiohttp import ClientResponse

    async def start(self: Any, connection: Any) -> Any:
        await ClientResponse.start(self, connection)
        self.content = _HeardLines(self.content)
        return self

    return type("HeardResponse", (ClientResponse,), {"start": start})


class _HeardLines:
    """A response's content that tells the call of each line."""

    def __init__(self, content: Any) -> None:
        self._content = content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for line in self._content:
            ctx = current_call.get()
            if ctx is not None:
                ctx.arrived()
            yield line


async def _raise_for_status(response: Any) -> None:
    if response.status < 300:
        return
    text = (await response.content.read(_MAX_ERROR_BODY)).decode("utf-8", "replace")
    try:
        body: Any = json.loads(text)
    except ValueError:
        body = text
    headers = {name.lower(): value for name, value in response.headers.items()}
    raise error_from_reply(response.status, body, retry_after(headers))


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
