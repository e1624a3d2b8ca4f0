"""What Hugging Face endpoints and clients can fail with, and what it becomes."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from backends.huggingface import HuggingFaceBackend
from backends.huggingface.calls import prepare
from backends.huggingface.errors import error_from_chunk, error_from_exception, error_from_reply
from backends.huggingface.text import StopFilter, TextStream
from chatlab.backend import CallContext, ChatRequest
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
)
from chatlab.messages import Finish, Message, TextDelta, Usage
from tests.servers.front import Front, drop
from tests.servers.llama import LlamaServer
from tests.servers.tgi import Failure, TgiServer

HAS_CLIENT = importlib.util.find_spec("text_generation") is not None
CHAT: dict[str, Any] = {}
HUB: dict[str, Any] = {"task": "text-generation", "template": "starchat"}
CLIENT = {**HUB, "client": "text-generation"}
ALL = [
    pytest.param(CHAT, id="chat"),
    pytest.param(HUB, id="hub"),
    pytest.param(CLIENT, id="client", marks=pytest.mark.skipif(not HAS_CLIENT, reason="needs the tgi extra")),
]


@pytest.fixture
def tgi(llama: LlamaServer) -> Iterator[TgiServer]:
    with TgiServer(llama) as server:
        yield server
        assert server.problems == []


async def failure_of(url: str, options: dict[str, Any], **parameters: Any) -> tuple[str, BackendError]:
    """The text that came, and what it ended in."""
    backend = HuggingFaceBackend(HuggingFaceBackend.Options.model_validate({"endpoint": url, **options}))
    text = ""
    try:
        with pytest.raises(BackendError) as caught:
            async for event in backend.stream(
                ChatRequest((Message.of("user", "Hello?"),), parameters), CallContext()
            ):
                assert isinstance(event, TextDelta)
                text += event.text
    finally:
        await backend.aclose()
    return text, caught.value


# -- what the server says

IN_STREAM = [
    (Failure("Model is overloaded", "overloaded"), RateLimited, True),
    (Failure("Request failed during generation: CUDA error", "generation"), Unavailable, False),
    (Failure("Incomplete generation stream", "incomplete_generation_stream"), BrokenStream, False),
    (Failure("Incomplete generation", "incomplete_generation"), BrokenStream, False),
    (
        Failure("Input validation error: `top_k` must be strictly positive", "validation"),
        InvalidRequest,
        False,
    ),
    (
        Failure("Input validation error: `inputs` must have less than 9 tokens. Given: 10", "validation"),
        ContextTooLong,
        False,
    ),
    (
        Failure(
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 9. "
            "Given: 5 `inputs` tokens and 8 `max_new_tokens`",
            "validation",
        ),
        ContextTooLong,
        False,
    ),
]


@pytest.mark.parametrize(("failure", "kind", "retryable"), IN_STREAM, ids=lambda value: str(value)[:30])
@pytest.mark.parametrize("options", ALL)
async def test_a_failure_that_comes_with_status_200_is_told_by_its_type_or_its_sentence(
    options: Any, failure: Failure, kind: type[BackendError], retryable: bool, tgi: TgiServer
) -> None:
    tgi.break_after(0, failure)
    text, error = await failure_of(tgi.url, options)
    assert (text, type(error), error.retryable) == ("", kind, retryable)
    assert error.detail == str(failure)


@pytest.mark.parametrize("options", ALL)
async def test_what_came_before_a_failure_was_shown(options: Any, tgi: TgiServer, llama: LlamaServer) -> None:
    tgi.break_after(4, Failure("Request failed during generation: CUDA error", "generation"))
    text, error = await failure_of(tgi.url, options)
    assert text
    assert llama.text.startswith(text)
    assert type(error) is Unavailable


@pytest.mark.parametrize("options", ALL)
async def test_a_connection_that_breaks_in_the_middle_is_a_broken_stream(
    options: Any, tgi: TgiServer
) -> None:
    tgi.break_after(4, drop)
    text, error = await failure_of(tgi.url, options)
    assert text
    assert type(error) is BrokenStream


async def test_the_servers_own_refusal_of_a_prompt_that_is_too_long_is_that(tgi: TgiServer) -> None:
    tgi.max_total_tokens = 1030
    _, error = await failure_of(tgi.url, HUB)
    assert type(error) is ContextTooLong
    assert "1024 `max_new_tokens`" in error.detail


REPLIES: list[tuple[int, Any, type[BackendError], bool]] = [
    (400, {"error": "bad"}, InvalidRequest, False),
    (401, {"error": "Invalid username or password."}, AuthenticationFailed, False),
    (402, {"error": "You have exceeded your monthly included credits"}, PermissionDenied, False),
    (
        403,
        {"error": "This authentication method does not have sufficient permissions"},
        PermissionDenied,
        False,
    ),
    (404, {"error": "Model org/x does not exist"}, ModelNotFound, False),
    (410, {"error": "The requested model is deprecated"}, ModelNotFound, False),
    (422, {"error": "Input validation error: `x`", "error_type": "validation"}, InvalidRequest, False),
    (422, {"error": "Template error: bad", "error_type": "template_error"}, InvalidRequest, False),
    (424, {"error": "Request failed during generation", "error_type": "generation"}, Unavailable, False),
    (424, "the container failed", Unavailable, False),
    (429, {"error": "Model is overloaded", "error_type": "overloaded"}, RateLimited, True),
    (500, {"error": "Incomplete generation", "error_type": "incomplete_generation"}, BrokenStream, False),
    (500, {"error": "Internal"}, Unavailable, False),
    (502, "<html><title>502 Bad Gateway</title></html>", Unavailable, True),
    (503, {"error": "unhealthy", "error_type": "healthcheck"}, Unavailable, True),
    (504, "upstream request timeout", Unavailable, False),
]


@pytest.mark.parametrize(("status", "body", "kind", "retryable"), REPLIES, ids=lambda value: str(value)[:24])
@pytest.mark.parametrize("options", ALL)
async def test_a_reply_with_an_error_status_is_told_by_it(
    options: Any, status: int, body: Any, kind: type[BackendError], retryable: bool, front: Front
) -> None:
    front.fail(status, body)
    _, error = await failure_of(front.url, options)
    assert (type(error), error.status, error.retryable) == (kind, status, retryable)
    if isinstance(body, dict):
        assert error.detail == body["error"]


@pytest.mark.parametrize("options", ALL)
async def test_a_model_that_is_being_loaded_is_asked_for_again_when_it_may_be_ready(
    options: Any, front: Front
) -> None:
    front.fail(503, {"error": "Model org/x is currently loading", "estimated_time": 12.5})
    _, error = await failure_of(front.url, options)
    assert (type(error), error.retryable, error.retry_after) == (Unavailable, True, 12.5)
    assert error.detail == "Model org/x is currently loading, ready in about 12 s"


@pytest.mark.parametrize("options", ALL)
async def test_an_error_page_without_a_length_is_read_all_the_same(options: Any, front: Front) -> None:
    async def busy(_: Request) -> Response:
        async def body() -> AsyncIterator[str]:
            yield '{"error": "slow down"}'

        return StreamingResponse(body(), 429, {"retry-after": "4"}, "application/json")

    front.on("POST", "/", busy).on("POST", "/v1/chat/completions", busy)
    _, error = await failure_of(front.url, options)
    assert (type(error), error.detail, error.retry_after) == (RateLimited, "slow down", 4.0)


def test_a_web_page_is_never_shown_as_a_sentence() -> None:
    error = error_from_reply(502, "<html><title>Bad Gateway</title><script>x</script></html>")
    assert "Bad Gateway" in error.detail
    assert "<" not in error.detail


def test_a_chunk_with_an_unknown_error_is_an_error_still() -> None:
    assert isinstance(error_from_chunk({"error": {"odd": 1}}), BackendError)
    assert isinstance(error_from_chunk({"error": ["odd"]}), BackendError)
    assert error_from_chunk({"error": "odd", "error_type": "new_type"}).detail == "odd"


# -- what the clients raise

# Of huggingface_hub, what no call of a model raises: caches, files, repositories, jobs, the CLI.
NEVER_RAISED_BY_A_CALL = {
    "BucketBatchError", "BucketNotFoundError", "CLIError", "CLIExtensionInstallError", "CacheNotFound",
    "CachedRepoTreeNotFoundError", "ConfirmationError", "CorruptedCacheException", "DDUFCorruptedFileError",
    "DDUFError", "DDUFExportError", "DDUFInvalidEntryNameError", "DryRunError", "FileDuplicationError",
    "FileMetadataError", "IncompleteSnapshotError", "JobNotFoundError", "LocalEntryNotFoundError",
    "NotASafetensorsRepoError", "RemoteEntryNotFoundError", "RevisionResolutionError",
    "SafetensorsParsingError", "SandboxCommandError", "SandboxError", "StrictDataclassClassValidationError",
    "StrictDataclassDefinitionError", "StrictDataclassError", "StrictDataclassFieldValidationError",
    "XetAuthorizationError", "XetDownloadError", "XetError", "XetRefreshTokenError",
}  # fmt: skip


def exceptions_of(module: str) -> list[type[Exception]]:
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        return []
    found = vars(importlib.import_module(module)).values()
    return [
        cls
        for cls in found
        if inspect.isclass(cls) and issubclass(cls, Exception) and cls.__module__ == module
    ]


@pytest.mark.parametrize(
    "cls",
    [*exceptions_of("huggingface_hub.errors"), *exceptions_of("text_generation.errors")],
    ids=lambda cls: f"{cls.__module__.partition('.')[0]}-{cls.__name__}",
)
def test_every_exception_of_the_clients_is_mapped_or_known_to_be_none_of_a_call(cls: type[Exception]) -> None:
    exc = cls.__new__(cls)
    exc.args = ("something happened",)
    error = error_from_exception(exc)
    if cls.__name__ not in NEVER_RAISED_BY_A_CALL:
        assert isinstance(error, BackendError)
        assert "something happened" in error.detail or cls.__name__ in error.detail


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ValidationError", InvalidRequest),
        ("OverloadedError", RateLimited),
        ("GenerationError", Unavailable),
        ("IncompleteGenerationError", BrokenStream),
        ("UnknownError", Unavailable),
        ("GatedRepoError", PermissionDenied),
        ("RepositoryNotFoundError", ModelNotFound),
        ("InferenceTimeoutError", Unavailable),
        ("OfflineModeIsEnabled", Unavailable),
        ("LocalTokenNotFoundError", AuthenticationFailed),
    ],
)
def test_an_exception_of_hub_becomes_what_it_means(name: str, kind: type[BackendError]) -> None:
    from huggingface_hub import errors

    cls = getattr(errors, name)
    exc = cls.__new__(cls)
    exc.args = ("something happened",)
    assert type(error_from_exception(exc)) is kind


def test_an_exception_of_nobody_we_know_is_not_explained_away() -> None:
    assert error_from_exception(RuntimeError("a bug of ours")) is None


async def test_an_exception_while_a_call_is_prepared_becomes_one_of_ours() -> None:
    from huggingface_hub.errors import OverloadedError

    async def overloaded(_: Any) -> None:
        raise OverloadedError("later")

    with pytest.raises(RateLimited):
        await prepare("http://localhost:1", overloaded)


# -- the end of a stream, and stop sequences, whatever the tokens


@given(
    st.text("ab<|>", max_size=30), st.lists(st.text("ab<|>", min_size=1, max_size=4), max_size=3), st.data()
)
def test_a_stop_filter_shows_what_stands_before_the_first_stop_however_the_text_is_cut(
    text: str, stops: list[str], data: st.DataObject
) -> None:
    stop_filter = StopFilter(stops)
    shown, rest = "", text
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        shown += stop_filter.feed(rest[:size])
        # Never more than the text before the earliest stop that is complete so far.
        rest = rest[size:]
        if stop_filter.stopped:
            break
    shown += stop_filter.end()
    read = text[: len(text) - len(rest)]
    ends = [read.find(stop) for stop in stops if stop in read]
    assert shown == (read[: min(ends)] if ends else read)
    assert stop_filter.stopped == bool(ends)


def chunk(text: str, *, special: bool = False, details: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"index": 1, "token": {"id": 1, "text": text, "special": special}, "details": details}


def test_a_special_token_may_be_a_stop_sequence_or_complete_one() -> None:
    stream = TextStream(["\n<|end|>"])
    assert stream.feed(chunk("text\n")) == [TextDelta("text")]
    assert stream.feed(chunk("<|end|>", special=True)) == []
    assert stream.done
    assert stream.end() == [Finish("stop", Usage(output=2))]


def test_a_stream_without_its_last_chunk_is_broken() -> None:
    stream = TextStream()
    stream.feed(chunk("text"))
    with pytest.raises(BrokenStream):
        stream.end()


def test_the_whole_text_in_the_last_chunk_is_not_shown_again() -> None:
    stream = TextStream()
    details = {"finish_reason": "length", "generated_tokens": 2}
    last = {**chunk(" two", details=details), "generated_text": "one two"}
    assert [*stream.feed(chunk("one")), *stream.feed(last), *stream.end()] == [
        TextDelta("one"),
        TextDelta(" two"),
        Finish("length", Usage(input=None, output=2)),
    ]


@pytest.mark.parametrize("odd", [{}, {"token": "x"}, {"token": {"text": 1}}, {"choices": []}])
def test_a_chunk_of_another_protocol_is_no_answer(odd: dict[str, Any]) -> None:
    with pytest.raises(BrokenStream):
        TextStream().feed(odd)


async def test_a_chunk_that_is_not_json_breaks_the_stream_and_is_not_repeated(front: Front) -> None:
    front.stream("/", [f"data:{json.dumps(chunk('So'))}\n\n", "data:{private\n\n"])
    text, error = await failure_of(front.url, HUB)
    assert (text, type(error)) == ("So", BrokenStream)
    assert "private" not in str(error)
