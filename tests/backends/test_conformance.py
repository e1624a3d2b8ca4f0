"""The contract of a backend, held against every way of every kind, each with a real upstream on loopback."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from backends import KINDS
from chatlab.backend import Backend, CallContext, ChatRequest, Mark, current_call
from chatlab.config.registry import backend_class
from chatlab.errors import (
    AuthenticationFailed,
    BackendError,
    BrokenStream,
    ContextTooLong,
    InvalidRequest,
    MissingExtra,
    ModelNotFound,
    PermissionDenied,
    RateLimited,
    Unavailable,
)
from chatlab.messages import Finish, StreamEvent, TextDelta
from tests.backends.rig import FAULTS, Fault, Rig, rigs
from tests.folded import accumulate
from tests.servers.llama import LlamaServer

RIGS = rigs()
SEEN_WITHIN = 5.0  # seconds; how long a test waits for the upstream to notice
AT_ONCE = 1.0  # seconds; what counts as at once on a busy machine

# What each fault must be raised as: class, status, retry_after, retryable.
EXPECTED: dict[Fault, tuple[type[BackendError], int | None, float | None, bool]] = {
    "unauthenticated": (AuthenticationFailed, 401, None, False),
    "forbidden": (PermissionDenied, 403, None, False),
    "not_found": (ModelNotFound, 404, None, False),
    "rate_limited": (RateLimited, 429, 7.0, True),
    "bad_request": (InvalidRequest, 400, None, False),
    "server_error": (Unavailable, 500, None, False),
    "unavailable": (Unavailable, 503, 3.0, True),
    "refused": (Unavailable, None, None, True),
    "truncated": (BrokenStream, None, None, False),
    "dropped": (BrokenStream, None, None, False),
    "malformed": (BrokenStream, None, None, False),
}
IN_STREAM = ("truncated", "dropped", "malformed", "error_in_stream")


def each(*needs: str) -> pytest.MarkDecorator:
    """Runs a test for every rig that has what the test needs."""
    return pytest.mark.parametrize(
        "rig",
        [
            pytest.param(rig, id=rig.name, marks=rig.marks)
            for rig in RIGS
            if not any(need in rig.without for need in needs)
        ],
        indirect=True,
    )


@pytest.fixture
def rig(
    request: pytest.FixtureRequest, llama: LlamaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Rig]:
    cls: type[Rig] = request.param
    for module in cls.needs:
        pytest.importorskip(module, reason=f"{cls.name} needs {module}")
    with cls(llama, tmp_path, monkeypatch) as opened:
        yield opened


@pytest.fixture
async def backend(rig: Rig) -> AsyncIterator[Backend]:
    made = rig.backend()
    yield made
    await made.aclose()


async def collect(backend: Backend, request: ChatRequest, ctx: CallContext) -> list[StreamEvent]:
    """All events of a call, made as `run_turn` makes it."""
    token = current_call.set(ctx)
    try:
        return [event async for event in backend.stream(request, ctx)]
    finally:
        current_call.reset(token)


def test_every_kind_has_a_rig() -> None:
    assert {rig.kind for rig in RIGS} == set(KINDS)


def test_what_a_rig_is_without_has_a_name_and_a_reason() -> None:
    known = {*FAULTS, "close", "silence", "concurrency", "request", "deltas", "marks"}
    for rig in RIGS:
        assert set(rig.without) <= known, rig.name
        assert all(len(reason.split()) > 2 for reason in rig.without.values()), rig.name


@each()
async def test_the_deltas_join_to_the_exact_text(rig: Rig, backend: Backend) -> None:
    events = await collect(backend, rig.request(), rig.context())
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == rig.text


@each("deltas")
async def test_a_delta_is_only_what_is_new(rig: Rig, backend: Backend) -> None:
    events = await collect(backend, rig.request(), rig.context())
    deltas = [event.text for event in events if isinstance(event, TextDelta)]
    assert len(deltas) > 3
    assert all(deltas)
    assert sum(map(len, deltas)) == len(rig.text)


@each()
async def test_exactly_one_finish_comes_last(rig: Rig, backend: Backend) -> None:
    events = await collect(backend, rig.request(), rig.context())
    assert [isinstance(event, Finish) for event in events] == [False] * (len(events) - 1) + [True]
    assert accumulate(events).finish is not None


@each()
async def test_a_backend_answers_again_and_again(rig: Rig, backend: Backend) -> None:
    first = await collect(backend, rig.request(), rig.context())
    second = await collect(backend, rig.request(), rig.context())
    assert accumulate(first).message == accumulate(second).message


@each("request")
async def test_the_request_goes_out_field_by_field(rig: Rig, backend: Backend) -> None:
    await collect(backend, rig.request(), rig.context())
    rig.check_sent()


@each("marks")
async def test_credentials_and_connection_are_marked_before_the_first_event(
    rig: Rig, backend: Backend
) -> None:
    marks: list[Mark] = []
    given = rig.context()
    ctx = CallContext(given.identity, given.credential, given.connect_timeout, marks.append)
    token = current_call.set(ctx)
    try:
        async for _ in backend.stream(rig.request(), ctx):
            break
    finally:
        current_call.reset(token)
    assert list(dict.fromkeys(marks)) == ["credentials", "connected"]


@pytest.mark.parametrize(
    ("rig", "fault"),
    [
        pytest.param(rig, fault, id=f"{rig.name}-{fault}", marks=rig.marks)
        for rig in RIGS
        for fault in FAULTS
        if fault not in rig.without
    ],
    indirect=["rig"],
)
async def test_a_fault_is_raised_as_what_it_is(rig: Rig, fault: Fault) -> None:
    rig.arrange(fault)
    backend = rig.backend()
    events: list[StreamEvent] = []
    with pytest.raises(BackendError) as caught:
        async for event in backend.stream(rig.request(), rig.context()):
            events.append(event)
    await backend.aclose()
    error = caught.value
    if fault == "context_too_long":
        assert type(error) is ContextTooLong
        assert error.retryable is False
    elif fault == "error_in_stream":
        assert isinstance(error, rig.error_in_stream)
    else:
        expected = EXPECTED[fault]
        if fault == "unauthenticated":
            expected = (rig.unauthenticated, *expected[1:])
        assert (type(error), error.status, error.retry_after, error.retryable) == expected, error
    assert not any(isinstance(event, Finish) for event in events)
    if fault in IN_STREAM:
        assert any(isinstance(event, TextDelta) for event in events), "what had arrived was lost"
    assert len(str(error).splitlines()) == 1
    for secret in rig.secrets:
        assert secret not in "".join((str(error), repr(error), error.detail))


@each("close")
async def test_closing_the_generator_closes_the_upstream(rig: Rig, backend: Backend) -> None:
    stream = backend.stream(rig.endless(), rig.context())
    async for event in stream:
        if isinstance(event, TextDelta):
            break
    left = time.perf_counter()
    await stream.aclose()  # type: ignore[attr-defined]
    assert await rig.saw_close(SEEN_WITHIN) - left < AT_ONCE


@each("close")
async def test_cancelling_the_task_closes_the_upstream(rig: Rig, backend: Backend) -> None:
    streaming = asyncio.Event()

    async def read() -> None:
        async for event in backend.stream(rig.endless(), rig.context()):
            if isinstance(event, TextDelta):
                streaming.set()

    task = asyncio.create_task(read())
    await asyncio.wait_for(streaming.wait(), SEEN_WITHIN)
    left = time.perf_counter()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await rig.saw_close(SEEN_WITHIN) - left < AT_ONCE


@each("close", "silence")
async def test_cancelling_while_the_upstream_is_silent_closes_it(rig: Rig, backend: Backend) -> None:
    rig.silence()
    task = asyncio.create_task(collect(backend, rig.request(), rig.context()))
    await rig.arrived(SEEN_WITHIN)
    left = time.perf_counter()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await rig.saw_close(SEEN_WITHIN) - left < AT_ONCE


@each("close")
async def test_a_backend_answers_after_a_call_was_left(rig: Rig, backend: Backend) -> None:
    stream = backend.stream(rig.endless(), rig.context())
    async for event in stream:
        if isinstance(event, TextDelta):
            break
    await stream.aclose()  # type: ignore[attr-defined]
    await rig.saw_close(SEEN_WITHIN)
    assert accumulate(await collect(backend, rig.request(), rig.context())).message.text == rig.text


@each("concurrency")
async def test_calls_at_once_never_mix(rig: Rig, backend: Backend) -> None:
    calls = rig.calls()
    assert len(calls) > 1
    answers = await asyncio.gather(
        *(asyncio.create_task(collect(backend, call.request, call.ctx)) for call in calls)
    )
    for call, events in zip(calls, answers, strict=True):
        assert accumulate(events).message.text == call.text
        call.check()


@each()
async def test_no_secret_is_seen_by_whoever_reads_logs_and_reprs(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        for name in list(logging.root.manager.loggerDict):
            if logging.getLogger(name).level:  # one that was set would hide what it logs
                caplog.set_level(logging.DEBUG, name)
        backend = rig.backend()
        read: list[Any] = [await collect(backend, rig.request(), rig.context()), backend, backend.options]
        if "unauthenticated" not in rig.without:
            rig.arrange("unauthenticated")
            refused = rig.backend()
            with pytest.raises(BackendError) as caught:
                await collect(refused, rig.request(), rig.context())
            read += [caught.value, refused, "".join(traceback.format_exception_only(caught.value))]
            await refused.aclose()
        await backend.aclose()
    written = caplog.text + repr(read) + str(read)
    for secret in rig.secrets:
        assert secret not in written


BLOCKED = """
import importlib.abc, json, sys

class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

kind, blocked, options = json.load(sys.stdin)
sys.meta_path.insert(0, Block())
from chatlab.config.registry import backend_class
cls = backend_class(kind)
options = cls.Options.model_validate(options)
capabilities = cls.capabilities(options)
print(json.dumps([cls.not_ready(options), [parameter.name for parameter in capabilities.parameters]]))
"""


@pytest.mark.parametrize(
    "rig", {rig.kind: pytest.param(rig, id=rig.kind) for rig in reversed(RIGS)}.values(), indirect=True
)
def test_a_kind_is_listed_and_its_options_are_checked_without_its_sdk(rig: Rig) -> None:
    cls = backend_class(rig.kind)
    blocked = sorted({module.partition(".")[0] for module in cls.modules})
    ran = subprocess.run(
        [sys.executable, "-c", BLOCKED],
        input=json.dumps([rig.kind, blocked, rig.options()]),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    reason, parameters = json.loads(ran.stdout)
    options = cls.Options.model_validate(rig.options())
    assert parameters == [parameter.name for parameter in cls.capabilities(options).parameters]
    assert reason == (str(MissingExtra(rig.kind, cls.extra, cls.modules[0])) if blocked else None)
