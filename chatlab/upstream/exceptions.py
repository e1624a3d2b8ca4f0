"""Exceptions of the libraries that call upstreams (httpx, httpx2, the SDKs of openai, anthropic and groq), as
chatlab's errors.

By the exception's type first, then by HTTP status, by the body's code and text last.
"""

from __future__ import annotations

from typing import Any, NoReturn

from chatlab.errors import (
    AuthenticationFailed,
    BackendError,
    BrokenStream,
    ContentFiltered,
    InvalidRequest,
    ModelNotFound,
    Unavailable,
)
from chatlab.upstream.bodies import error_body, error_from_body, retry_after
from chatlab.upstream.challenges import with_challenge
from chatlab.words import ENGLISH


def _connection(exc: BaseException) -> BackendError:
    """Nothing was received and, as far as one can know, nothing was done: it may be tried again."""
    return Unavailable(ENGLISH("said.no-connection", reason=_why(exc)), retryable=True)


def _connect_timeout(exc: Exception) -> BackendError:
    return Unavailable(ENGLISH("said.not-accepted"), retryable=True)


def _timeout(exc: Exception) -> BackendError:
    return Unavailable(ENGLISH("said.not-in-time"))


def _broken(exc: Exception) -> BackendError:
    if "without sending a response" in str(exc):  # a kept connection that the server had just closed
        return _connection(exc)
    return BrokenStream(ENGLISH("said.broke", reason=_why(exc)))


def _malformed(exc: Exception) -> BackendError:
    return BrokenStream(ENGLISH("said.not-decoded"))


def _url(exc: Exception) -> BackendError:
    return ModelNotFound(ENGLISH("said.wrong-url", reason=_why(exc)))


def _state(exc: Exception) -> BackendError:
    return BrokenStream(ENGLISH("said.unreadable", reason=type(exc).__name__))


def _credential(exc: Exception) -> BackendError:
    return AuthenticationFailed(str(exc))


def _own(exc: Exception) -> BackendError:
    text = str(exc)
    if "credential" in text.lower() or "api_key" in text:
        return AuthenticationFailed(text)
    return InvalidRequest(text or type(exc).__name__)


def _by_status(exc: Any) -> BackendError:
    response = exc.response
    try:
        body: object = response.json()
    except (ValueError, RuntimeError):  # not JSON, or a stream that was not read
        body = getattr(exc, "body", None) or _text(response)
    return _of_reply(response, body)


def _of_reply(response: Any, body: object) -> BackendError:
    if response.is_redirect:  # not followed: the key would go along
        where = response.headers.get("location", "elsewhere")
        return ModelNotFound(f"the backend's URL redirects to {where}", status=response.status_code)
    error = error_from_body(response.status_code, body, retry_after(response.headers))
    return with_challenge(error, response.headers)


def _text(response: Any) -> str:
    try:
        return str(response.text)
    except RuntimeError:
        return ""


def _in_stream(exc: Any) -> BackendError:
    return error_from_body(None, exc.body or exc.message)


def _sdk_connection(exc: Exception) -> BackendError:
    cause = exc.__cause__
    if cause is None or not _mapped(cause):
        return _connection(exc)
    return error_before_answer(cause)  # type: ignore[arg-type] # the SDK wraps what failed before a response


def _filtered(exc: Exception) -> BackendError:
    return ContentFiltered(str(exc))


def _length(exc: Exception) -> BackendError:
    return InvalidRequest("the answer was cut off by max_tokens before it could be parsed")


# Class name -> what it means; a subclass that is not named is what its nearest named base is. A test holds
# every exception that openai and httpx2 export against this table. By name: neither has to be imported.
_RULES = {
    "openai": {
        "APIStatusError": _by_status,
        "APITimeoutError": _sdk_connection,
        "APIConnectionError": _sdk_connection,
        "APIResponseValidationError": _malformed,
        "APIError": _in_stream,
        "SubjectTokenProviderError": _credential,
        "LengthFinishReasonError": _length,
        "ContentFilterFinishReasonError": _filtered,
        "InvalidWebhookSignatureError": _malformed,
        "WebSocketConnectionClosedError": _state,
        "WebSocketQueueFullError": _state,
        "OpenAIError": _own,
    },
    "httpx2": {
        "HTTPStatusError": _by_status,
        "ConnectError": _connection,
        "ConnectTimeout": _connect_timeout,
        "PoolTimeout": _connect_timeout,
        "TimeoutException": _timeout,
        "ProxyError": _connection,
        "UnsupportedProtocol": _url,
        "LocalProtocolError": _url,
        "TooManyRedirects": _url,
        "DecodingError": _malformed,
        "SSEError": _malformed,
        "TransportError": _broken,
        "RequestError": _broken,
        "HTTPError": _broken,
        "InvalidURL": _url,
        "CookieConflict": _state,
        "StreamError": _state,
    },
    "json": {"JSONDecodeError": _malformed},
    "builtins": {"UnicodeDecodeError": _malformed, "ConnectionError": _broken},
    # What httpx2 lets through from the layers below it.
    "ssl": {"SSLError": _broken},
    "anyio": {"EndOfStream": _broken, "BrokenResourceError": _broken, "ClosedResourceError": _broken},
}
_RULES["httpx"] = _RULES["httpx2"]
# Made by the same generator as OpenAI's, with classes of the same names.
_RULES["anthropic"] = {**_RULES["openai"], "AnthropicError": _own}
_RULES["groq"] = {**_RULES["openai"], "GroqError": _own}


def _mapped(exc: BaseException) -> bool:
    return any(cls.__name__ in _RULES.get(cls.__module__.partition(".")[0], ()) for cls in type(exc).__mro__)


def error_from_exception(exc: Exception) -> BackendError:
    """Return the error for an exception of openai, httpx2 (or httpx), or JSON decoding.

    Raises `exc` itself if it is none of these: a bug of ours is not an upstream's failure. Raise the result
    `from exc`.
    """
    for cls in type(exc).__mro__:
        rule = _RULES.get(cls.__module__.partition(".")[0], {}).get(cls.__name__)
        if rule is not None:
            return rule(exc)
    _reraise(exc)


async def error_from_response(response: Any) -> BackendError:
    """Return the error for a response of httpx2 or httpx that is no success, and whose body was not read."""
    return _of_reply(response, await error_body(response))


def error_before_answer(exc: Exception) -> BackendError:
    """Return the error for an exception that came before there was any answer: a status, a header.

    A connection that broke then (reset, or closed without a word) may be tried again.
    """
    error = error_from_exception(exc)
    return _connection(exc) if isinstance(error, BrokenStream) and _mapped(exc) else error


def _reraise(exc: Exception) -> NoReturn:
    raise exc


def _why(exc: BaseException) -> str:
    return str(exc) or type(exc).__name__
