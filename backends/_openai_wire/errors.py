"""What went wrong at an OpenAI-compatible upstream, as one of chatlab's errors.

By the exception's type first, then by HTTP status, by the body's code and text last.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, NoReturn

from chatlab.errors import (
    AuthenticationFailed,
    BackendError,
    BrokenStream,
    ContentFiltered,
    InvalidRequest,
    Unavailable,
    classify,
)

# Codes that stand in the body where there is no HTTP status to go by: in an error sent in mid-stream.
_STATUS_OF = {
    "invalid_api_key": 401,
    "authentication_error": 401,
    "unauthenticated": 401,
    "permission_denied": 403,
    "permission_error": 403,
    "model_not_found": 404,
    "not_found_error": 404,
    "resource_does_not_exist": 404,
    "endpoint_not_found": 404,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "insufficient_quota": 429,
    "request_limit_exceeded": 429,
    "resource_exhausted": 429,
    "internal_error": 500,
    "server_error": 500,
    "temporarily_unavailable": 503,
    "overloaded_error": 503,
    "unavailable_error": 503,
    "bad_request": 400,
    "invalid_parameter_value": 400,
    "invalid_request_error": 400,
    "exceed_context_size_error": 400,
    "context_length_exceeded": 400,
    "content_filter": 400,
    "invalid_prompt": 400,
}
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.I | re.S)


def error_from_body(status: int | None, body: object, retry_after: float | None = None) -> BackendError:
    """The error for what an upstream said: an error reply's decoded body (or text), or an error chunk.

    status: of the reply; None for a chunk in mid-stream, whose own code then counts as the status.
    """
    code, detail = _said(body)
    if status is None or status < 400:
        status = _status_of(code, body)
    hint = code if code is None or code not in detail else None
    error = classify(status, detail, code=hint, retry_after=retry_after)
    if code == "insufficient_quota":
        error.retryable = False  # the account is empty: waiting does not fill it
    return error


def is_error(chunk: Mapping[str, Any]) -> bool:
    """Whether a decoded chunk or body is an error, in any of the forms that pass as success elsewhere."""
    if chunk.get("error") or "error_code" in chunk or chunk.get("type") == "error":
        return True
    return chunk.get("object") == "error" or ("detail" in chunk and len(chunk) == 1)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the upstream asks to wait (`retry-after-ms` or RFC 9110's Retry-After), None if it does not."""
    try:
        return max(0.0, float(headers["retry-after-ms"]) / 1000)
    except (KeyError, ValueError):
        pass
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    except ValueError:
        return None


def _said(body: object) -> tuple[str | None, str]:
    """The code and the sentence in an error body, whichever of the known shapes it has."""
    if isinstance(body, bytes):
        body = body.decode("utf-8", "replace")
    if isinstance(body, str):
        try:
            body = json.loads(body)
        except ValueError:
            return None, _plain(str(body))
    if not isinstance(body, Mapping):
        return None, "" if body is None else json.dumps(body)[:300]
    inner = body.get("error")
    if isinstance(inner, Mapping):
        code, message = _said({key: value for key, value in inner.items() if key != "error"})
        return code, message or (code or "")
    code = _first(body, "code", "error_code", "error_type") or _first(body, "type")
    if code == "error":
        code = None
    return code, _first(body, "message", "error", "detail", "error_description") or code or ""


def _first(body: Mapping[str, Any], *names: str) -> str | None:
    for name in names:
        value = body.get(name)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, list | dict) and value:
            return json.dumps(value)
    return None


def _status_of(code: str | None, body: object) -> int | None:
    if isinstance(body, Mapping):
        inner = body.get("error")
        for source in (inner if isinstance(inner, Mapping) else {}, body):
            for name in ("code", "http_status_code", "status_code", "status"):
                value = source.get(name)
                if isinstance(value, str) and value.isdigit():
                    value = int(value)
                if isinstance(value, int) and 400 <= value < 600:
                    return value
    return _STATUS_OF.get((code or "").lower())


def _plain(text: str) -> str:
    if not text.lstrip().startswith("<"):
        return text.strip()
    title = _TITLE.search(text)
    return "the upstream answered with a web page" + (f": {title[1].strip()}" if title else "")


def _connection(exc: BaseException) -> BackendError:
    """Nothing was received and, as far as one can know, nothing was done: it may be tried again."""
    return Unavailable(f"no connection to the upstream ({_why(exc)})", retryable=True)


def _connect_timeout(exc: Exception) -> BackendError:
    return Unavailable("the upstream did not accept the connection in time", retryable=True)


def _timeout(exc: Exception) -> BackendError:
    return Unavailable("the upstream did not answer in time")


def _broken(exc: Exception) -> BackendError:
    if "without sending a response" in str(exc):  # a kept connection that the server had just closed
        return _connection(exc)
    return BrokenStream(f"the connection broke before the answer ended ({_why(exc)})")


def _malformed(exc: Exception) -> BackendError:
    return BrokenStream("the upstream's answer could not be decoded")


def _url(exc: Exception) -> BackendError:
    return InvalidRequest(f"the backend's URL does not work ({_why(exc)})")


def _state(exc: Exception) -> BackendError:
    return BrokenStream(f"the answer could not be read ({type(exc).__name__})")


def _credential(exc: Exception) -> BackendError:
    return AuthenticationFailed(str(exc))


def _own(exc: Exception) -> BackendError:
    text = str(exc)
    if "credential" in text.lower() or "api_key" in text:
        return AuthenticationFailed(text)
    return InvalidRequest(text or type(exc).__name__)


def _by_status(exc: Any) -> BackendError:
    response = exc.response
    if response.is_redirect:  # not followed: the key would go along
        where = response.headers.get("location", "elsewhere")
        return InvalidRequest(f"the backend's URL redirects to {where}", status=response.status_code)
    try:
        body: object = response.json()
    except (ValueError, RuntimeError):  # not JSON, or a stream that was not read
        body = getattr(exc, "body", None) or _text(response)
    return error_from_body(response.status_code, body, retry_after(response.headers))


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
    error = classify_sdk_error(cause)  # type: ignore[arg-type]
    # The SDK wraps what failed before there was a response: a connection that broke then is no broken stream.
    return _connection(cause) if isinstance(error, BrokenStream) else error


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


def _mapped(exc: BaseException) -> bool:
    return any(cls.__name__ in _RULES.get(cls.__module__.partition(".")[0], ()) for cls in type(exc).__mro__)


def classify_sdk_error(exc: Exception) -> BackendError:
    """The error for an exception of openai, httpx2 (or httpx), or JSON decoding.

    Raises `exc` itself if it is none of these: a bug of ours is not an upstream's failure. Raise the result
    `from exc`.
    """
    for cls in type(exc).__mro__:
        rule = _RULES.get(cls.__module__.partition(".")[0], {}).get(cls.__name__)
        if rule is not None:
            return rule(exc)
    _reraise(exc)


def _reraise(exc: Exception) -> NoReturn:
    raise exc


def _why(exc: BaseException) -> str:
    text = str(exc)
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__
