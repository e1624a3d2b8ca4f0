"""A ResponsesAgent on MLflow's own agent server, behind the workspace-shaped front: the real peer."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import textwrap
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from chatlab.backend import CallContext, ChatRequest
from chatlab.errors import BackendError
from chatlab.messages import (
    Citation,
    Finish,
    Message,
    Notice,
    ReasoningPart,
    TextDelta,
    TextPart,
    ToolCall,
    ToolResult,
    Trace,
)
from tests.backends.databricks.calls import ask, backend, of_type, text_of
from tests.folded import accumulate
from tests.heavy import missing
from tests.servers.databricks import Workspace

AGENT = """
import asyncio
import os

from mlflow.genai.agent_server import AgentServer, invoke, stream
from mlflow.pyfunc import ResponsesAgent as Made
from mlflow.types.responses import ResponsesAgentRequest, ResponsesAgentResponse, ResponsesAgentStreamEvent

TEXT = os.environ["AGENT_TEXT"]
NOTE = {"type": "url_citation", "url": "https://x.com/a", "title": "A", "start_index": 0, "end_index": 1}


def items(request):
    asked = [item.model_dump() for item in request.input]
    topic = (request.custom_inputs or {}).get("topic", "none")
    return [
        Made.create_reasoning_item("r1", f"{len(asked)} items about {topic}"),
        Made.create_function_call_item("f1", "c1", "find", '{"q": "x"}'),
        Made.create_function_call_output_item("c1", "found"),
        Made.create_text_output_item(TEXT, "m1", [NOTE]),
    ]


@invoke()
async def whole(request: ResponsesAgentRequest) -> ResponsesAgentResponse:
    return ResponsesAgentResponse(output=items(request))


@stream()
async def streamed(request: ResponsesAgentRequest):
    last = request.input[-1].content
    found = items(request)
    for item in found[:-1]:
        yield ResponsesAgentStreamEvent(type="response.output_item.done", item=item)
    for start in range(0, len(TEXT), 4):
        yield ResponsesAgentStreamEvent(**Made.create_text_delta(TEXT[start : start + 4], "m1"))
        if last == "wait":
            await asyncio.sleep(3600)
    if last == "fail":
        raise RuntimeError("the tool broke")
    yield ResponsesAgentStreamEvent(type="response.output_item.done", item=found[-1])


app = AgentServer("ResponsesAgent").app
"""
TEXT = "Übrigens:\n\n  a  llama 🦙 said this, and\tno one else."
HELLO = ChatRequest((Message.of("user", "hello"),))


def _python() -> str | None:
    """A Python that has MLflow: this one, or the one that CHATLAB_TEST_MLFLOW names."""
    import sys

    if importlib.util.find_spec("mlflow") is not None:
        return sys.executable
    return os.environ.get("CHATLAB_TEST_MLFLOW")


pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def agent_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLflow's agent server in a process of its own, as it would be deployed."""
    import subprocess
    import time

    from tests.backends.rig import unused_port

    python = _python()
    if python is None:
        missing("mlflow")
    folder: Path = tmp_path_factory.mktemp("agent")
    (folder / "agent.py").write_text(textwrap.dedent(AGENT))
    port = unused_port()
    environment = {
        **os.environ,
        "AGENT_TEXT": TEXT,
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONPATH": str(folder),
    }
    command = [python, "-m", "uvicorn", "agent:app", "--host", "127.0.0.1", "--port", str(port)]
    log = (folder / "log").open("w+")
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 180
        while True:
            try:
                httpx2.get(f"{url}/health", trust_env=False, timeout=2).raise_for_status()
                break
            except httpx2.HTTPError:
                said = (folder / "log").read_text()
                assert process.poll() is None, f"the agent server ended: {said}"
                assert time.monotonic() < until, f"the agent server did not start: {said}"
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(20)
        log.close()


@pytest.fixture
def workspace(agent_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    async def forward(request: Request, body: Any) -> Response:
        client = httpx2.AsyncClient(timeout=None, trust_env=False)
        headers = {k: v for k, v in request.headers.items() if k.startswith(("x-mlflow", "content-type"))}
        sent = client.build_request(
            "POST", f"{agent_url}/invocations", content=await request.body(), headers=headers
        )
        answer = await client.send(sent, stream=True)

        async def pieces() -> AsyncIterator[bytes]:
            try:
                async for piece in answer.aiter_raw():
                    yield piece
            finally:
                await answer.aclose()
                await client.aclose()

        return StreamingResponse(
            pieces(), answer.status_code, media_type=answer.headers.get("content-type", "")
        )

    with Workspace() as server:
        server.serve("bot", "agent/v1/responses", forward)
        monkeypatch.setenv("DATABRICKS_HOST", server.url)
        monkeypatch.setenv("DATABRICKS_TOKEN", server.person("ada"))
        yield server


async def test_a_responses_agent_streams_everything_it_says(workspace: Workspace) -> None:
    events = await ask(HELLO, custom_inputs={"topic": "llamas"})
    assert text_of(events) == TEXT
    assert len(of_type(events, TextDelta)) > 5
    assert of_type(events, ToolCall) == [ToolCall("c1", "find", '{"q": "x"}')]
    assert of_type(events, ToolResult) == [ToolResult("c1", "found")]
    assert of_type(events, Citation) == [Citation("A", "https://x.com/a")]
    assert of_type(events, Notice) == []
    assert accumulate(events).parts[0] == ReasoningPart("1 items about llamas")
    assert len(of_type(events, Trace)) == 1
    assert of_type(events, Trace)[0].id.startswith("tr-")
    assert events[-1] == Finish("stop")


async def test_a_responses_agent_takes_a_whole_conversation_with_tools(workspace: Workspace) -> None:
    answer = Message(
        "assistant",
        (ToolCall("c0", "find", "{}"), ToolResult("c0", "nothing"), TextPart("No.")),
    )
    turns = (Message.of("system", "Short."), Message.of("user", "One?"), answer, Message.of("user", "Two?"))
    events = await ask(ChatRequest(turns))
    assert accumulate(events).parts[0] == ReasoningPart("6 items about none")
    assert text_of(events) == TEXT


async def test_a_responses_agent_answers_whole_when_not_streamed(workspace: Workspace) -> None:
    events = await ask(HELLO, stream=False)
    assert text_of(events) == TEXT
    assert [notice.kind for notice in of_type(events, Notice)] == ["not_streamed"]
    assert of_type(events, Trace)[0].id.startswith("tr-")
    assert events[-1] == Finish("stop")


async def test_an_agent_that_fails_in_the_middle_is_an_error_after_its_text(workspace: Workspace) -> None:
    made = backend()
    events = []
    with pytest.raises(BackendError, match="the tool broke"):
        async for event in made.stream(ChatRequest((Message.of("user", "fail"),)), CallContext()):
            events.append(event)
    await made.aclose()
    assert text_of(events) == TEXT


async def test_leaving_an_agent_closes_its_connection(workspace: Workspace) -> None:
    made = backend()
    stream = made.stream(ChatRequest((Message.of("user", "wait"),)), CallContext())
    async for event in stream:
        if isinstance(event, TextDelta):
            break
    await stream.aclose()  # type: ignore[attr-defined]
    assert await asyncio.to_thread(workspace.invocations("bot")[0].closed.wait, 5)
    await made.aclose()
