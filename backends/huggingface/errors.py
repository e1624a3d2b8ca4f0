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
    InvalidRequest,
    ModelNotFound,
    PermissionDenied,
    RateLimited,
    Unavailable,
    classify,
)
from chatlab.upstream import error_from_body

_LONGEST_LOADING = 20.0  # seconds; a model that needs longer is asked for again after that

# TGI's sentences, for where it gives nothing else (InferError in router/src/infer/mod.rs).
_SENTENCES: tuple[tuple[str, str], ...] = (
    ("Model is overloaded", "overloaded"),
    ("Incomplete generation", "incomplete_generation"),
    ("Request failed during generation", "generation"),
    ("Stream event serialization error", "stream_serialization_error"),
    ("Input validation error", "validation"),
)
_REFUSED = ("validation", "template_error", "missing_template_variable", "tool_error")
_CREDENTIAL = re.compile(r"credential|authoriz|authenticat|\btoken is\b|username or password", re.I)
_BROKEN = ("incomplete_generation", "incomplete_generation_stream", "stream_serialization_error")


def error_of_type(error_type: str, detail: str, status: int | None = None) -> BackendError | None:
    """Return the error for one of TGI's `error_type`s; None for an unknown one."""
    detail = detail or f"the endpoint failed ({error_type})"
    if error_type == "overloaded":
        return RateLimited(detail, status=status or 429, retryable=True)
    if error_type in _REFUSED:
        return classify(status or 422, detail)
    if error_type == "generation":
        return Unavailable(detail, status=status)
    if error_type in _BROKEN:
        return BrokenStream(detail, status=status)
    if error_type == "healthcheck":
        return Unavailable(detail, status=status, retryable=True)
    return None


def error_from_chunk(chunk: Mapping[str, Any]) -> BackendError:
    """Return the error for a failure that came inside a stream, that is, with HTTP status 200."""
    error, error_type = chunk.get("error"), chunk.get("error_type")
    if isinstance(error, Mapping):
        error = error.get("message")
    if isinstance(error, str):
        if not isinstance(error_type, str):
            error_type = next((kind for start, kind in _SENTENCES if error.startswith(start)), "")
        known = error_of_type(error_type, error)
        if known is not None:
            return known
    return error_from_body(None, chunk)


def error_from_reply(status: int, body: Any, retry_after: float | None = None) -> BackendError:
    """Return the error for a reply with an HTTP error status. `body`: decoded JSON, text, or None."""
    known = None
    if isinstance(body, Mapping):
        loading = body.get("estimated_time")
        if status == 503 and isinstance(loading, int | float):
            # The serverless API loads models when they are asked for, and says about how long that takes.
            return Unavailable(
                f"{body.get('error') or 'the model is loading'}, ready in about {loading:.0f} s",
                status=status,
                retry_after=min(float(loading), _LONGEST_LOADING) if retry_after is None else retry_after,
                retryable=True,
            )
        if status in (422, 424, 429, 500):
            known = error_of_type(str(body.get("error_type")), str(body.get("error") or ""), status)
    error = known or error_from_body(status, body, retry_after)
    if status == 410:  # what a provider says of a model that it served once
        return ModelNotFound(error.detail, status=status)
    if status == 402:  # the account's credits are used up
        return PermissionDenied(error.detail, status=status)
    if status == 424 and known is None:  # a container behind an endpoint that failed
        return Unavailable(error.detail, status=status)
    error.retry_after = retry_after
    return error


# -- exceptions of huggingface_hub and text_generation, by name: neither has to be installed for the other


def _by_status(exc: BaseException) -> BackendError:
    response = getattr(exc, "response", None)
    status = getattr(response, "status_code", None)
    body = getattr(exc, "server_message", None) or str(exc)
    return error_from_reply(status, body) if isinstance(status, int) else Unavailable(str(exc))


def _typed(error_type: str) -> Callable[[BaseException], BackendError]:
    return lambda exc: error_of_type(error_type, str(exc)) or Unavailable(str(exc))


def _unknown(exc: BaseException) -> BackendError:
    # The text-generation client raises this for a 401, too, and no longer knows the status.
    detail = str(exc) or "the endpoint failed and does not say why"
    if _CREDENTIAL.search(detail):
        return AuthenticationFailed(detail)
    return Unavailable(detail)


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
    "BadRequestError": lambda exc: classify(400, str(exc)),
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
    """Return the error for an exception of `huggingface_hub` or `text_generation`; None for an
    unknown one.
    """
    for cls in type(exc).__mro__:
        if cls.__module__.partition(".")[0] in _LIBRARIES and cls.__name__ in _MAPPED:
            return _MAPPED[cls.__name__](exc)
    return None
