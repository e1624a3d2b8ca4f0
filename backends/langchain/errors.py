"""Makes one of chatlab's errors of what LangChain, a graph or a person's own object raises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backends._openai_wire import NO_ANSWER, classify_sdk_error
from chatlab.errors import (
    AuthenticationFailed,
    BackendError,
    BrokenStream,
    ChatlabError,
    ContentFiltered,
    ContextTooLong,
    InvalidRequest,
    ModelNotFound,
    PermissionDenied,
    RateLimited,
    Unavailable,
    classify,
)
from chatlab.upstream import error_before_answer

# By package and class name, so that nothing has to be imported; a class that is not named is what its nearest
# named base is. LangChain's own classes stand for HTTP statuses, as its documentation says.
_RULES: Mapping[tuple[str, str], tuple[type[BackendError], int | None, bool]] = {
    ("langchain_core", "ContextOverflowError"): (ContextTooLong, 400, False),
    ("langchain_core", "ModelAuthenticationError"): (AuthenticationFailed, 401, False),
    ("langchain_core", "ModelPermissionDeniedError"): (PermissionDenied, 403, False),
    ("langchain_core", "ModelInvalidRequestError"): (InvalidRequest, 400, False),
    ("langchain_core", "ModelNotFoundError"): (ModelNotFound, 404, False),
    ("langchain_core", "ModelRateLimitError"): (RateLimited, 429, True),
    ("langchain_core", "ModelRefusalError"): (ContentFiltered, None, False),
    ("langchain_core", "ModelAPIError"): (Unavailable, None, False),
    ("langchain_core", "ModelConnectionError"): (Unavailable, None, True),
    ("langchain_core", "ModelTimeoutError"): (Unavailable, None, False),
    ("langgraph", "GraphRecursionError"): (InvalidRequest, None, False),
    ("langgraph", "EmptyInputError"): (InvalidRequest, None, False),
    ("requests", "ConnectTimeout"): (Unavailable, None, True),
    ("requests", "ReadTimeout"): (Unavailable, None, False),
    ("requests", "ChunkedEncodingError"): (BrokenStream, None, False),
    ("requests", "ConnectionError"): (Unavailable, None, True),
    ("requests", "Timeout"): (Unavailable, None, False),
    ("urllib3", "NewConnectionError"): (Unavailable, None, True),
    ("urllib3", "ProtocolError"): (BrokenStream, None, False),
    ("aiohttp", "ClientConnectorError"): (Unavailable, None, True),
    ("aiohttp", "ClientPayloadError"): (BrokenStream, None, False),
    ("botocore", "NoCredentialsError"): (AuthenticationFailed, None, False),
    ("botocore", "EndpointConnectionError"): (Unavailable, None, True),
    ("builtins", "ConnectionRefusedError"): (Unavailable, None, True),
    ("builtins", "TimeoutError"): (Unavailable, None, False),
}


# A connection that broke under an answer, as clients call it. They wrap it in what they also raise for one
# that could not be opened.
_BROKE = (
    "RemoteProtocolError",
    "ReadError",
    "IncompleteRead",
    "ConnectionResetError",
    "ChunkedEncodingError",
)


_NOTHING = "No generation chunks were returned"  # LangChain's words for a stream without a single chunk


def classify_langchain(exc: Exception, *, begun: bool, alone: bool = False) -> ChatlabError:
    """Return the error for any exception, to be raised `from exc`; chatlab's own are returned as they are.

    begun: whether something of the answer had arrived, so that a connection which broke, broke the stream.
    alone: whether all that was done is one call of a model, so that it may be done again.

    An exception nobody knows was raised by the object itself: it is not worth a retry, and its type is named,
    so that whoever wrote the object finds it.
    """
    if isinstance(exc, ChatlabError):
        return exc
    if begun and _broke(exc):
        return BrokenStream(_detail(exc))
    if alone and _broke(exc):
        return error_before_answer(exc)
    if isinstance(exc, ValueError) and str(exc) == _NOTHING:
        return BrokenStream(NO_ANSWER)
    try:
        return classify_sdk_error(exc)
    except Exception as same:
        if same is not exc:
            raise
    detail = _detail(exc)
    status = _status(exc)
    if status is not None and status >= 400:
        return classify(status, detail, retry_after=_retry_after(exc))
    for cls in type(exc).__mro__:
        rule = _RULES.get((cls.__module__.partition(".")[0], cls.__name__))
        if rule is not None:
            found, implied, retryable = rule
            return found(detail, status=implied, retryable=retryable)
    return Unavailable(detail)


def _broke(exc: BaseException | None) -> bool:
    while exc is not None:
        if type(exc).__name__ in _BROKE:
            return True
        exc = exc.__cause__
    return False


def _detail(exc: Exception) -> str:
    text = str(exc)
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__


def _status(exc: Any) -> int | None:
    """Return the HTTP status that most libraries' exceptions carry somewhere."""
    response = getattr(exc, "response", None)
    metadata = response.get("ResponseMetadata", {}) if isinstance(response, Mapping) else {}  # botocore
    for found in (
        getattr(exc, "status_code", None),
        getattr(response, "status_code", None),
        getattr(exc, "http_status", None),
        getattr(exc, "status", None),
        getattr(exc, "code", None),
        metadata.get("HTTPStatusCode"),
    ):
        if isinstance(found, int) and 100 <= found < 600:
            return int(found)
    return None


def _retry_after(exc: Any) -> float | None:
    headers = getattr(getattr(exc, "response", None), "headers", None)
    try:
        return max(0.0, float(headers["retry-after"])) if headers is not None else None
    except (KeyError, TypeError, ValueError):
        return None
