"""Failures of Hugging Face endpoints and of the clients that speak to them, as `BackendError`s.

Servers of text-generation-inference (TGI) name what went wrong in `error_type`; on its chat route, while
streaming, it says `http_status_code: 422` of everything, so that only the sentence tells (router/src/infer).
The `text-generation` client hides the HTTP status: there the type of its exception decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from chatlab.errors import (
    AuthenticationFailed,
    BackendError,
    BrokenStream,
    ContextTooLong,
    InvalidRequest,
    ModelNotFound,
    PermissionDenied,
    RateLimited,
    Unavailable,
    classify,
)

_LONGEST_LOADING = 20.0  # seconds; a model that needs longer is asked for again after that
_TOO_LONG = re.compile(r"`?inputs`? (tokens \+|must have less than)|context length|too many tokens", re.I)
_CREDENTIAL = re.compile(r"credential|authoriz|authenticat|\btoken is\b|invalid username or password", re.I)

# TGI's sentences, for where it gives nothing else (InferError in router/src/infer/mod.rs).
_SENTENCES: tuple[tuple[str, str], ...] = (
    ("Model is overloaded", "overloaded"),
    ("Incomplete generation", "incomplete_generation"),
    ("Request failed during generation", "generation"),
    ("Stream event serialization error", "stream_serialization_error"),
    ("Input validation error", "validation"),
)


def error_of_type(error_type: str | None, detail: str, status: int | None = None) -> BackendError:
    """The error for TGI's `error_type`; for an unknown one by its status, then its sentence."""
    detail = detail or f"the endpoint failed ({error_type or 'it does not say why'})"
    if error_type is None:
        error_type = next((kind for start, kind in _SENTENCES if detail.startswith(start)), None)
    if error_type == "overloaded":
        return RateLimited(detail, status=status or 429, retryable=True)
    if error_type == "validation":
        return (ContextTooLong if _TOO_LONG.search(detail) else InvalidRequest)(detail, status=status)
    if error_type in ("template_error", "missing_template_variable", "tool_error"):
        return InvalidRequest(detail, status=status)
    if error_type == "generation":
        return Unavailable(detail, status=status)
    if error_type in ("incomplete_generation", "incomplete_generation_stream", "stream_serialization_error"):
        return BrokenStream(detail, status=status)
    if error_type in ("unhealthy", "healthcheck"):
        return Unavailable(detail, status=status, retryable=True)
    if _TOO_LONG.search(detail):
        return ContextTooLong(detail, status=status)
    return classify(status, detail)


def error_from_chunk(chunk: Mapping[str, Any]) -> BackendError:
    """The error for a failure that came inside a stream, that is, with HTTP status 200."""
    error = chunk.get("error")
    if isinstance(error, Mapping):
        message = error.get("message")
        status = error.get("http_status_code") or error.get("code") or error.get("status")
        return error_of_type(
            chunk.get("error_type"),
            message if isinstance(message, str) else str(dict(error)),
            status if isinstance(status, int) and status >= 400 else None,
        )
    error_type = chunk.get("error_type")
    return error_of_type(error_type if isinstance(error_type, str) else None, str(error))


def error_from_reply(status: int, body: Any, retry_after: float | None = None) -> BackendError:
    """The error for a reply with an HTTP error status. `body`: decoded JSON, text, or None."""
    error_type = None
    if isinstance(body, Mapping):
        error_type = body.get("error_type")
        loading = body.get("estimated_time")
        if status == 503 and isinstance(loading, int | float):
            # The serverless API loads models when they are asked for, and says about how long that takes.
            return Unavailable(
                f"{_sentence(body)}, ready in about {loading:.0f} s",
                status=status,
                retry_after=min(float(loading), _LONGEST_LOADING) if retry_after is None else retry_after,
                retryable=True,
            )
    detail = _sentence(body) or f"the endpoint answered {status}"
    if status == 410:
        return ModelNotFound(detail, status=status)
    if status == 424 and error_type is None:
        return Unavailable(detail, status=status)
    # The status says more than the type, except where the type tells apart what one status stands for.
    if status in (422, 424) or (status == 500 and error_type is not None):
        return error_of_type(error_type, detail, status)
    if _TOO_LONG.search(detail) and 400 <= status < 500 and status not in (401, 403, 404, 429):
        return ContextTooLong(detail, status=status)
    return classify(status, detail, retry_after=retry_after)


def _sentence(body: Any) -> str:
    if isinstance(body, Mapping):
        for key in ("error", "message", "detail", "error_description"):
            value = body.get(key)
            if isinstance(value, Mapping):
                return _sentence(value)
            if isinstance(value, list) and value:
                return "; ".join(str(item) for item in value)
            if isinstance(value, str) and value:
                return value
        return ""
    if isinstance(body, str):
        text = body.strip()
        if text.startswith("<"):  # a proxy's page; its title is the only sentence in it
            title = re.search(r"<title>(.*?)</title>", text, re.I | re.S)
            return title.group(1) if title else ""
        return text
    return ""


# -- exceptions of huggingface_hub and text_generation, by name: neither has to be installed for the other


def _by_status(exc: BaseException) -> BackendError:
    response = getattr(exc, "response", None)
    status = getattr(response, "status_code", None)
    body = getattr(exc, "server_message", None) or str(exc)
    return error_from_reply(status, body) if isinstance(status, int) else Unavailable(str(exc))


def _typed(error_type: str) -> Callable[[BaseException], BackendError]:
    return lambda exc: error_of_type(error_type, str(exc))


def _unknown(exc: BaseException) -> BackendError:
    # The text-generation client raises this for a 401, too, and no longer knows the status.
    detail = str(exc) or "the endpoint failed and does not say why"
    if _CREDENTIAL.search(detail):
        return AuthenticationFailed(detail)
    return error_of_type(None, detail) if _TOO_LONG.search(detail) else Unavailable(detail)


def _as(
    kind: type[BackendError], *, retryable: bool = False, status: int | None = None
) -> Callable[[BaseException], BackendError]:
    return lambda exc: kind(str(exc) or type(exc).__name__, retryable=retryable, status=status)


_MAPPED: Mapping[str, Callable[[BaseException], BackendError]] = {
    # what the server said (both clients)
    "ValidationError": _typed("validation"),
    "GenerationError": _typed("generation"),
    "OverloadedError": _typed("overloaded"),
    "IncompleteGenerationError": _typed("incomplete_generation"),
    "UnknownError": _unknown,
    "TextGenerationError": _unknown,
    # huggingface_hub
    "HfHubHTTPError": _by_status,
    "BadRequestError": lambda exc: error_of_type("validation", str(exc), 400),
    "GatedRepoError": _as(PermissionDenied, status=403),
    "DisabledRepoError": _as(PermissionDenied, status=403),
    "RepositoryNotFoundError": _as(ModelNotFound, status=404),
    "RevisionNotFoundError": _as(ModelNotFound, status=404),
    "EntryNotFoundError": _as(ModelNotFound, status=404),
    "InferenceTimeoutError": _as(Unavailable, retryable=True),
    "InferenceEndpointTimeoutError": _as(Unavailable, retryable=True),
    "InferenceEndpointError": _as(Unavailable),
    "OfflineModeIsEnabled": _as(Unavailable),
    "LocalTokenNotFoundError": _as(AuthenticationFailed),
    "OIDCError": _as(AuthenticationFailed),
    "DeviceCodeError": _as(AuthenticationFailed),
    "HFValidationError": _as(InvalidRequest),
    "HfUriError": _as(InvalidRequest),
    # text_generation
    "ShardNotReadyError": _as(Unavailable, retryable=True),
    "ShardTimeoutError": _as(Unavailable, status=504),
    "NotFoundError": _as(ModelNotFound, status=404),
    "RateLimitExceededError": _as(RateLimited, retryable=True, status=429),
    "NotSupportedError": _as(ModelNotFound),
}
_LIBRARIES = ("huggingface_hub", "text_generation")


def error_from_exception(exc: BaseException) -> BackendError | None:
    """The error for an exception of `huggingface_hub` or `text_generation`; None for an unknown one."""
    for cls in type(exc).__mro__:
        if cls.__module__.partition(".")[0] in _LIBRARIES and cls.__name__ in _MAPPED:
            return _MAPPED[cls.__name__](exc)
    return None
