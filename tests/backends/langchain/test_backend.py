"""The langchain backend, with real LangChain objects against a real server."""

from __future__ import annotations

import asyncio
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from backends.langchain import LangChainBackend, LangChainOptions
from backends.langchain import providers as _langchain_providers
from chatlab.backend import CallContext, Mark
from chatlab.config.registry import from_address
from chatlab.errors import (
    BrokenStream,
    ChatlabError,
    ConfigError,
    InvalidRequest,
    NotReady,
    RateLimited,
    Unavailable,
)
from chatlab.messages import (
    Citation,
    Finish,
    Notice,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolResult,
)
from tests.backends.langchain.calls import Load, ask, events, finish, notices, text
from tests.folded import accumulate
from tests.servers.front import Front
from tests.servers.llama import THINKING, THOUGHT, LlamaServer

# -- a model by name


async def test_a_model_by_name_answers_with_usage_reason_and_model(
    by_name: Load, front: Front, llama: LlamaServer
) -> None:
    backend = by_name()
    found = await events(backend, ask("hi"))
    assert text(found) == llama.text
    end = finish(found)
    assert (end.reason, end.model) == ("stop", "table")
    assert end.usage.input and end.usage.output and end.usage.output > 20


async def test_reasoning_beside_the_text_is_an_event(by_name: Load, front: Front, llama: LlamaServer) -> None:
    backend = by_name()
    found = await events(backend, ask(f"{THINKING} about it"))
    assert "".join(event.text for event in found if isinstance(event, ReasoningDelta)) == THOUGHT
    assert text(found) == llama.text


async def test_the_responses_api_streams_through_langchain(
    by_name: Load, front: Front, llama: LlamaServer
) -> None:
    backend = by_name(model_options={"use_responses_api": True})
    found = await events(backend, ask("hi", temperature=0.5))
    cut = await events(backend, ask("hi", max_tokens=3))
    assert {seen.path for seen in front.requests} == {"/v1/responses"}
    assert text(found) == llama.text
    assert (finish(found).reason, finish(found).model) == ("stop", "table")
    assert finish(found).usage.output
    assert finish(cut).usage.output == 3


@pytest.mark.parametrize(
    "begun", [[], ['data: {"model":"m","choices":[{"delta":{"role":"assistant"}}]}\n\n']]
)
async def test_a_stream_that_ends_before_it_said_anything_is_broken(
    by_name: Load, front: Front, begun: list[str]
) -> None:
    front.stream("/v1/chat/completions", [*begun, "data: [DONE]\n\n"])
    backend = by_name()
    with pytest.raises(BrokenStream):
        await events(backend, ask("hi"))


async def test_an_answer_that_was_cut_says_so(by_name: Load, front: Front) -> None:
    backend = by_name()
    found = await events(backend, ask("hi", max_tokens=3))
    assert finish(found).reason == "length"
    assert finish(found).usage.output == 3


async def test_the_key_for_openai_never_goes_to_another_host(
    by_name: Load, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-the-real-one-0123456789")
    backend = by_name()
    await events(backend, ask("hi"))
    assert "sk-the-real-one" not in str(front.last.headers)
    assert "authorization" not in front.last.headers, "no key is sent where none was given"


async def test_a_route_at_the_end_of_the_base_url_is_not_doubled(by_name: Load, front: Front) -> None:
    await events(by_name(base_url=f"{front.url}/v1/chat/completions"), ask("hi"))
    assert front.last.path == "/v1/chat/completions"


@pytest.mark.parametrize("name", ["api_key", "openai_api_key"])
async def test_a_key_among_the_secrets_is_sent(
    name: str, by_name: Load, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEY", "sk-of-this-very-server")
    await events(by_name(secrets={name: {"env": "TEST_KEY"}}), ask("hi"))
    assert front.last.headers["authorization"] == "Bearer sk-of-this-very-server"


async def test_an_option_of_ours_that_a_server_refuses_is_left_out_with_a_notice(
    by_name: Load, front: Front
) -> None:
    loc = ["body", "stream_options", "include_usage"]
    front.fail(422, {"detail": [{"type": "extra_forbidden", "loc": loc, "msg": "Extra inputs"}]})
    front.fail(400, {"error": {"message": "Unknown parameter: 'max_completion_tokens'."}})
    backend = by_name()
    found = await events(backend, ask("hi", max_tokens=9))
    assert [notice.detail for notice in notices(found)] == [
        "the server refuses stream_options, asked again without it: token counts may be missing"
    ]
    assert [(one.json.get("stream_options"), one.json.get("max_tokens")) for one in front.requests] == [
        ({"include_usage": True}, None),
        (None, None),
        (None, 9),
    ]
    front.fail(400, {"error": {"message": "Unknown parameter: 'temperature'."}})
    with pytest.raises(InvalidRequest, match="Unknown parameter: 'temperature'"):
        await events(backend, ask("hi", temperature=1))
    assert len(front.requests) == 4


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("<html><title>Sign in</title></html>", "the upstream answered with a web page: Sign in"),
        ("", "nothing that is an answer; is its URL right"),
        ('{"detail": "no"}', "no "),
    ],
)
async def test_an_answer_that_is_none_says_what_it_is_or_asks_about_the_url(
    by_name: Load, front: Front, body: str, said: str
) -> None:
    front.fail(200, body)
    with pytest.raises(BrokenStream, match=said):
        await events(by_name(), ask("hi"))


async def test_a_failing_model_is_asked_once(by_name: Load, front: Front) -> None:
    front.fail(429, {"error": {"message": "slow down"}}, {"retry-after": "5"}, times=1)
    backend = by_name()
    with pytest.raises(RateLimited) as caught:
        await events(backend, ask("hi"))
    assert caught.value.retry_after == 5
    assert len(front.requests) == 1


async def test_a_probe_asks_for_the_models_only(by_name: Load, front: Front) -> None:
    backend = by_name()
    probe = await backend.probe(CallContext())
    assert (probe.reachable, probe.model_known) == (True, True)
    assert [(seen.method, seen.path) for seen in front.requests] == [("GET", "/v1/models")]


async def test_tracing_is_off(by_name: Load, front: Front) -> None:
    from langsmith.utils import tracing_is_enabled

    backend = by_name()
    await events(backend, ask("hi"))
    assert not tracing_is_enabled()


# -- objects


AGENT = """
from langchain.agents import create_agent
from langchain_core.tools import tool

@tool(return_direct=True)
def look_up(q: str) -> str:
    "Looks something up."
    if FAILS:
        raise ValueError("no such thing")
    return "found: " + q

thing = create_agent(model, [look_up], system_prompt="The agent's own.")
"""


async def test_an_agents_tool_calls_and_results_are_events(
    load: Load, front: Front, llama: LlamaServer
) -> None:
    found = await events(load("FAILS = False\n" + AGENT), ask("use the tool", system="Ours."))
    call, result = (event for event in found if isinstance(event, ToolCall | ToolResult))
    assert isinstance(call, ToolCall) and isinstance(result, ToolResult)
    assert call.name == "look_up"
    assert call.arguments.startswith('{"q":"') and llama.text[:10] in call.arguments
    assert (result.id, result.name, result.is_error) == (call.id, "look_up", False)
    assert result.content.startswith("found: " + llama.text[:10])
    assert finish(found).reason == "stop"
    assert finish(found).usage.output
    sent = front.last.json
    assert [message["role"] for message in sent["messages"]] == ["system", "system", "user"]
    assert sent["messages"][1]["content"] == "Ours."
    assert sent["tools"][0]["function"]["name"] == "look_up"


async def test_an_agent_answers_in_text_token_by_token(load: Load, llama: LlamaServer) -> None:
    found = await events(load("FAILS = False\n" + AGENT), ask("just talk"))
    deltas = [event for event in found if isinstance(event, TextDelta)]
    assert text(found) == llama.text
    assert len(deltas) > 5


async def test_an_agent_as_a_subgraph_streams_too(load: Load, llama: LlamaServer) -> None:
    source = (
        "FAILS = False\n"
        + AGENT
        + """
from langgraph.graph import START, MessagesState, StateGraph
agent = thing
thing = StateGraph(MessagesState).add_node("inner", agent).add_edge(START, "inner").compile()
"""
    )
    found = await events(load(source), ask("just talk"))
    assert text(found) == llama.text
    assert len([event for event in found if isinstance(event, TextDelta)]) > 5


async def test_a_tool_that_fails_is_an_error_of_the_object(load: Load) -> None:
    with pytest.raises(Unavailable) as caught:
        await events(load("FAILS = True\n" + AGENT), ask("use the tool"))
    assert "ValueError: no such thing" in caught.value.detail
    assert not caught.value.retryable


async def test_a_graph_with_a_checkpointer_gets_each_conversation_once(load: Load, front: Front) -> None:
    source = """
from langgraph.checkpoint.memory import InMemorySaver
from langchain.agents import create_agent
saver = InMemorySaver()
thing = create_agent(model, [], checkpointer=saver)
"""
    backend = load(source)
    await events(backend, ask("first"))
    await events(backend, ask("first", "answer", "second"))
    assert [message["content"] for message in front.last.json["messages"]] == ["first", "answer", "second"]
    assert not backend._made.runnable.checkpointer.storage, "a thread nobody comes back to was kept"


async def test_a_graph_finds_parameters_in_its_context_or_is_said_to_ignore_them(
    load: Load, front: Front
) -> None:
    source = """
from dataclasses import dataclass
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime

@dataclass
class Context:
    temperature: float = 1.0

async def answer(state: MessagesState, config: RunnableConfig, runtime: Runtime[Context]):
    bound = model.bind(temperature=runtime.context.temperature, seed=config["configurable"]["seed"])
    return {"messages": [await bound.ainvoke(state["messages"], config)]}

thing = StateGraph(MessagesState, context_schema=Context).add_node(answer).add_edge(START, "answer").compile()
"""
    found = await events(load(source, accepts=["seed"]), ask("hi", temperature=0.25, seed=4, top_p=0.5))
    assert (front.last.json["temperature"], front.last.json["seed"]) == (0.25, 4)
    assert notices(found) == [Notice("parameter_ignored", "top_p: this object has no place for it")]


async def test_a_graph_that_stops_to_ask_says_what(load: Load) -> None:
    source = """
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt

def answer(state: MessagesState):
    return {"messages": [("ai", interrupt("Which year?"))]}

graph = StateGraph(MessagesState).add_node(answer).add_edge(START, "answer")
thing = graph.compile(checkpointer=InMemorySaver())
"""
    found = await events(load(source), ask("hi"))
    assert notices(found)[0].detail.startswith("the graph stopped to ask: Which year?")
    assert finish(found)


async def test_a_graph_that_never_ends_is_given_up(load: Load) -> None:
    source = """
from langgraph.graph import START, MessagesState, StateGraph
def again(state: MessagesState):
    return {}
graph = StateGraph(MessagesState).add_node(again)
thing = graph.add_edge(START, "again").add_edge("again", "again").compile()
"""
    with pytest.raises(InvalidRequest, match="Recursion limit of 7"):
        await events(load(source, recursion_limit=7), ask("hi"))


CHAIN = """
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
prompt = ChatPromptTemplate.from_messages(
    [("system", "The chain's own."), MessagesPlaceholder("chat_history"), ("human", "{input}")]
)
thing = prompt | model | StrOutputParser()
"""


async def test_a_chain_gets_question_and_history_and_keeps_its_usage(
    load: Load, front: Front, llama: LlamaServer
) -> None:
    found = await events(load(CHAIN), ask("one", "two", "three", system="Ours."))
    assert text(found) == llama.text
    assert [(m["role"], m["content"]) for m in front.last.json["messages"]] == [
        ("system", "The chain's own."),
        ("system", "Ours."),
        ("user", "one"),
        ("assistant", "two"),
        ("user", "three"),
    ]
    assert finish(found).usage.output and finish(found).model == "table"


async def test_a_chain_whose_model_was_cut_off_is_broken(load: Load, front: Front) -> None:
    chunk = '{"model": "m", "choices": [{"index": 0, "delta": {"content": "Some"}, "finish_reason": null}]}'
    front.stream("/v1/chat/completions", [f"data: {chunk}\n\n"])
    got: list[StreamEvent] = []
    with pytest.raises(BrokenStream, match="without saying that it ended"):
        async for event in load(CHAIN).stream(ask("hi"), CallContext()):
            got.append(event)
    assert text(got) == "Some"


async def test_a_chain_without_history_says_what_it_does_not_get(load: Load) -> None:
    source = """
from langchain_core.prompts import ChatPromptTemplate
thing = ChatPromptTemplate.from_template("Q: {question}") | model
"""
    found = await events(load(source), ask("one", "two", "three", system="Ours."))
    assert [notice.kind for notice in notices(found)] == ["other", "history_truncated"]


async def test_a_retrieval_chains_documents_are_citations(load: Load, llama: LlamaServer) -> None:
    source = """
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough

def retrieve(inputs: dict):
    return [
        Document("Llamas hum.", metadata={"title": "On llamas", "source": "https://example.org/llamas"}),
        Document("They also spit.", metadata={"source": "/data/notes.txt"}),
    ]

answer = ChatPromptTemplate.from_template("{context}\\n{question}") | model | StrOutputParser()
thing = RunnablePassthrough.assign(context=retrieve) | RunnablePassthrough.assign(answer=answer)
"""
    found = await events(load(source, input="chain"), ask("hi"))
    assert text(found) == llama.text
    assert [event for event in found if isinstance(event, Citation)] == [
        Citation("On llamas", "https://example.org/llamas", "Llamas hum."),
        Citation("/data/notes.txt", None, "They also spit."),
    ]


async def test_plain_functions_and_generators_are_runnables_as_well(load: Load) -> None:
    found = await events(load("def thing(messages): return 'You said ' + messages[-1].text"), ask("hi"))
    assert text(found) == "You said hi"
    assert [notice.kind for notice in notices(found)] == ["not_streamed"]
    found = await events(load("def thing(stream):\n for m in stream:\n  yield from ('a', 'b')"), ask("hi"))
    assert [event.text for event in found if isinstance(event, TextDelta)] == ["a", "b"]
    found = await events(
        load("async def thing(stream):\n async for m in stream:\n  yield 'c'\n  yield 'd'"), ask("hi")
    )
    assert [event.text for event in found if isinstance(event, TextDelta)] == ["c", "d"]


async def test_a_factory_is_called_once(load: Load, llama: LlamaServer) -> None:
    source = "made = []\ndef thing():\n made.append(1)\n assert len(made) == 1\n return model"
    backend = load(source)
    for _ in range(2):
        assert text(await events(backend, ask("hi"))) == llama.text


async def test_text_input_gets_the_last_message(load: Load) -> None:
    found = await events(load("def thing(said: str): return said.upper()", input="text"), ask("hi there"))
    assert text(found) == "HI THERE"


async def test_tool_calls_of_a_bare_model_end_the_turn_with_them(load: Load) -> None:
    source = """
from langchain_core.tools import tool
@tool
def look_up(q: str) -> str:
    "Looks something up."
    return ""
thing = model.bind_tools([look_up])
"""
    found = await events(load(source), ask("use the tool", temperature=0))
    assert [type(event) for event in found] == [ToolCall, Finish]
    assert finish(found).reason == "tool_calls"


async def test_parallel_models_do_not_break_each_other(load: Load, llama: LlamaServer) -> None:
    source = """
from langgraph.graph import START, MessagesState, StateGraph
async def one(state: MessagesState):
    return {"messages": [await model.ainvoke(state["messages"])]}
async def two(state: MessagesState):
    return {"messages": [await model.ainvoke(state["messages"])]}
thing = (StateGraph(MessagesState).add_node(one).add_node(two)
         .add_edge(START, "one").add_edge(START, "two").compile())
"""
    found = await events(load(source), ask("hi"))
    assert text(found) == f"{llama.text}\n\n{llama.text}", "one after the other, and apart"
    assert accumulate(found).finish is not None


# -- what is raised


async def test_an_error_of_the_object_is_one_sentence_without_secrets(load: Load) -> None:
    source = "def thing(m): raise KeyError('Bearer abcdefghijklmnop is not known\\nsecond line')"
    with pytest.raises(Unavailable) as caught:
        await events(load(source), ask("hi"))
    assert type(caught.value.__cause__) is KeyError
    assert caught.value.detail.startswith("KeyError: ")
    assert "abcdefghijklmnop" not in str(caught.value)
    assert not caught.value.retryable
    assert "\n" not in str(caught.value)


async def test_chatlabs_own_errors_pass_through(load: Load) -> None:
    source = "from chatlab.errors import RateLimited\ndef thing(m): raise RateLimited('slow', status=429)"
    with pytest.raises(RateLimited, match="slow"):
        await events(load(source), ask("hi"))


async def test_an_object_that_answers_with_something_else_is_said_to(load: Load) -> None:
    with pytest.raises(BrokenStream, match="gave nothing that is text"):
        await events(load("def thing(m): return object()"), ask("hi"))


def test_every_exception_of_langchain_core_for_models_is_mapped() -> None:
    import langchain_core.exceptions as theirs

    from backends.langchain.errors import classify_langchain

    found = [
        cls for cls in vars(theirs).values() if isinstance(cls, type) and issubclass(cls, theirs.ModelError)
    ]
    assert len(found) > 5
    statuses = {}
    for cls in found:
        error = classify_langchain(cls("why"), begun=False)
        assert isinstance(error, ChatlabError)
        statuses[cls.__name__] = type(error).__name__
    assert statuses["ModelRateLimitError"] == "RateLimited"
    assert statuses["ModelNotFoundError"] == "ModelNotFound"
    assert statuses["ContextOverflowError"] == "ContextTooLong"
    assert statuses.get("ModelRefusalError", "ContentFiltered") == "ContentFiltered"  # newer than our floor
    unmapped = [name for name, kind in statuses.items() if kind == "Unavailable"]
    assert sorted(unmapped) == ["ModelAPIError", "ModelConnectionError", "ModelError", "ModelTimeoutError"]


# -- synchronous objects


SYNC_LINES = """
import httpx2
client = httpx2.Client(timeout=None)

def thing(stream):
    for messages in stream:
        with client.stream("POST", os.environ["TEST_URL"] + PATH, content=messages[-1].text) as reply:
            for line in reply.iter_lines():
                yield line
"""
URLLIB = """
import urllib.request

def thing(stream):
    for messages in stream:
        request = urllib.request.Request(os.environ["TEST_URL"] + PATH, messages[-1].text.encode())
        with urllib.request.urlopen(request) as reply:
            for line in reply:
                yield line.decode()
"""
# A model that has no asynchronous way, within a graph that has one: LangChain runs it in the executor.
SYNC_MODEL = """
import httpx2
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
client = httpx2.Client(timeout=None)

class Lines(BaseChatModel):
    @property
    def _llm_type(self): return "lines"
    def _generate(self, *args, **kwargs): raise NotImplementedError
    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        with client.stream("POST", os.environ["TEST_URL"] + PATH, content=messages[-1].text) as reply:
            for line in reply.iter_lines():
                chunk = ChatGenerationChunk(message=AIMessageChunk(line))
                if run_manager:
                    run_manager.on_llm_new_token(line, chunk=chunk)
                yield chunk

thing = create_agent(Lines(), [])
"""


@pytest.fixture
def stalling(front: Front) -> str:
    """A path that answers with one line and is then silent; its requests say "hold" to be held."""
    from starlette.requests import Request
    from starlette.responses import Response, StreamingResponse

    async def handler(request: Request) -> Response:
        hold = b"hold" in await request.body()

        async def body() -> Any:
            yield "one\n"
            if hold:
                await asyncio.Event().wait()
            yield "two\n"

        return StreamingResponse(body(), media_type="text/plain")

    front.on("POST", "/lines", handler)
    return 'PATH = "/lines"\n'


async def stop_in_a_read(backend: LangChainBackend, front: Front, how: str) -> float:
    """Seconds between leaving a call that is blocked in a read, and its upstream seeing that."""
    before = len(front.requests)
    first = asyncio.Event()

    async def read() -> None:
        async for event in backend.stream(ask("hold"), CallContext()):
            if isinstance(event, TextDelta):
                first.set()

    if how == "cancel":
        task = asyncio.create_task(read())
        await asyncio.wait_for(first.wait(), 10)
        left = time.perf_counter()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        stream: Any = backend.stream(ask("hold"), CallContext())
        async for event in stream:
            if isinstance(event, TextDelta):
                break
        left = time.perf_counter()
        await stream.aclose()
    assert time.perf_counter() - left < 2, "the call itself did not return at once"
    (seen,) = front.requests[before:]
    assert await asyncio.to_thread(seen.closed.wait, 5), "the upstream never saw the close"
    assert seen.closed_at is not None
    return seen.closed_at - left


@pytest.mark.parametrize("how", ["cancel", "close"])
@pytest.mark.parametrize("source", [SYNC_LINES, URLLIB, SYNC_MODEL], ids=["httpx2", "urllib", "executor"])
async def test_the_upstream_of_a_thread_blocked_in_a_read_sees_a_stop(
    load: Load, front: Front, stalling: str, source: str, how: str
) -> None:
    backend = load(stalling + source)
    waits = [await stop_in_a_read(backend, front, how) for _ in range(20)]
    assert statistics.quantiles(waits, n=20)[-1] < 0.25, waits


async def test_a_stop_on_a_pooled_connection_reaches_it(load: Load, front: Front, stalling: str) -> None:
    """No `connect` happens in the call that is stopped: its connection was opened by another."""
    backend = load(stalling + SYNC_LINES)
    assert text(await events(backend, ask("go"))) == "onetwo"
    assert await stop_in_a_read(backend, front, "cancel") < 0.25
    first, second = front.requests
    assert first.port == second.port


async def test_a_stop_leaves_other_calls_of_the_same_object_alone(
    load: Load, front: Front, stalling: str
) -> None:
    """The stopped call's first connection is used by another by then; only its present one is shut."""
    source = """
import httpx2
client = httpx2.Client(timeout=None)
def thing(stream):
    for messages in stream:
        for said in messages[-1].text.split():
            with client.stream("POST", os.environ["TEST_URL"] + "/lines", content=said) as reply:
                for line in reply.iter_lines():
                    yield line
"""
    backend = load(source)
    stopped = asyncio.create_task(events(backend, ask("go hold")))
    await front.wait_for(2)
    await asyncio.to_thread(front.requests[1].started.wait, 5)
    other = asyncio.create_task(events(backend, ask("hold")))
    await front.wait_for(3)
    await asyncio.to_thread(front.requests[2].started.wait, 5)
    stopped.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopped
    assert await asyncio.to_thread(front.requests[1].closed.wait, 5)
    assert text(await events(backend, ask("go"))) == "onetwo"
    assert not front.requests[2].closed.is_set()
    other.cancel()
    with pytest.raises(asyncio.CancelledError):
        await other


async def test_a_clients_own_retries_do_not_go_on_after_a_stop(
    load: Load, front: Front, stalling: str
) -> None:
    source = (
        SYNC_LINES
        + """
import threading
lines, ended = thing, threading.Event()
def thing(stream):
    messages = next(stream)
    try:
        for _ in range(5):
            try:
                yield from lines(iter([messages]))
            except httpx2.HTTPError:
                pass
    finally:
        ended.set()
"""
    )
    backend = load(stalling + source)
    await stop_in_a_read(backend, front, "cancel")
    import sys

    module: Any = sys.modules[(backend.options.object or "").partition(":")[0]]
    assert await asyncio.to_thread(module.ended.wait, 5)
    assert len(front.requests) == 1


async def test_synchronous_objects_do_not_use_up_the_loops_executor(
    load: Load, front: Front, stalling: str
) -> None:
    backend = load(stalling + SYNC_LINES)
    tasks = [asyncio.create_task(events(backend, ask("hold"))) for _ in range(40)]
    await front.wait_for(40)
    assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 5) == "free"
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for seen in front.requests:
        assert await asyncio.to_thread(seen.closed.wait, 5)


async def test_a_synchronous_object_marks_its_connection(load: Load, stalling: str) -> None:
    marks: list[Mark] = []
    async for _ in load(stalling + SYNC_LINES).stream(ask("go"), CallContext(mark=marks.append)):
        pass
    assert marks == ["connected"]


BLOCKED = {
    "an iterator": """
import threading
gate = threading.Event()
def thing(stream):
    for messages in stream:
        yield "one"
        gate.wait()
""",
    "a synchronous graph": """
import threading
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph
gate = threading.Event()
def node(state: MessagesState):
    get_stream_writer()({"chunk": "one"})
    gate.wait()
    return {}
thing = StateGraph(MessagesState).add_node(node).add_edge(START, "node").compile()
""",
    "a synchronous node of an asynchronous graph": """
import threading
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph
gate = threading.Event()
async def first(state: MessagesState): return {}
def node(state: MessagesState):
    get_stream_writer()({"chunk": "one"})
    gate.wait()
    return {}
graph = StateGraph(MessagesState).add_node(first).add_node(node)
thing = graph.add_edge(START, "first").add_edge("first", "node").compile()
""",
}


@pytest.mark.parametrize("how", ["cancel", "close"])
@pytest.mark.parametrize("source", BLOCKED.values(), ids=BLOCKED)
async def test_a_turn_ends_at_once_also_where_what_blocks_uses_no_socket(
    load: Load, source: str, how: str
) -> None:
    backend = load(source)
    module: Any = sys.modules[(backend.options.object or "").partition(":")[0]]
    stream: Any = backend.stream(ask("hi"), CallContext())
    try:
        async for event in stream:
            if isinstance(event, TextDelta):
                break
        left = time.perf_counter()
        if how == "close":
            await stream.aclose()
        else:
            waiting = asyncio.create_task(anext(stream))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        assert time.perf_counter() - left < 2
    finally:
        module.gate.set()


async def test_no_thread_outlives_a_stopped_call(load: Load, front: Front, stalling: str) -> None:
    backend = load(stalling + SYNC_LINES)
    await stop_in_a_read(backend, front, "cancel")
    for thread in threading.enumerate():
        if thread.name == "chatlab langchain":
            await asyncio.to_thread(thread.join, 5)
            assert not thread.is_alive()


# -- options and readiness


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "exactly one of model and object"),
        ({"model": "openai:m", "object": "a:b"}, "exactly one of model and object"),
        ({"model": "gpt-5-mini"}, "write the provider before the model"),
        ({"object": "a:b", "base_url": "http://x"}, "goes with model"),
        (
            {"model": "openai:m", "model_options": {"azure_ad_token": "x"}},
            "give azure_ad_token under secrets",
        ),
        ({"model": "openai:m", "api_key": "sk-literal-key-000"}, "by reference"),
        ({"object": "a b:c"}, "match pattern"),
    ],
)
def test_options_that_cannot_be_are_refused(given: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        LangChainOptions.model_validate(given)
    assert expected in str(caught.value)
    assert "sk-literal" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "environment", "expected"),
    [
        ({"model": "openai:m"}, {}, "set OPENAI_API_KEY"),
        ({"model": "openai:m"}, {"OPENAI_API_KEY": "k"}, None),
        ({"model": "openai:m", "base_url": "http://127.0.0.1:1/v1"}, {}, None),
        ({"model": "openai:m", "api_key": {"env": "MINE"}}, {}, "set MINE"),
        ({"model": "azure_openai:m"}, {"AZURE_OPENAI_API_KEY": "k"}, "set AZURE_OPENAI_ENDPOINT"),
        (
            {
                "model": "azure_openai:m",
                "model_options": {"azure_endpoint": "https://x", "api_version": "2025-01-01"},
            },
            {"AZURE_OPENAI_API_KEY": "k"},
            None,
        ),
        ({"model": "cohere:m"}, {}, "pip install langchain-cohere"),
        ({"object": "no_such_module_anywhere:x"}, {}, "put the module no_such_module_anywhere into"),
    ],
)
def test_what_is_missing_is_said_before_it_is_needed(
    given: dict[str, Any], environment: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = LangChainBackend.not_ready(LangChainOptions.model_validate(given))
    assert found == expected if expected is None else (found or "").startswith(expected)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("grpah = 1", "defines no graph, did you mean grpah?"),
        ("def make():\n    graph = 1", "defines no graph"),
        ("raise RuntimeError  # is never run\nagent = graph = None", None),
        ("from elsewhere import thing as graph", None),
        ("try:\n    import graph.nodes\nexcept ImportError:\n    pass", None),
        ("with open('x') as graph:\n    pass", None),
        ("if True:\n    async def graph(): ...", None),
        ("from elsewhere import *", None),
        ("def __getattr__(name): ...", None),
        ("globals()['gra' + 'ph'] = 1", None),
        ("def make():\n    global graph\n    graph = 1\nmake()", None),
        ("def broken(", None),
    ],
)
def test_an_object_that_its_module_does_not_define_is_said_without_importing_it(
    source: str, expected: str | None, tmp_path: Path
) -> None:
    (tmp_path / "unread_module.py").write_text(source, "utf-8")
    found = LangChainBackend.not_ready(LangChainOptions(object="unread_module:graph", python_path=tmp_path))
    assert found is None if expected is None else expected in (found or "")
    assert "unread_module" not in sys.modules


def test_the_table_of_providers_is_langchains_own() -> None:
    from langchain.chat_models import base

    theirs = {name: entry[0].partition(".")[0] for name, entry in base._BUILTIN_PROVIDERS.items()}
    assert {name: entry.module for name, entry in _langchain_providers.PROVIDERS.items()} == theirs


def test_an_address_names_provider_and_model() -> None:
    options: Any = from_address("langchain:openai:gpt-5-mini").config.options
    assert options.model == "openai:gpt-5-mini"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("vars()", "has no thing"),
        ("thing = 5", "a int is neither a Runnable nor a graph nor a callable"),
        ("async def thing(): return model", "asynchronous factory"),
    ],
)
def test_an_object_that_is_none_is_one_sentence(load: Load, source: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        load(source)


def test_a_module_of_the_same_name_from_elsewhere_is_not_taken_for_it(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same_name_module.py").write_text(f"def thing(m): return '{folder}'")
    LangChainBackend(LangChainOptions(object="same_name_module:thing", python_path=tmp_path / "one"))
    with pytest.raises(ConfigError, match="imported before: rename it"):
        LangChainBackend(LangChainOptions(object="same_name_module:thing", python_path=tmp_path / "two"))


def test_a_model_langchain_does_not_know_is_not_ready() -> None:
    with pytest.raises(NotReady, match="LangChain has no provider nobody: there are anthropic, "):
        LangChainBackend(LangChainOptions(model="nobody:nothing"))
    with pytest.raises(NotReady, match="LangChain has no provider opnai, did you mean openai"):
        LangChainBackend(LangChainOptions(model="opnai:m"))
