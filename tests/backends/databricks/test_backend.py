"""The databricks backend against a workspace-shaped server: what it asks, its errors, its closing."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from backends.databricks import DatabricksBackend
from chatlab.backend import CallContext, Capabilities, ChatRequest
from chatlab.errors import BackendError, BrokenStream, ModelNotFound, Unavailable
from chatlab.messages import (
    FilePart,
    Finish,
    Message,
    Notice,
    ReasoningPart,
    TextDelta,
    TextPart,
    ToolCall,
    ToolResult,
)
from tests.backends.databricks.calls import HELLO, agent, ask, backend, of_type, read_all, text_of
from tests.servers.databricks import Workspace, answers, streams
from tests.servers.llama import ENDLESS, LlamaServer

HISTORY = (
    Message.of("system", "Be  brief.\n"),
    Message.of("user", "What is 6*7?"),
    Message(
        "assistant",
        (
            ReasoningPart("multiply"),
            ToolCall("call-1", "calculate", '{"x": "6*7"}'),
            ToolResult("call-1", "42"),
            TextPart("It is 42."),
        ),
    ),
    Message.of("user", " And  8*8?"),
)
PICTURE = FilePart("image/png", "dot.png", data=b"\x89PNG\r\n\x1a\n")


@pytest.fixture
def workspace(llama: LlamaServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    with Workspace(llama.url) as server:
        monkeypatch.setenv("DATABRICKS_HOST", server.url)
        monkeypatch.setenv("DATABRICKS_TOKEN", server.person("ada"))
        yield server


# -- the task is looked up


@pytest.mark.parametrize(
    ("task", "reply"),
    [
        ("llm/v1/chat", "_chat"),
        ("agent/v2/chat", "chat_agent"),
        ("agent/v1/responses", "responses_agent"),
        ("agent/v1/chat", "old_chain"),
        (None, "old_chain"),
    ],
)
async def test_each_kind_of_endpoint_streams_its_exact_text(
    workspace: Workspace, llama: LlamaServer, task: str | None, reply: str
) -> None:
    workspace.serve("bot", task, getattr(workspace, reply))
    events = await ask()
    assert text_of(events) == llama.text
    assert len(of_type(events, TextDelta)) > 5
    assert isinstance(events[-1], Finish)
    assert len(of_type(events, Finish)) == 1
    assert events[-1].reason == "stop"
    assert of_type(events, Notice) == []


async def test_the_task_is_asked_once_and_an_explicit_one_never(workspace: Workspace) -> None:
    workspace.serve("bot", "agent/v2/chat", workspace.chat_agent)
    made = backend()
    for _ in range(2):
        assert text_of([event async for event in made.stream(HELLO, CallContext())])
    await made.aclose()
    await ask(task="agent_chat")
    looks = [path for path in workspace.paths() if path.startswith("/api/")]
    assert looks == ["/api/2.0/serving-endpoints/bot"]
    assert len(workspace.invocations("bot")) == 3


async def test_an_endpoint_that_is_no_chat_is_refused_by_name(workspace: Workspace) -> None:
    workspace.serve("bot", "llm/v1/embeddings")
    with pytest.raises(ModelNotFound, match="the endpoint bot does llm/v1/embeddings, which is not a chat"):
        await ask()


async def test_a_name_is_one_segment_of_the_path(workspace: Workspace) -> None:
    with pytest.raises(ModelNotFound):
        await ask(endpoint="../../clusters/list?x=")
    assert workspace.front.last.path.startswith("/api/2.0/serving-endpoints/")
    assert workspace.front.last.query == ""


# -- what is sent


async def test_a_chat_model_gets_messages_parameters_and_images(workspace: Workspace) -> None:
    workspace.serve("bot", "llm/v1/chat", answers({"choices": [{"message": {"content": "x"}}]}))
    question = Message("user", (TextPart("What is this?"), PICTURE))
    parameters = {"temperature": 0.2, "max_tokens": 7, "stop": ["\n"], "top_p": None}
    await ask(ChatRequest((*HISTORY, question), parameters), extra_body={"guardrails": True})
    assert workspace.invocations("bot")[0].json == {
        "messages": [
            {"role": "system", "content": "Be  brief.\n"},
            {"role": "user", "content": "What is 6*7?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "call-1",
                        "type": "function",
                        "function": {"name": "calculate", "arguments": '{"x": "6*7"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call-1", "content": "42"},
            {"role": "assistant", "content": "It is 42."},
            {"role": "user", "content": " And  8*8?"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
                ],
            },
        ],
        "temperature": 0.2,
        "max_tokens": 7,
        "stop": ["\n"],
        "guardrails": True,
        "stream": True,
    }


async def test_a_chat_agent_gets_the_tools_names_and_custom_inputs(workspace: Workspace) -> None:
    workspace.serve("bot", "agent/v2/chat", streams([agent("x")]))
    await ask(ChatRequest(HISTORY), custom_inputs={"topic": "sums"})
    body = workspace.invocations("bot")[0].json
    assert body["messages"][3] == {
        "role": "tool",
        "tool_call_id": "call-1",
        "name": "calculate",
        "content": "42",
    }
    assert body["messages"][-1] == {"role": "user", "content": " And  8*8?"}
    del body["messages"]
    assert body == {
        "custom_inputs": {"topic": "sums"},
        "databricks_options": {"return_trace": True},
        "stream": True,
    }


async def test_a_responses_agent_gets_items(workspace: Workspace) -> None:
    workspace.serve("bot", "agent/v1/responses", answers({"output": []}))
    await ask(ChatRequest(HISTORY), return_trace=False)
    sent = workspace.invocations("bot")[0]
    assert sent.json == {
        "input": [
            {"type": "message", "role": "system", "content": "Be  brief.\n"},
            {"type": "message", "role": "user", "content": "What is 6*7?"},
            {
                "type": "function_call",
                "call_id": "call-1",
                "name": "calculate",
                "arguments": '{"x": "6*7"}',
            },
            {"type": "function_call_output", "call_id": "call-1", "output": "42"},
            {"type": "message", "role": "assistant", "content": "It is 42."},
            {"type": "message", "role": "user", "content": " And  8*8?"},
        ],
        "stream": True,
    }
    assert "x-mlflow-return-trace-id" not in sent.headers
    await ask(ChatRequest(HISTORY))
    assert workspace.invocations("bot")[1].headers["x-mlflow-return-trace-id"] == "true"
    assert workspace.invocations("bot")[1].json["databricks_options"] == {"return_trace": True}


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("messages", {"messages": "SPOKEN"}),
        ("dataframe_split", {"dataframe_split": {"columns": ["messages"], "data": [["SPOKEN"]]}}),
        ("inputs", {"inputs": [" And  8*8?"]}),
    ],
)
async def test_a_legacy_chain_gets_its_form(workspace: Workspace, form: str, expected: Any) -> None:
    workspace.serve("bot", None, answers(["x"]))
    events = await ask(ChatRequest(HISTORY, {"temperature": 1}), legacy_request=form)
    spoken = [
        {"role": "system", "content": "Be  brief.\n"},
        {"role": "user", "content": "What is 6*7?"},
        {"role": "assistant", "content": "It is 42."},
        {"role": "user", "content": " And  8*8?"},
    ]
    due = json.loads(json.dumps(expected).replace('"SPOKEN"', json.dumps(spoken)))
    assert workspace.invocations("bot")[0].json == {**due, "stream": True}
    kinds = [notice.kind for notice in of_type(events, Notice)]
    cut = ["history_truncated"] if form == "inputs" else []
    assert kinds == ["parameter_ignored", "other", *cut, "not_streamed"]


async def test_what_an_agent_turns_out_not_to_take_is_said(workspace: Workspace) -> None:
    workspace.serve("bot", "agent/v2/chat", streams([agent("x")]))
    request = ChatRequest((Message("user", (TextPart("look"), PICTURE)),), {"temperature": 0.5})
    events = await ask(request)
    assert [notice.kind for notice in of_type(events, Notice)] == ["file_dropped", "parameter_ignored"]
    assert workspace.invocations("bot")[0].json["messages"] == [{"role": "user", "content": "look"}]
    assert "temperature" not in workspace.invocations("bot")[0].json


def test_capabilities_follow_the_task() -> None:
    def of(**options: Any) -> Capabilities:
        return DatabricksBackend.capabilities(DatabricksBackend.Options(endpoint="bot", **options))

    assert of().files == of(task="chat").files == ("image/*",)
    assert {"temperature", "max_tokens", "stop"} <= {parameter.name for parameter in of().parameters}
    for task in ("agent_chat", "responses", "legacy"):
        assert of(task=task) == Capabilities(files=(), parameters=(), system=True)
    assert of(task="responses", files=("image/*",)).files == ("image/*",)


# -- errors


@pytest.mark.parametrize(
    ("status", "body", "kind", "says"),
    [
        (401, {"error_code": "UNAUTHENTICATED", "message": "no token"}, "AuthenticationFailed", "no token"),
        (403, {"error_code": "PERMISSION_DENIED", "message": "not yours"}, "PermissionDenied", "not yours"),
        (403, {"error_code": "403", "message": "Invalid access token."}, "AuthenticationFailed", "Invalid"),
        (404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no bot"}, "ModelNotFound", "no bot"),
        (400, {"error_code": "BAD_REQUEST", "message": "bad field"}, "InvalidRequest", "bad field"),
        (
            400,
            {"error_code": "BAD_REQUEST", "message": "prompt is too long: 9000 tokens"},
            "ContextTooLong",
            "9000",
        ),
        (429, {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "slow down"}, "RateLimited", "slow"),
        (500, {"error_code": "INTERNAL_ERROR", "message": "oops"}, "Unavailable", "oops"),
        (503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "later"}, "Unavailable", "later"),
        (504, "<html><title>Gateway timeout</title></html>", "Unavailable", "Gateway timeout"),
    ],
)
async def test_a_refusal_is_mapped_by_its_status(
    workspace: Workspace, status: int, body: Any, kind: str, says: str
) -> None:
    workspace.serve("bot", "llm/v1/chat").fail(status, body, {"retry-after": "7"})
    with pytest.raises(BackendError) as caught:
        await ask()
    assert (type(caught.value).__name__, caught.value.status) == (kind, status)
    assert says in caught.value.detail
    assert caught.value.retryable == (status in (429, 503))
    if caught.value.retryable:
        assert caught.value.retry_after == 7
    assert len(workspace.invocations("bot")) == 1  # retrying is not done here


async def test_who_may_not_query_an_endpoint_reads_why(workspace: Workspace) -> None:
    workspace.serve("bot", "llm/v1/chat", allowed=frozenset({"bob"}))
    with pytest.raises(BackendError, match="ada does not have the permission CAN_QUERY on bot") as caught:
        await ask()
    assert caught.value.status == 403
    said = "the endpoint bot takes the permission Can Query; ask someone@example.com, who made it"
    assert said in caught.value.detail


async def test_the_scope_that_a_token_lacks_is_said_and_who_can_add_it(workspace: Workspace) -> None:
    lacks = "Provided OAuth token does not have required scopes: serving.serving-endpoints"
    workspace.serve("bot", "llm/v1/chat").fail(403, {"error_code": "403", "message": lacks})
    with pytest.raises(BackendError, match=r"serving\.serving-endpoints: whoever runs this page") as caught:
        await ask()
    assert type(caught.value).__name__ == "PermissionDenied"


async def test_a_redirect_is_no_answer(workspace: Workspace) -> None:
    async def login(_: Request) -> Response:
        return RedirectResponse("/login.html?error=private-link-validation-error", 303)

    workspace.front.on("POST", "/serving-endpoints/bot/invocations", login)
    with pytest.raises(BackendError, match="not open to this network") as caught:
        await ask(task="chat")
    assert caught.value.status == 403


async def test_a_page_instead_of_an_answer_is_broken(workspace: Workspace) -> None:
    async def page(_: Request) -> Response:
        return Response("<html>Sign in</html>", media_type="text/html")

    workspace.front.on("POST", "/serving-endpoints/bot/invocations", page)
    with pytest.raises(BrokenStream, match="answered with a web page"):
        await ask(task="chat")


async def test_an_error_without_an_end_is_not_read_for_ever(workspace: Workspace) -> None:
    async def endless(_: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            while True:
                yield b"no " * 1000
                await asyncio.sleep(0)

        return StreamingResponse(pieces(), 500)

    workspace.front.on("POST", "/serving-endpoints/bot/invocations", endless)
    async with asyncio.timeout(20):
        with pytest.raises(Unavailable):
            await ask(task="chat")
    assert await asyncio.to_thread(workspace.invocations("bot")[0].closed.wait, 5)


# -- closing


@pytest.mark.parametrize("how", ["closed", "cancelled"])
async def test_leaving_in_the_middle_closes_the_connection_at_once(workspace: Workspace, how: str) -> None:
    workspace.delay = 0.01
    workspace.serve("bot", "llm/v1/chat")
    made = backend(task="chat")
    stream = made.stream(ChatRequest((Message.of("user", f"on {ENDLESS}"),)), CallContext())
    if how == "closed":
        assert isinstance(await anext(stream), TextDelta)
        left = time.perf_counter()
        await stream.aclose()  # type: ignore[attr-defined]
    else:
        reading = asyncio.Event()

        async def read() -> None:
            async for _ in stream:
                reading.set()

        task = asyncio.create_task(read())
        await reading.wait()
        left = time.perf_counter()
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
    sent = workspace.invocations("bot")[0]
    assert await asyncio.to_thread(sent.closed.wait, 5)
    assert sent.closed_at is not None and sent.closed_at - left < 1
    await made.aclose()


async def test_leaving_before_the_reply_closes_the_connection_at_once(workspace: Workspace) -> None:
    async def silent(_: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    workspace.front.on("POST", "/serving-endpoints/bot/invocations", silent)
    made = backend(task="chat")
    step = asyncio.ensure_future(anext(made.stream(HELLO, CallContext())))
    await workspace.front.wait_for(2)
    step.cancel()
    await asyncio.wait({step})
    assert step.cancelled()
    assert await asyncio.to_thread(workspace.invocations("bot")[0].closed.wait, 5)
    await made.aclose()


async def test_an_answer_that_ended_leaves_its_connection_for_the_next(workspace: Workspace) -> None:
    workspace.serve("bot", "agent/v2/chat", streams([agent("x")]))
    made = backend(task="agent_chat")
    for _ in range(3):
        await read_all(made.stream(HELLO, CallContext()))
    await made.aclose()
    assert len({sent.port for sent in workspace.invocations("bot")}) == 1


# -- a look at it


async def test_a_probe_tells_state_task_and_identity_without_asking_the_model(workspace: Workspace) -> None:
    workspace.serve("bot", "agent/v1/responses", message="Scaled to zero", scale_to_zero=True)
    made = backend()
    probe = await made.probe(CallContext())
    await made.aclose()
    assert (probe.reachable, probe.model_known, probe.identity) == (True, True, "ada")
    assert probe.detail == "scaled to zero, task agent/v1/responses"
    assert workspace.invocations("bot") == []


async def test_a_probe_of_an_unknown_endpoint_says_so(workspace: Workspace) -> None:
    made = backend(endpoint="nobody")
    probe = await made.probe(CallContext())
    await made.aclose()
    assert (probe.reachable, probe.model_known, probe.identity) == (True, False, "ada")


async def test_a_probe_with_a_refused_token_fails(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_TOKEN", "dapi-nobody")
    workspace.serve("bot", None)
    made = backend()
    with pytest.raises(BackendError) as caught:
        await made.probe(CallContext())
    await made.aclose()
    assert caught.value.status == 401


async def test_a_probe_does_not_wait_for_ever(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.databricks._LOOKUP_TIMEOUT", 0.2)

    async def silent(_: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    workspace.front.on("GET", "/api/2.0/serving-endpoints/bot", silent)
    workspace.front.on("GET", "/api/2.0/preview/scim/v2/Me", silent)
    made = backend()
    async with asyncio.timeout(20):
        with pytest.raises(Unavailable):
            await made.probe(CallContext())
    await made.aclose()
