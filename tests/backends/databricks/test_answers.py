"""What databricks endpoints answer, as events: every task, streamed and whole, with tools and traces."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from chatlab.backend import CallContext
from chatlab.errors import BackendError, BrokenStream
from chatlab.messages import (
    Accumulator,
    Citation,
    Finish,
    Notice,
    ReasoningPart,
    StreamEvent,
    TextDelta,
    TextPart,
    ToolCall,
    ToolResult,
    Trace,
    Usage,
)
from tests.backends.databricks.calls import HELLO, agent, ask, backend, done, of_type, text_of
from tests.folded import accumulate
from tests.servers.databricks import Workspace, answers, cannot_stream, streams
from tests.servers.llama import LlamaServer


@pytest.fixture
def workspace(llama: LlamaServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    with Workspace(llama.url) as server:
        monkeypatch.setenv("DATABRICKS_HOST", server.url)
        monkeypatch.setenv("DATABRICKS_TOKEN", server.person("ada"))
        yield server


# -- what comes back


async def test_a_chat_models_usage_and_model_are_known(workspace: Workspace, llama: LlamaServer) -> None:
    workspace.serve("bot", "llm/v1/chat")
    finish = (await ask())[-1]
    assert isinstance(finish, Finish)
    assert finish.model == llama.model
    assert finish.usage.input and finish.usage.output


async def test_content_in_parts_is_reasoning_text_and_citations(workspace: Workspace) -> None:
    def chunk(content: Any, finish: str | None = None) -> dict[str, Any]:
        return {
            "model": "m",
            "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": finish}],
        }

    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm. "}]}
    encrypted = {"type": "reasoning", "summary": [{"type": "summary_encrypted_text", "data": "x"}]}
    source = {"url": "https://docs.example.com/a", "title": "A"}
    text = {"type": "text", "text": "an answer", "citation": source}
    workspace.serve(
        "bot",
        "llm/v1/chat",
        streams([chunk([thought]), chunk([encrypted]), chunk([text]), chunk(" here."), chunk("", "stop")]),
    )
    events = await ask()
    assert accumulate(events).parts == (ReasoningPart("Hm. "), TextPart("an answer here."))
    assert of_type(events, Citation) == [Citation("A", "https://docs.example.com/a")]


async def test_a_chat_agents_tools_traces_and_sources_are_events(workspace: Workspace) -> None:
    call = {"type": "function", "id": "c1", "function": {"name": "find", "arguments": '{"q": "x"}'}}
    workspace.serve(
        "bot",
        "agent/v2/chat",
        streams(
            [
                agent("Let me  see.\n", id="msg-1"),
                agent(tool_calls=[call]),
                agent(tool_calls=[call]),  # a graph repeats it with its complete message
                agent('{"found": 1}', role="tool", name="find", tool_call_id="c1", id="tool-1"),
                agent("There", id="msg-2"),
                {
                    **agent(" it is.", id="msg-2"),
                    "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
                    "custom_outputs": {
                        "sources": ["/Volumes/main/docs/a.pdf", {"doc_uri": "https://x.com/b"}]
                    },
                    "databricks_output": {
                        "trace": {"info": {"trace_id": "tr-77"}},
                        "databricks_request_id": "req-1",
                    },
                },
            ]
        ),
    )
    assert await ask() == [
        TextDelta("Let me  see.\n"),
        ToolCall("c1", "find", '{"q": "x"}'),
        ToolResult("c1", '{"found": 1}', "find"),
        TextDelta("There"),
        TextDelta(" it is."),
        Citation("/Volumes/main/docs/a.pdf"),
        Citation("https://x.com/b", "https://x.com/b"),
        Trace("tr-77"),
        Finish("stop", Usage(5, 3)),
    ]


async def test_a_responses_agents_tools_traces_and_citations_are_events(workspace: Workspace) -> None:
    note = {"type": "url_citation", "url": "https://x.com/a", "title": "A"}
    text = {"type": "output_text", "text": "Found it.", "annotations": [note]}
    workspace.serve(
        "bot",
        "agent/v1/responses",
        streams(
            [
                {"type": "response.created", "response": {"id": "r"}},
                done({"type": "reasoning", "id": "t", "summary": [{"type": "summary_text", "text": "Hm."}]}),
                done(
                    {"type": "function_call", "call_id": "c1", "name": "find", "arguments": "{}", "id": "f"}
                ),
                {"type": "function_call_output", "call_id": "c1", "output": "1"},
                {"type": "response.output_text.delta", "item_id": "m", "delta": "Found "},
                {"type": "response.output_text.delta", "item_id": "m", "delta": "it."},
                {
                    **done({"type": "message", "id": "m", "role": "assistant", "content": [text]}),
                    "databricks_output": {"trace": {"info": {"trace_id": "tr-5"}}},
                },
                {
                    "type": "responses.completed",
                    "response": {"id": "r", "usage": {"input_tokens": 9, "output_tokens": 4}},
                },
                {"trace_id": "tr-5"},
            ]
        ),
    )
    events = await ask()
    assert text_of(events) == "Found it."
    assert of_type(events, ToolCall) == [ToolCall("c1", "find", "{}")]
    assert of_type(events, ToolResult) == [ToolResult("c1", "1")]
    assert of_type(events, Citation) == [Citation("A", "https://x.com/a")]
    assert of_type(events, Trace) == [Trace("tr-5")]
    assert of_type(events, Notice) == []
    assert events[-1] == Finish("stop", Usage(9, 4))


async def test_a_call_without_its_result_is_left_to_the_caller(workspace: Workspace) -> None:
    item = {"type": "function_call", "call_id": "c1", "name": "find", "arguments": "{}", "id": "f"}
    workspace.serve("bot", "agent/v1/responses", streams([done(item)]))
    assert (await ask())[-1] == Finish("tool_calls")
    call = {"type": "function", "id": "c1", "function": {"name": "find", "arguments": "{}"}}
    workspace.serve("bot", "agent/v2/chat", streams([agent(tool_calls=[call])]))
    assert (await ask())[-1] == Finish("tool_calls")


async def test_without_a_trace_the_request_id_stands_in(workspace: Workspace) -> None:
    chunk = {**agent("x"), "databricks_output": {"trace": None, "databricks_request_id": "req-9"}}
    workspace.serve("bot", "agent/v2/chat", streams([chunk]))
    assert of_type(await ask(), Trace) == [Trace("req-9")]


# -- whole answers

WHOLE = {
    "llm/v1/chat": {
        "model": "m",
        "choices": [{"message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
    },
    "agent/v2/chat": {"messages": [{"role": "assistant", "content": "yes", "id": "1"}]},
    "agent/v1/responses": {
        "output": [
            {
                "type": "message",
                "id": "1",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "yes"}],
            }
        ]
    },
    None: {"choices": [{"message": {"role": "assistant", "content": "yes"}}]},
}


@pytest.mark.parametrize("task", list(WHOLE))
async def test_an_endpoint_that_cannot_stream_answers_whole_and_is_not_asked_to_again(
    workspace: Workspace, task: str | None
) -> None:
    workspace.serve("bot", task, cannot_stream(WHOLE[task]))
    made = backend()
    for _ in range(2):
        events = [event async for event in made.stream(HELLO, CallContext())]
        assert text_of(events) == "yes"
        assert [notice.kind for notice in of_type(events, Notice)] == ["not_streamed"]
        assert isinstance(events[-1], Finish)
    await made.aclose()
    assert [sent.json.get("stream") for sent in workspace.invocations("bot")] == [True, None, None]


async def test_a_stream_need_not_be_asked_for(workspace: Workspace) -> None:
    workspace.serve("bot", "llm/v1/chat")
    events = await ask(stream=False)
    assert "stream" not in workspace.invocations("bot")[0].json
    assert of_type(events, Notice)[0].kind == "not_streamed"
    assert len(of_type(events, TextDelta)) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [{"message": {"role": "assistant", "content": "The answer"}}]},
        [{"choices": [{"message": {"role": "assistant", "content": "The answer"}}]}],
        ["The answer"],
        {"predictions": ["The answer"]},
        {"predictions": [{"choices": [{"message": {"content": "The answer"}}]}]},
        {"predictions": [{"result": "The answer", "sources": []}]},
        {"predictions": "The answer"},
        {"messages": [{"role": "assistant", "content": "The answer"}]},
        [{"role": "assistant", "content": "The answer"}],
        {"output": "The answer"},
        "The answer",
        {"content": "The answer"},
    ],
    ids=lambda body: json.dumps(body)[:40],
)
async def test_a_legacy_chain_may_answer_in_many_shapes(workspace: Workspace, body: Any) -> None:
    workspace.serve("bot", None, answers(body))
    events = await ask()
    assert text_of(events) == "The answer"
    assert events[-1] == Finish("stop")


async def test_the_sources_of_a_rag_chain_are_citations(workspace: Workspace) -> None:
    document = {"page_content": "the text", "metadata": {"source": "https://x.com/a", "title": "A"}}
    body = {"predictions": [{"result": "The answer", "sources": [document, "/Volumes/b.pdf"]}]}
    workspace.serve("bot", None, answers(body))
    assert of_type(await ask(), Citation) == [
        Citation("A", "https://x.com/a", "the text"),
        Citation("/Volumes/b.pdf"),
    ]


@pytest.mark.parametrize("body", [{"predictions": [1.5]}, {"forecast": 3}, [], 7, {"predictions": []}])
async def test_an_answer_that_is_no_chat_is_a_clear_error(workspace: Workspace, body: Any) -> None:
    workspace.serve("bot", None, answers(body))
    with pytest.raises(BrokenStream, match="a shape that is not known"):
        await ask()


async def test_a_legacy_stream_shows_what_it_speaks(workspace: Workspace) -> None:
    for chunks in (
        [{"choices": [{"delta": {"content": "The "}}]}, {"choices": [{"delta": {"content": "answer"}}]}],
        [agent("The "), agent("answer")],
        [{"content": "The "}, {"content": "answer"}],
    ):
        workspace.serve("bot", None, streams(chunks))
        assert await ask() == [TextDelta("The "), TextDelta("answer"), Finish("stop")]


# -- where a stream ends

END = [
    ("llm/v1/chat", [{"choices": [{"delta": {"content": "x"}}]}], True),
    ("llm/v1/chat", [{"choices": [{"delta": {"content": "x"}, "finish_reason": "length"}]}], True),
    ("agent/v2/chat", [agent("x")], True),
    ("agent/v2/chat", [{**agent("x"), "finish_reason": "stop"}], True),
    ("agent/v1/responses", [{"type": "response.output_text.delta", "delta": "x"}], False),
    ("agent/v1/responses", [done({"type": "message", "content": [{"text": "x"}]})], True),
    (None, [{"choices": [{"delta": {"content": "x"}}]}], True),
    (None, [{"content": "x"}], True),
]


@pytest.mark.parametrize(("task", "chunks", "marked_end_is_enough"), END)
async def test_done_ends_a_stream_where_nothing_else_has_to(
    workspace: Workspace, task: str | None, chunks: list[Any], marked_end_is_enough: bool
) -> None:
    workspace.serve("bot", task, streams(chunks))
    if marked_end_is_enough:
        assert isinstance((await ask())[-1], Finish)
    else:
        with pytest.raises(BrokenStream):
            await ask()


@pytest.mark.parametrize(
    ("task", "chunks"), [(task, chunks) for task, chunks, _ in END[:1] + END[2:3] + END[4:]]
)
async def test_a_stream_that_stops_without_its_end_is_broken_but_keeps_its_text(
    workspace: Workspace, task: str | None, chunks: list[Any]
) -> None:
    workspace.serve("bot", task, streams(chunks, done=False))
    made = backend()
    events: list[StreamEvent] = []
    with pytest.raises(BrokenStream):
        async for event in made.stream(HELLO, CallContext()):
            events.append(event)
    await made.aclose()
    assert text_of(events) == "x"
    assert of_type(events, Finish) == []


@pytest.mark.parametrize("task", ["llm/v1/chat", "agent/v2/chat", "agent/v1/responses", None])
@pytest.mark.parametrize(
    ("chunk", "kind"),
    [
        ({"error": "the agent's tool failed"}, BackendError),
        ({"error_code": "RESOURCE_EXHAUSTED", "message": "the agent's tool failed"}, BackendError),
        ('{"choices": [{"del', BrokenStream),
        ("[1, 2]", BrokenStream),
    ],
    ids=["error", "error_code", "cut", "list"],
)
async def test_an_error_in_a_stream_is_an_error_and_no_text(
    workspace: Workspace, task: str | None, chunk: Any, kind: type[BackendError]
) -> None:
    workspace.serve("bot", task, streams([chunk]))
    made = backend()
    events: list[StreamEvent] = []
    with pytest.raises(kind) as caught:
        async for event in made.stream(HELLO, CallContext()):
            events.append(event)
    await made.aclose()
    assert events == []
    if isinstance(chunk, dict):
        assert "the agent's tool failed" in caught.value.detail


@pytest.mark.parametrize("streamed", [True, False])
def test_as_whom_the_tools_of_a_chat_agent_ran_and_what_they_found_is_told(streamed: bool) -> None:
    from backends.databricks.streams import StreamReader

    found = [{"title": "Lanes", "url": "https://x.com/a", "text": "Lanes are columns."}]
    said = agent("Done.", attachments={"sources": json.dumps(found)})["delta"]
    beside = {"custom_outputs": {"ran_as": {"search": "ann", "sql": "the service"}, "left_out": ["no right"]}}
    chunks = [{"delta": said, "custom_outputs": {"ran_as": {"search": "ann"}}}, {"delta": {}, **beside}]
    whole = json.dumps({"messages": [said], **beside}).encode()
    stream = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks).encode() + b"data: [DONE]\n\n"
    reader = StreamReader("agent_chat")
    events = [*reader.feed(stream if streamed else whole), *reader.end()]
    assert of_type(events, Citation) == [Citation("Lanes", "https://x.com/a", "Lanes are columns.")]
    told = [event.detail for event in of_type(events, Notice)]
    assert told[:2] == ["no right", "ran search as ann, sql as the service"]
    for strange in ("{", "[1]", 3, None, {"title": 1}):
        other = StreamReader("agent_chat")
        chunk = agent("x", attachments={"sources": strange})
        assert of_type([*other.feed(f"data: {json.dumps(chunk)}\n\n".encode())], Citation) == []


def test_the_accumulated_answer_of_an_agent_keeps_its_order() -> None:
    from backends.databricks.streams import StreamReader

    reader = StreamReader("agent_chat")
    folded = Accumulator()
    call = {"type": "function", "id": "c1", "function": {"name": "f", "arguments": "{}"}}
    for chunk in (
        agent("a"),
        agent(tool_calls=[call]),
        agent("r", role="tool", tool_call_id="c1"),
        agent("b"),
    ):
        for event in reader.feed(f"data: {json.dumps(chunk)}\n\n".encode()):
            folded.add(event)
    assert [type(part).__name__ for part in folded.parts] == [
        "TextPart",
        "ToolCall",
        "ToolResult",
        "TextPart",
    ]
