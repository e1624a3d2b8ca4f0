"""Every turn is told to a collector: what it was, how it went, and nothing of what was said."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.responses import PlainTextResponse

import chatlab
from chatlab.backend import CallContext
from chatlab.credentials import one_token
from chatlab.errors import ChatlabError
from tests.servers.databricks import Workspace
from tests.servers.front import Front
from tests.telemetry.collector import Collector, attributes, collector

AGENT = Path(__file__).parents[2] / "configs" / "samples" / "agent.jsonl"
SECRET = "canary-8c1f0e5d2a"


@pytest.fixture
def told() -> Iterator[Collector]:
    with collector() as found:
        yield found


@pytest.fixture
def upstream() -> Iterator[Front]:
    with Front() as front:
        yield front


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return f"data: {json.dumps({'id': 'r1', 'model': 'tiny-1', 'choices': [choice], **more})}\n\n"


USAGE = {
    "prompt_tokens": 7,
    "completion_tokens": 2,
    "total_tokens": 9,
    "prompt_tokens_details": {"cached_tokens": 4},
}
ANSWER = (
    chunk({"content": "Good "}),
    chunk({"content": "day"}),
    chunk({}, "stop"),
    f"data: {json.dumps({'id': 'r1', 'model': 'tiny-1', 'choices': [], 'usage': USAGE})}\n\n",
    "data: [DONE]\n\n",
)


def configured(tmp_path: Path, telemetry: str, upstream: str = "http://127.0.0.1:9/v1") -> Path:
    file = tmp_path / "chatlab.yaml"
    file.write_text(
        f"""
backends:
  tiny: {{kind: openai, model: tiny, base_url: '{upstream}/v1', parameters: {{temperature: 0.5}}, retries: 1}}
  tools: {{kind: replay, recording: '{AGENT}', speed: 20}}
  echo: {{kind: echo}}
  slow: {{kind: echo, rate: 2}}
storage: none
telemetry: {telemetry}
"""
    )
    return file


async def test_a_turn_is_a_span_with_the_names_of_the_conventions(
    tmp_path: Path, told: Collector, upstream: Front
) -> None:
    upstream.stream("/v1/chat/completions", ANSWER)
    file = configured(tmp_path, f"{{otlp: '{told.url}'}}", upstream.url)
    async with chatlab.load(file) as lab:
        answer = await lab.answer("tiny", f"say {SECRET}", conversation_id="c-1")
    assert answer.text == "Good day"
    (span,) = told.named("chat ")
    found = attributes(span)
    assert span.name == "chat tiny" and not span.parent_span_id
    assert found | {"gen_ai.response.time_to_first_chunk": 0.0} == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "tiny",
        "gen_ai.request.stream": True,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.response.model": "tiny-1",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.response.time_to_first_chunk": 0.0,
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 2,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.conversation.id": "c-1",
        "server.address": "127.0.0.1",
        "server.port": int(upstream.url.rpartition(":")[2]),
        "chatlab.backend": "tiny",
        "chatlab.outcome": "finished",
        "chatlab.attempts": 1,
    }
    assert 0 < found["gen_ai.response.time_to_first_chunk"] < 60
    (attempt,) = told.named("attempt 1")
    assert attempt.parent_span_id == span.span_id
    sent = upstream.last.headers["traceparent"]
    assert sent.split("-")[1:3] == [span.trace_id.hex(), span.span_id.hex()]
    assert all(SECRET.encode() not in body for body in told.bodies)


async def test_a_turn_that_fails_says_how_and_each_of_its_attempts_too(
    tmp_path: Path, told: Collector, upstream: Front
) -> None:
    upstream.fail(503, {"error": {"message": f"overloaded by {SECRET}"}}, times=2)
    file = configured(tmp_path, f"{{otlp: '{told.url}'}}", upstream.url)
    async with chatlab.load(file) as lab:
        with pytest.raises(ChatlabError) as raised:
            await lab.answer("tiny", "hello")
    (span,) = told.named("chat ")
    assert raised.value.trace_id == span.trace_id.hex()  # by which the log tells of it
    assert attributes(span)["error.type"] == "503"
    assert attributes(span)["chatlab.outcome"] == "failed" and span.status.code == 2
    attempts = told.named("attempt ")
    assert [one.name for one in attempts] == ["attempt 1", "attempt 2"]
    assert [attributes(one)["error.type"] for one in attempts] == ["503", "503"]
    times = [time for one in attempts for time in (one.start_time_unix_nano, one.end_time_unix_nano)]
    assert len(set(times)) == 4 and times == sorted(times)
    assert span.start_time_unix_nano < times[0] and times[-1] < span.end_time_unix_nano
    assert all(SECRET.encode() not in body for body in told.bodies)


async def test_each_tool_is_a_span_within_its_turn(tmp_path: Path, told: Collector) -> None:
    async with chatlab.load(configured(tmp_path, f"{{otlp: '{told.url}'}}")) as lab:
        await lab.answer("tools", "Will I need an umbrella in Lisbon tomorrow?")
    (span,) = told.named("chat ")
    tools = told.named("execute_tool ")
    assert tools and all(attributes(one)["gen_ai.tool.name"] in one.name for one in tools)
    for one in tools:
        assert one.parent_span_id == span.span_id
        assert span.start_time_unix_nano < one.start_time_unix_nano < one.end_time_unix_nano
        assert one.end_time_unix_nano < span.end_time_unix_nano


async def test_a_turn_that_is_stopped_is_told_as_such(tmp_path: Path, told: Collector) -> None:
    file = configured(tmp_path, f"{{otlp: '{told.url}'}}")
    async with chatlab.load(file) as lab, lab.turn("slow", "one two three four five") as turn:
        async for _ in turn:
            break
    (span,) = told.named("chat ")
    assert attributes(span)["chatlab.outcome"] == "stopped" and "error.type" not in attributes(span)


async def test_turns_are_measured(tmp_path: Path, told: Collector, upstream: Front) -> None:
    upstream.stream("/v1/chat/completions", ANSWER)
    file = configured(tmp_path, f"{{otlp: '{told.url}'}}", upstream.url)
    async with chatlab.load(file) as lab:
        await lab.answer("tiny", "hello")
        await lab.answer("tiny", "hello")
    tokens = {
        attributes(point)["gen_ai.token.type"]: point
        for point in told.metrics["gen_ai.client.token.usage"].histogram.data_points
    }
    assert {kind: (point.count, point.sum) for kind, point in tokens.items()} == {
        "input": (2, 14),
        "output": (2, 4),
    }
    (duration,) = told.metrics["gen_ai.client.operation.duration"].histogram.data_points
    (first,) = told.metrics["gen_ai.client.operation.time_to_first_chunk"].histogram.data_points
    assert duration.count == first.count == 2 and 0 < first.sum <= duration.sum
    (running,) = told.metrics["chatlab.turns.running"].sum.data_points
    assert running.as_int == 0


async def test_whoever_reads_the_measurements_sees_how_many_turns_run(tmp_path: Path) -> None:
    async with chatlab.load(configured(tmp_path, "{prometheus: ['127.0.0.1']}")) as lab:
        assert lab.telemetry is not None and lab.telemetry.metrics is not None
        async with lab.turn("slow", "one two three four five"), lab.turn("slow", "one two three"):
            running = lab.telemetry.metrics()
        ended = lab.telemetry.metrics()
    assert re.search(rb'chatlab_turns_running{[^}]*chatlab_backend="slow"[^}]*} 2.0', running)
    assert re.search(rb'chatlab_turns_running{[^}]*chatlab_backend="slow"[^}]*} 0.0', ended)


def test_blocking_calls_are_told_and_measured_by_the_lab_they_belong_to(
    tmp_path: Path, told: Collector
) -> None:
    with chatlab.load(configured(tmp_path, f"{{otlp: '{told.url}', prometheus: ['127.0.0.1']}}")) as lab:
        assert lab.answer_blocking("echo", "hello").text == "hello"
        assert lab.telemetry is not None and lab.telemetry.metrics is not None
        assert b"gen_ai_client_operation_duration_seconds_count{" in lab.telemetry.metrics()
    assert len(told.named("chat ")) == 1
    (duration,) = told.metrics["gen_ai.client.operation.duration"].histogram.data_points
    assert duration.count == 1
    lab.telemetry.close()  # or it would send measurements for as long as this process lives


async def test_a_comparison_or_whatever_else_runs_turns_is_their_parent(
    tmp_path: Path, told: Collector
) -> None:
    file = configured(tmp_path, f"{{otlp: '{told.url}'}}")
    async with chatlab.load(file) as lab:
        assert lab.telemetry is not None
        with lab.telemetry.observer.tracer.start_as_current_span("a run"):
            await asyncio.gather(lab.answer("echo", "a"), lab.answer("echo", "b"))
    (run,) = told.named("a run")
    assert {span.parent_span_id for span in told.named("chat ")} == {run.span_id}


async def test_what_is_measured_names_the_trace_around_its_turn_and_no_other(
    tmp_path: Path, told: Collector
) -> None:
    file = configured(tmp_path, f"{{otlp: '{told.url}'}}")
    async with chatlab.load(file) as lab:
        assert lab.telemetry is not None
        with lab.telemetry.observer.tracer.start_as_current_span("a run"):
            await lab.answer("echo", "hello")
        await lab.answer("tools", "Will I need an umbrella in Lisbon tomorrow?")
    (run,) = told.named("a run")
    points = told.metrics["gen_ai.client.operation.duration"].histogram.data_points
    named = {
        attributes(point)["chatlab.backend"]: [one.trace_id for one in point.exemplars] for point in points
    }
    assert named == {"echo": [run.trace_id], "tools": []}


async def test_a_turn_is_told_while_its_lab_goes_on(
    tmp_path: Path, told: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")  # milliseconds until what is told is sent
    file = configured(tmp_path, f"{{otlp: '{told.url}'}}")
    async with asyncio.timeout(60), chatlab.load(file) as lab:
        await lab.answer("echo", "hello")
        while not told.named("chat "):
            await asyncio.sleep(0.05)


async def test_an_answer_does_not_wait_for_a_collector_that_is_away(tmp_path: Path) -> None:
    file = configured(tmp_path, "{otlp: 'http://127.0.0.1:9'}")
    async with asyncio.timeout(60):
        async with chatlab.load(file) as lab:
            for _ in range(20):
                assert (await lab.answer("echo", "hello")).text
    left = [one for one in threading.enumerate() if one.name == "telemetry's last"]
    for one in left:
        one.join(2)
    assert not any(one.is_alive() for one in left), "it tries again after its lab was closed"


async def test_the_headers_of_a_collector_are_given_by_reference(
    tmp_path: Path, told: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = configured(tmp_path, f"{{otlp: '{told.url}', headers: {{x-key: {{env: COLLECTOR}}}}}}")
    monkeypatch.delenv("COLLECTOR", raising=False)
    with pytest.raises(ChatlabError, match=r"telemetry\.headers\.x-key: set COLLECTOR"):
        chatlab.load(file)
    monkeypatch.setenv("COLLECTOR", SECRET)
    async with chatlab.load(file) as lab:
        await lab.answer("echo", "hello")
    assert told.headers and all(one["x-key"] == SECRET for one in told.headers)


@pytest.mark.parametrize("told_of", ["", "telemetry: {}"], ids=["off", "on"])
def test_off_nothing_of_it_is_imported(tmp_path: Path, told_of: str) -> None:
    file = tmp_path / "chatlab.yaml"
    file.write_text(f"backends: {{echo: {{kind: echo}}}}\nstorage: none\n{told_of}\n")
    code = (
        "import sys, chatlab\n"
        f"with chatlab.load({str(file)!r}) as lab: lab.answer_blocking('echo', 'hello')\n"
        "print('opentelemetry.sdk' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True
    )
    assert ran.stdout.split() == [str(bool(told_of))]


async def test_no_trace_has_the_token_or_the_name_of_whoever_asks(tmp_path: Path, told: Collector) -> None:
    with Workspace() as workspace:

        async def reply(*_: Any) -> PlainTextResponse:
            return PlainTextResponse("no", 500)

        workspace.serve("agent", "llm/v1/chat", reply)
        token = workspace.person("ann@example.com")
        file = tmp_path / "chatlab.yaml"
        file.write_text(
            f"backends: {{agent: {{kind: databricks, host: '{workspace.url}', endpoint: agent, task: chat, "
            f"auth: {{type: user}}, retries: 0}}}}\nstorage: none\ntelemetry: {{otlp: '{told.url}'}}\n"
        )
        ctx = CallContext(identity="ann@example.com", credential=one_token(SecretStr(token)))
        async with chatlab.load(file) as lab:
            with pytest.raises(ChatlabError):
                async with lab.turn("agent", "hello", ctx=ctx) as turn:
                    async for _ in turn:
                        pass
        assert [seen.headers["authorization"] for seen in workspace.invocations("agent")] == [
            f"Bearer {token}"
        ]
    assert told.named("chat ")
    for secret in (token, "ann@example.com"):
        assert all(secret.encode() not in body for body in told.bodies)
