"""A worker of a Ray cluster, asked as Ray asks it, in this process."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from chatlab import __version__
from chatlab.compare.batch.budget import Estimate
from chatlab.compare.batch.engines.ray_worker import (
    NeedsMore,
    RayWorker,
    Reply,
    WorkerCall,
    WorkerRan,
    WorkerSetup,
)
from chatlab.config.load import load_config
from chatlab.messages import FilePart, Message, TextPart
from tests.compare.batch.upstream import PATH, Upstream
from tests.servers.front import Front
from tests.telemetry.collector import collector
from tests.web.pages import chunks, says

KEY = "sk-0123456789abcdefghij"


@pytest.fixture
def front() -> Iterator[Front]:
    with Front() as server:
        yield server


def worker(folder: Path, *backends: str, more: str = "") -> RayWorker:
    """Return one that was given its configuration as Ray gives it, with all that is configured to call."""
    (folder / "lab.yaml").write_text("\n  ".join(("backends:", *backends)) + "\n" + more)
    config = load_config(folder / "lab.yaml")
    setup = WorkerSetup(tuple(config.backends), dict(config.backends), config.system, config.telemetry)
    return RayWorker(pickle.loads(pickle.dumps(setup)))


def call(text: str = "hello", estimate: Estimate | None = None, file: FilePart | None = None) -> WorkerCall:
    parts = (TextPart(text),) if file is None else (TextPart(text), file)
    return WorkerCall("a", (Message("user", parts),), {}, None, estimate, 1.0, {})


def ran(reply: Reply) -> WorkerRan:
    """Return a reply that says how a call ended, as it arrives."""
    again = pickle.loads(pickle.dumps(reply))
    assert isinstance(again, WorkerRan)
    return again


async def test_a_worker_says_what_keeps_it_from_making_calls(tmp_path: Path) -> None:
    without = worker(tmp_path, "a: {kind: openai, model: m, api_key: {env: NOBODY_SETS_THIS}}")
    version, problems = await without.ready()
    assert version == __version__
    assert problems == ("a is not ready: set NOBODY_SETS_THIS",)
    assert await worker(tmp_path, "a: {kind: echo}").ready() == (__version__, ())


async def test_a_call_goes_on_with_what_is_set_aside_and_is_ended_without(
    tmp_path: Path, front: Front
) -> None:
    go_on = threading.Event()
    front.on("POST", PATH, says(chunks(["one", " two", " three", " four"]), go_on, after=2))
    one = worker(tmp_path, f'a: {{kind: openai, model: m, base_url: "{front.url}/v1"}}')
    estimate = Estimate(0.0, 1, 1.0)  # of an answer of one token, at 1 each
    assert await one.begin("1", call(estimate=estimate)) == NeedsMore(2.0)
    go_on.set()
    whole = ran(await one.go_on("1", 10.0))
    assert (whole.turn["outcome"], whole.turn["answer"].message.text) == ("finished", "one two three four")
    go_on.clear()
    assert await one.begin("2", call(estimate=estimate)) == NeedsMore(2.0)
    assert ran(await one.go_on("2", None)).turn["outcome"] == "stopped"
    await one.close()


async def test_a_call_that_is_stopped_has_its_upstream_closed(tmp_path: Path, front: Front) -> None:
    Upstream(front).hold_after = 0
    one = worker(tmp_path, f'a: {{kind: openai, model: m, base_url: "{front.url}/v1"}}')
    begun = asyncio.create_task(one.begin("1", call()))
    while not front.requests:
        await asyncio.sleep(0.01)
    await one.stop("1")
    assert await asyncio.to_thread(front.requests[0].closed.wait, 5)
    begun.cancel()
    await one.close()


async def test_an_error_leaves_the_worker_without_the_key_that_it_alone_knows(
    tmp_path: Path, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_WORKER", KEY)
    upstream = Upstream(front)
    upstream.fails = lambda body: True
    upstream.refusal = f"the key {KEY} is not good"
    one = worker(
        tmp_path,
        f'a: {{kind: openai, model: m, base_url: "{front.url}/v1", api_key: {{env: OF_THE_WORKER}}}}',
    )
    await one.ready()
    reply = await one.begin("1", call())
    assert KEY.encode() not in pickle.dumps(reply)
    error = ran(reply).turn["error"]
    assert type(error).__name__ == "InvalidRequest" and error.status == 400 and error.backend == "a"
    assert error.sentence.endswith("is not good (change the message or the parameters)")
    await one.close()


async def test_attached_files_come_with_their_content_and_stay_at_the_worker(tmp_path: Path) -> None:
    one = worker(tmp_path, "a: {kind: echo}")
    file = FilePart("text/plain", "notes.txt", data=b"the content of notes")
    reply = await one.begin("1", call(file=file))
    assert b"the content of notes" not in pickle.dumps(ran(reply).turn["request"].messages[0].parts[1:])
    await one.close()


async def test_a_worker_tells_of_its_turns_within_the_trace_of_the_run(tmp_path: Path) -> None:
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with collector() as told:
        one = worker(tmp_path, "a: {kind: echo}", more=f"telemetry: {{otlp: '{told.url}'}}\n")
        await one.ready()
        await one.begin("1", replace(call(), trace={"traceparent": f"00-{trace}-{span}-01"}))
        await one.begin("2", call())
        await one.close()
    found = {(turn.trace_id.hex(), turn.parent_span_id.hex()) for turn in told.named("chat ")}
    assert len(found) == 2 and (trace, span) in found
