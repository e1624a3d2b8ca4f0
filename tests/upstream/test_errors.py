"""What went wrong at an OpenAI-compatible upstream has one meaning each."""

from __future__ import annotations

import json
import ssl
from email.utils import formatdate
from time import time
from typing import Any

import anyio
import httpx
import httpx2
import openai
import pytest

from chatlab.errors import (
    AuthenticationFailed,
    BackendError,
    BrokenStream,
    ContentFiltered,
    ContextTooLong,
    InvalidRequest,
    ModelNotFound,
    PermissionDenied,
    RateLimited,
    Unavailable,
)
from chatlab.upstream import error_from_body, is_error, retry_after, sentence_of
from chatlab.upstream import error_from_exception as classify_sdk_error

PAGE = "the upstream answered with a web page: Bad gateway"


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "body", "expected", "detail"),
        [
            (401, {"error": {"message": "Bad key", "code": "bad_key"}}, AuthenticationFailed, "Bad key"),
            (403, {"error_code": "PERMISSION_DENIED", "message": "no"}, PermissionDenied, "no"),
            (404, {"detail": "Not Found"}, ModelNotFound, "Not Found"),
            (400, {"error": {"message": "x", "code": "context_length_exceeded"}}, ContextTooLong, "x"),
            (400, {"error": {"message": "x", "code": "content_filter"}}, ContentFiltered, "x"),
            (422, {"detail": [{"msg": "bad"}]}, InvalidRequest, "bad"),
            (500, "<html><title>Bad  gateway</title>", Unavailable, PAGE),
            (500, b"plain", Unavailable, "plain"),
            (500, {"error": "content policy service is down"}, Unavailable, "content policy service is down"),
            (503, None, Unavailable, "the upstream answered 503"),
            (503, "", Unavailable, "the upstream answered 503"),
            (400, [1], InvalidRequest, "[1]"),
        ],
    )  # fmt: skip
    def test_an_error_reply(
        self, status: int, body: object, expected: type[BackendError], detail: str
    ) -> None:
        error = error_from_body(status, body)
        assert (type(error), error.status, error.detail) == (expected, status, detail)

    @pytest.mark.parametrize(
        ("body", "detail"),
        [
            *(({name: "it is asleep"}, "it is asleep") for name in ("result", "text", "content", "why")),
            *(({name: ["it is asleep"]}, "it is asleep") for name in ("non_field_errors", "messages")),
            ({"errors": [{"msg": "it is asleep"}]}, "it is asleep"),
            ({"errors": [{"msg": "it is asleep", "loc": ["body", "n"]}]}, "body.n: it is asleep"),
            ({"messages": [{"level": "error", "text": "it is asleep"}]}, "it is asleep"),
            ({"validation_errors": [{"text": "it is asleep"}]}, "it is asleep"),
            ({"error": "bad_request", "result": "it is asleep"}, "it is asleep"),
            ({"error": True, "userMessage": "it is asleep"}, "it is asleep"),
            ({"error": {"message": {"text": "it is asleep"}}}, "it is asleep"),
            ({"code": 1211, "data": "it is asleep"}, "it is asleep"),
            ({"Fault": {"Reason": {"Text": "it is asleep"}}}, "it is asleep"),
            ({"model": ["it is asleep"], "request_id": "a b"}, "model: it is asleep"),
            ({"error": "asleep", "path": "/a b", "timestamp": "Sun 29 Nov"}, "asleep"),
            ({"message": "Unauthorized", "text": "a prompt of somebody"}, "Unauthorized"),
        ],
    )  # fmt: skip
    def test_the_sentence_of_an_error_reply_is_found_under_any_name(self, body: object, detail: str) -> None:
        assert error_from_body(400, body).detail == detail

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ({"result": "Hello, my friend"}, ""),
            ({"response": "Hello, my friend"}, ""),
            ({"text": "Hello, my friend", "status": "ok"}, ""),
            ({"success": False, "result": "it is asleep"}, "it is asleep"),
            ({"status": "error", "text": "it is asleep"}, "it is asleep"),
        ],
    )
    def test_an_answer_in_no_known_form_is_no_error_unless_it_says_so(self, body: Any, said: str) -> None:
        assert is_error(body) is bool(said)
        assert sentence_of(body) == ""
        if said:
            assert error_from_body(None, body).detail == said

    def test_an_empty_account_is_not_worth_a_retry(self) -> None:
        assert (
            error_from_body(429, {"error": {"message": "x", "code": "insufficient_quota"}}).retryable is False
        )
        assert error_from_body(429, {"error": {"message": "x", "code": "rate_limit"}}).retryable is True

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({}, None),
            ({"retry-after": "3"}, 3.0),
            ({"retry-after": "3", "retry-after-ms": "1500"}, 1.5),
            ({"retry-after": "soon"}, None),
            ({"retry-after": "-1"}, 0.0),
        ],
    )
    def test_how_long_to_wait(self, headers: dict[str, str], seconds: float | None) -> None:
        assert retry_after(headers) == seconds

    def test_how_long_to_wait_as_a_date(self) -> None:
        waited = retry_after({"retry-after": formatdate(time() + 60, usegmt=True)})
        assert waited is not None
        assert 55 < waited <= 60


REQUEST = httpx2.Request("POST", "http://127.0.0.1/v1")


def reply(status: int) -> httpx2.Response:
    body = {"error": {"message": f"said {status}"}}
    return httpx2.Response(status, json=body, headers={"retry-after": "2"}, request=REQUEST)


def made(cls: type[Exception]) -> Exception:
    """An exception of this class, as its library makes it."""
    statuses = {
        "BadRequestError": 400, "AuthenticationError": 401, "OAuthError": 401, "PermissionDeniedError": 403,
        "NotFoundError": 404, "ConflictError": 409, "UnprocessableEntityError": 422, "RateLimitError": 429,
        "InternalServerError": 500, "APIStatusError": 418,
    }  # fmt: skip
    name = cls.__name__
    make: Any = cls
    if name in statuses and cls.__module__.startswith("openai"):
        if name == "APIStatusError" or name not in ("OAuthError",):
            return make("said", response=reply(statuses[name]), body=None)  # type: ignore[no-any-return]
        return make(response=reply(401), body=None)  # type: ignore[no-any-return]
    if name == "HTTPStatusError":
        return make("said", request=REQUEST, response=reply(503))  # type: ignore[no-any-return]
    special: dict[str, Any] = {
        "APIError": lambda: make("odd", REQUEST, body=None),
        "APIConnectionError": lambda: make(request=REQUEST),
        "APITimeoutError": lambda: make(request=REQUEST),
        "APIResponseValidationError": lambda: make(reply(200), None),
        "LengthFinishReasonError": lambda: make(completion=type("C", (), {"usage": None})()),
        "ContentFilterFinishReasonError": lambda: make(),
        "WebSocketConnectionClosedError": lambda: make("closed", unsent_messages=[]),
        "StreamConsumed": lambda: make(),
        "StreamClosed": lambda: make(),
        "ResponseNotRead": lambda: make(),
        "RequestNotRead": lambda: make(),
    }
    return special.get(name, lambda: make("odd"))()  # type: ignore[no-any-return]


# Every exception that the two libraries export, and what it is for chatlab. A new one fails the test below.
MEANING: dict[str, type[BackendError]] = {
    "openai.APIConnectionError": Unavailable,
    "openai.APIError": BrokenStream,
    "openai.APIResponseValidationError": BrokenStream,
    "openai.APIStatusError": InvalidRequest,
    "openai.APITimeoutError": Unavailable,
    "openai.AuthenticationError": AuthenticationFailed,
    "openai.BadRequestError": InvalidRequest,
    "openai.ConflictError": InvalidRequest,
    "openai.ContentFilterFinishReasonError": ContentFiltered,
    "openai.InternalServerError": Unavailable,
    "openai.InvalidWebhookSignatureError": BrokenStream,
    "openai.LengthFinishReasonError": InvalidRequest,
    "openai.NotFoundError": ModelNotFound,
    "openai.OAuthError": AuthenticationFailed,
    "openai.OpenAIError": InvalidRequest,
    "openai.PermissionDeniedError": PermissionDenied,
    "openai.RateLimitError": RateLimited,
    "openai.SubjectTokenProviderError": AuthenticationFailed,
    "openai.UnprocessableEntityError": InvalidRequest,
    "openai.WebSocketConnectionClosedError": BrokenStream,
    "openai.WebSocketQueueFullError": BrokenStream,
    "httpx2.CloseError": BrokenStream,
    "httpx2.ConnectError": Unavailable,
    "httpx2.ConnectTimeout": Unavailable,
    "httpx2.CookieConflict": BrokenStream,
    "httpx2.DecodingError": BrokenStream,
    "httpx2.HTTPError": BrokenStream,
    "httpx2.HTTPStatusError": Unavailable,
    "httpx2.InvalidURL": ModelNotFound,
    "httpx2.LocalProtocolError": ModelNotFound,
    "httpx2.NetworkError": BrokenStream,
    "httpx2.PoolTimeout": Unavailable,
    "httpx2.ProtocolError": BrokenStream,
    "httpx2.ProxyError": Unavailable,
    "httpx2.ReadError": BrokenStream,
    "httpx2.ReadTimeout": Unavailable,
    "httpx2.RemoteProtocolError": BrokenStream,
    "httpx2.RequestError": BrokenStream,
    "httpx2.RequestNotRead": BrokenStream,
    "httpx2.ResponseNotRead": BrokenStream,
    "httpx2.SSEError": BrokenStream,
    "httpx2.StreamClosed": BrokenStream,
    "httpx2.StreamConsumed": BrokenStream,
    "httpx2.StreamError": BrokenStream,
    "httpx2.TimeoutException": Unavailable,
    "httpx2.TooManyRedirects": ModelNotFound,
    "httpx2.TransportError": BrokenStream,
    "httpx2.UnsupportedProtocol": ModelNotFound,
    "httpx2.WriteError": BrokenStream,
    "httpx2.WriteTimeout": Unavailable,
}


def exported() -> dict[str, type[Exception]]:
    found = {}
    for module in (openai, openai._exceptions, httpx2):
        for name in sorted({*vars(module), *getattr(module, "__all__", ())}):
            value = getattr(module, name)
            if isinstance(value, type) and issubclass(value, Exception) and not name.startswith("_"):
                root = value.__module__.partition(".")[0]
                if root in ("openai", "httpx2"):
                    found[f"{root}.{name}"] = value
    return found


def test_every_exception_of_the_sdk_and_its_http_client_has_a_meaning() -> None:
    assert {name: type(classify_sdk_error(made(cls))) for name, cls in exported().items()} == MEANING


@pytest.mark.parametrize(
    ("exc", "expected"),
    [
        (json.JSONDecodeError("x", "y", 0), BrokenStream),
        (UnicodeDecodeError("utf-8", b"x", 0, 1, "y"), BrokenStream),
        (ssl.SSLError("x"), BrokenStream),
        (anyio.EndOfStream(), BrokenStream),
        (ConnectionResetError("x"), BrokenStream),
        (httpx.ConnectError("x"), Unavailable),
        (httpx.ReadError("x"), BrokenStream),
        (openai.OpenAIError("Missing credentials"), AuthenticationFailed),
    ],
)
def test_what_comes_from_below_has_a_meaning(exc: Exception, expected: type[BackendError]) -> None:
    assert type(classify_sdk_error(exc)) is expected


def test_a_bug_of_our_own_is_no_failure_of_the_upstream() -> None:
    with pytest.raises(ZeroDivisionError):
        classify_sdk_error(ZeroDivisionError())


def test_what_the_sdk_wraps_is_judged_by_its_cause() -> None:
    def wrapped(cause: Exception) -> BackendError:
        error = openai.APIConnectionError(request=REQUEST)
        error.__cause__ = cause
        return classify_sdk_error(error)

    assert wrapped(httpx2.ConnectError("refused")).retryable
    assert wrapped(httpx2.ReadError("")).retryable  # before any answer: nothing was received
    assert type(wrapped(httpx2.UnsupportedProtocol("x"))) is ModelNotFound
    assert not wrapped(httpx2.ReadTimeout("")).retryable


def test_a_kept_connection_that_was_just_closed_is_worth_a_retry() -> None:
    error = classify_sdk_error(httpx2.RemoteProtocolError("Server disconnected without sending a response."))
    assert (type(error), error.retryable) == (Unavailable, True)


def test_the_wait_an_error_reply_asks_for_is_kept() -> None:
    error = classify_sdk_error(made(openai.RateLimitError))
    assert (error.status, error.retry_after, error.detail) == (429, 2.0, "said 429")
