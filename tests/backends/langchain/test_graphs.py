"""LangGraph and LangChain as people write them: states, threads, interrupts, structured answers, usage."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from backends.langchain import LangChainBackend
from chatlab.backend import CallContext, ChatRequest
from chatlab.errors import AuthRequired, ChatlabError, ConfigError
from chatlab.messages import (
    Message,
    Notice,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolResult,
)
from tests.backends.langchain.calls import Load, ask, events, finish, notices, text
from tests.servers.front import Front

CHUNK = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
GRAPH = """
import operator
from typing import Annotated, Any, TypedDict
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.func import entrypoint
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt

class State(TypedDict):
    messages: Annotated[list, add_messages]

def said(state):
    return [m.text for m in state.get("messages", [])]

from langchain_core.language_models import BaseChatModel
from langchain_core.outputs import ChatGeneration, ChatResult
class Says(BaseChatModel):
    #Says these messages, one a call.
    messages: list
    @property
    def _llm_type(self): return "says"
    def bind_tools(self, tools, **kwargs): return self
    def _generate(self, *args, **kwargs):
        return ChatResult(generations=[ChatGeneration(message=self.messages.pop(0))])

def compiled(*nodes, state=State, **options):
    graph = StateGraph(state)
    before = START
    for node in nodes:
        graph.add_node(node)
        graph.add_edge(before, node.__name__)
        before = node.__name__
    return graph.compile(**options)
"""


class Conversation:
    """What a front end does: it asks, and sends what was said the next time."""

    def __init__(self, backend: LangChainBackend, name: str = "one") -> None:
        self.backend = backend
        self.name = name
        self.said: list[Message] = []

    async def ask(self, message: str) -> str:
        self.said.append(Message.of("user", message))
        answer = text(await events(self.backend, ChatRequest(tuple(self.said)), self.name))
        self.said.append(Message.of("assistant", answer))
        return answer


# -- what a graph is given


@pytest.mark.parametrize("options", [{}, {"input": "state"}])
async def test_a_state_of_typing_typeddict_gets_its_messages(load: Load, options: dict[str, Any]) -> None:
    source = GRAPH + (
        "def chatbot(state: State):\n return {'messages': [AIMessage(str(said(state)))]}\n"
        "thing = compiled(chatbot)"
    )
    found = await events(load(source, **options), ask("one", "two", "three"))
    assert text(found) == "['one', 'two', 'three']"


async def test_an_input_schema_of_its_own_is_what_the_graph_takes(load: Load) -> None:
    source = (
        GRAPH
        + """
class In(TypedDict):
    question: str
class Whole(In):
    answer: str
def reply(state: Whole): return {"answer": "to " + state["question"]}
graph = StateGraph(Whole, input_schema=In).add_node(reply).add_edge(START, "reply")
thing = graph.compile()
"""
    )
    found = await events(load(source), ask("hi"))
    assert text(found) == "to hi"
    assert [notice.kind for notice in notices(found)] == ["not_streamed"]


async def test_a_key_that_nobody_knows_can_be_told(load: Load) -> None:
    source = (
        GRAPH
        + """
class Whole(TypedDict):
    wish: str
    mood: str
    past: list
def reply(state: Whole): return {"mood": f"{state['wish']} after {len(state['past'])}"}
thing = StateGraph(Whole).add_node(reply).add_edge(START, "reply").compile()
"""
    )
    with pytest.raises(
        ConfigError, match=r"which input is the message: wish, mood, past.+under question_key"
    ):
        await events(load(source), ask("hi"))
    found = await events(load(source, question_key="wish", history_key="past"), ask("one", "two", "three"))
    assert text(found) == "three after 2"
    assert "the graph has no messages and no answer: shown is what it wrote, mood" in str(notices(found))


async def test_a_state_that_is_a_list_of_messages_gets_them(load: Load) -> None:
    source = GRAPH + (
        "def reply(messages): return [AIMessage('of ' + str(len(messages)))]\n"
        "thing = StateGraph(Annotated[list, add_messages]).add_node(reply).add_edge(START, 'reply').compile()"
    )
    assert text(await events(load(source), ask("one", "two", "three"))) == "of 3"


@pytest.mark.parametrize(
    ("signature", "expected", "guess"),
    [
        ("said: str", "three", False),
        ("said: list", "3", False),
        ("said", "3", True),
    ],
)
async def test_an_entrypoint_is_given_what_it_says_it_takes_and_a_guess_is_said(
    load: Load, signature: str, expected: str, guess: bool
) -> None:
    source = GRAPH + (
        f"@entrypoint()\nasync def thing({signature}):\n"
        "  return said if isinstance(said, str) else str(len(said))"
    )
    found = await events(load(source), ask("one", "two", "three"))
    assert text(found) == expected
    assert any("that is a guess" in notice.detail for notice in notices(found)) is guess


# -- what a graph says


@pytest.mark.parametrize(
    "message",
    [
        "{'role': 'assistant', 'content': 'Hello'}",
        "{'role': 'ai', 'content': [{'type': 'text', 'text': 'Hello'}]}",
        "('ai', 'Hello')",
        "AIMessage('Hello')",
    ],
)
@pytest.mark.parametrize("reducer", ["operator.add", "add_messages"])
async def test_messages_as_dictionaries_are_messages(load: Load, message: str, reducer: str) -> None:
    source = (
        GRAPH
        + f"""
class Own(TypedDict):
    messages: Annotated[list, {reducer}]
def node(state: Own): return {{"messages": [{message}]}}
thing = compiled(node, state=Own)
"""
    )
    for asked in (ask("hi"), ask("one", "two", "three")):
        assert text(await events(load(source), asked)) == "Hello"


@pytest.mark.parametrize(
    "message",
    [
        "{'role': 'assistant', 'content': 'Hello'}",
        "{'type': 'ai', 'content': 'Hello'}",
        "{'type': 'ai', 'data': {'content': 'Hello'}}",
        "{'role': 'model', 'content': 'Hello'}",
        "('ai', 'Hello')",
    ],
)
async def test_messages_in_the_place_of_all_others_are_read(load: Load, message: str) -> None:
    source = (
        GRAPH
        + f"""
class Own(TypedDict):
    messages: list
def node(state: Own): return {{"messages": [{message}]}}
thing = compiled(node, state=Own)
"""
    )
    for asked in (ask("hi"), ask("one", "two", "three")):
        assert text(await events(load(source), asked)) == "Hello"


async def test_tool_results_that_are_dictionaries_are_shown(load: Load) -> None:
    source = (
        GRAPH
        + """
class Own(TypedDict):
    messages: Annotated[list, operator.add]
def call(state: Own):
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": '{"q": 1}'}}
    return {"messages": [{"role": "assistant", "content": None, "tool_calls": [call]}]}
def tool(state: Own): return {"messages": [{"role": "tool", "tool_call_id": "1", "content": {"found": 3}}]}
def reply(state: Own): return {"messages": [{"role": "assistant", "content": "It is 3."}]}
thing = compiled(call, tool, reply, state=Own)
"""
    )
    found = await events(load(source), ask("hi"))
    (call,) = (event for event in found if isinstance(event, ToolCall))
    (result,) = (event for event in found if isinstance(event, ToolResult))
    assert (call.name, json.loads(call.arguments)) == ("look", {"q": 1})
    assert (result.id, json.loads(result.content)) == ("1", {"found": 3})
    assert text(found) == "It is 3."


async def test_nodes_that_follow_each_other_are_told_apart(load: Load) -> None:
    source = (
        GRAPH
        + """
def plan(state: State): return {"messages": [AIMessage("First this.")]}
def write(state: State): return {"messages": [{"role": "assistant", "content": "Then that."}]}
def check(state: State): return {"messages": [AIMessage("Done.")]}
thing = compiled(plan, write, check)
"""
    )
    assert text(await events(load(source), ask("hi"))) == "First this.\n\nThen that.\n\nDone."


PARALLEL = """
import asyncio
from langchain_core.language_models import BaseChatModel
from langchain_core.outputs import ChatGenerationChunk
turns = []
class Letters(BaseChatModel):
    letter: str
    @property
    def _llm_type(self): return "letters"
    def _generate(self, *args, **kwargs): raise NotImplementedError
    async def _astream(self, messages, stop=None, run_manager=None, **kwargs):
        for number in range(4):
            turns.append(self.letter)
            chunk = ChatGenerationChunk(message=AIMessageChunk(self.letter))
            if run_manager: await run_manager.on_llm_new_token(self.letter, chunk=chunk)
            yield chunk
            await asyncio.sleep(0.01)
"""


async def test_parallel_nodes_do_not_interleave(load: Load) -> None:
    source = (
        GRAPH
        + PARALLEL
        + """
async def one(state: State): return {"messages": [await Letters(letter="a").ainvoke(state["messages"])]}
async def two(state: State):
    found = await asyncio.gather(*(Letters(letter=letter).ainvoke("x") for letter in "bc"))
    return {"messages": found}
def last(state: State): return {"messages": [AIMessage("end")]}
graph = StateGraph(State).add_node(one).add_node(two).add_node(last)
graph.add_edge(START, "one").add_edge(START, "two").add_edge(["one", "two"], "last")
thing = graph.compile()
"""
    )
    found = await events(load(source), ask("hi"))
    blocks = text(found).split("\n\n")
    assert sorted(blocks[:3]) == ["aaaa", "bbbb", "cccc"]
    assert blocks[3:] == ["end"]
    first = [event.text for event in found if isinstance(event, TextDelta)][:4]
    assert len(set(first)) == 1 and len(first) == 4, "the first one is told as it arrives"


async def test_what_nodes_write_to_the_stream_is_shown(load: Load) -> None:
    source = (
        GRAPH
        + """
def node(state: State):
    write = get_stream_writer()
    write("Looking it up")
    write({"status": "half way"})
    write({"step": 2, "of": 3})
    write({"custom_llm_chunk": "It is "})
    write({"custom_llm_chunk": "three."})
    return {}
thing = compiled(node)
"""
    )
    found = await events(load(source), ask("hi"))
    shown = "".join(event.text for event in found if isinstance(event, ReasoningDelta))
    assert "Looking it up\n" in shown and "half way\n" in shown and '"step": 2' in shown
    assert text(found) == "It is three."


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}],
            "an image at https://example.org/a.png in the answer",
        ),
        (
            [{"type": "image", "base64": "aGk=", "mime_type": "image/png"}],
            "an image (image/png) in the answer",
        ),
        (
            [{"type": "audio", "base64": "aGk=", "mime_type": "audio/wav"}],
            "an audio (audio/wav) in the answer",
        ),
    ],
)
async def test_images_in_an_answer_are_said(load: Load, content: Any, said: str) -> None:
    source = (
        GRAPH + f"def thing(messages): return AIMessage({[{'type': 'text', 'text': 'Here:'}, *content]!r})"
    )
    found = await events(load(source), ask("hi"))
    assert text(found) == "Here:"
    assert any(notice.detail.startswith(said) for notice in notices(found))


@pytest.mark.parametrize(
    "message",
    [
        "AIMessage('', additional_kwargs={'refusal': 'I will not.'})",
        "AIMessage([{'type': 'refusal', 'refusal': 'I will not.'}])",
    ],
)
async def test_a_refusal_is_shown_and_is_the_reason(load: Load, message: str) -> None:
    found = await events(load(GRAPH + f"def thing(messages): return {message}"), ask("hi"))
    assert text(found) == "I will not."
    assert finish(found).reason == "content_filter"


# -- structured answers

PARSED = (
    GRAPH
    + """
from pydantic import BaseModel
from langchain_core.language_models import GenericFakeChatModel
from dataclasses import dataclass
from langchain_core.output_parsers import (
    CommaSeparatedListOutputParser, JsonOutputParser, PydanticOutputParser, StrOutputParser
)
class City(BaseModel):
    answer: str
    people: int | None = None
@dataclass
class Town:
    name: str
fake = GenericFakeChatModel(messages=iter([AIMessage(WORDS)] * 9))
"""
)


@pytest.mark.parametrize(
    ("thing", "words", "expected"),
    [
        ("fake | JsonOutputParser()", '{"answer": "Paris", "people": 2}', {"answer": "Paris", "people": 2}),
        (
            "fake | PydanticOutputParser(pydantic_object=City)",
            '{"answer": "Rom"}',
            {"answer": "Rom", "people": None},
        ),
        ("fake | CommaSeparatedListOutputParser()", "red, green, blue", ["red", "green", "blue"]),
        ("fake | (lambda m: City(answer=m.text))", "Bern", {"answer": "Bern", "people": None}),
        ("fake | (lambda m: {'city': {'name': m.text}})", "Bern", {"city": {"name": "Bern"}}),
        ("fake | (lambda m: len(m.text))", "Bern", 4),
        ("fake | (lambda m: m.text == 'Bern')", "Bern", True),
        ("fake | (lambda m: Town(m.text))", "Bern", {"name": "Bern"}),
    ],
)
async def test_a_structured_answer_is_its_json(load: Load, thing: str, words: str, expected: Any) -> None:
    found = await events(load(f"WORDS = {words!r}\n{PARSED}\nthing = {thing}"), ask("hi"))
    assert json.loads(text(found)) == expected


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # LangChain's own
async def test_with_structured_output_answers_in_json(load: Load, front: Front) -> None:
    body = {"role": "assistant", "content": '{"answer": "Paris", "people": 2}'}
    chunks = [
        {**CHUNK, "choices": [{"index": 0, "delta": body, "finish_reason": None}]},
        {**CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    ]
    front.stream("/v1/chat/completions", [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks])
    source = "WORDS = ''\n" + PARSED
    for thing in (
        "model.with_structured_output(City)",
        "model.with_structured_output(City, method='json_mode')",
        "model.with_structured_output(City.model_json_schema(), method='json_schema')",
        "model.with_structured_output(City, include_raw=True)",
    ):
        found = await events(load(f"{source}\nthing = {thing}"), ask("hi"))
        assert json.loads(text(found)) == {"answer": "Paris", "people": 2}, thing
        assert finish(found).model == "m"


@pytest.mark.parametrize(
    ("words", "strategy", "expected"),
    [
        ('"Here it is."', "ToolStrategy(City)", "Here it is.\n\n{JSON}"),
        ('[{"type": "text", "text": "Here it is."}]', "ToolStrategy(City)", "Here it is.\n\n{JSON}"),
        ('\'{"answer": "Paris"}\'', "ProviderStrategy(City)", '{"answer": "Paris"}'),
    ],
)
async def test_words_beside_a_structured_answer_do_not_take_its_place(
    load: Load, words: str, strategy: str, expected: str
) -> None:
    calls = '[{"name": "City", "args": {"answer": "Paris"}, "id": "1"}]' if "Tool" in strategy else "[]"
    source = (
        "WORDS = ''\n"
        + PARSED
        + f"""
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
said = AIMessage({words}, tool_calls={calls})
thing = create_agent(Says(messages=[said]), [], response_format={strategy})
"""
    )
    whole = json.dumps({"answer": "Paris", "people": None}, indent=2)
    assert text(await events(load(source), ask("hi"))) == expected.replace("{JSON}", whole)


async def test_an_agents_response_format_is_its_answer(load: Load) -> None:
    source = (
        "WORDS = ''\n"
        + PARSED
        + """
from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
call = AIMessage("", tool_calls=[{"name": "City", "args": {"answer": "Paris"}, "id": "1"}])
thing = create_agent(Says(messages=[call]), [], response_format=ToolStrategy(City))
"""
    )
    found = await events(load(source), ask("hi"))
    assert json.loads(text(found)) == {"answer": "Paris", "people": None}
    assert finish(found).reason == "stop"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("'It is ' + said", "It is hi"),
        ("{'answer': 'It is ' + said}", "It is hi"),
        ("AIMessage('It is ' + said)", "It is hi"),
        ("{'messages': [AIMessage('It is ' + said)]}", "It is hi"),
    ],
)
async def test_what_an_entrypoint_returns_is_the_answer(load: Load, value: str, expected: str) -> None:
    source = GRAPH + f"@entrypoint()\ndef thing(said: str):\n return {value}"
    assert text(await events(load(source), ask("hi"))) == expected


# -- threads and interrupts

REMEMBERS = (
    GRAPH
    + """
threads = []
def reply(state: State, config):
    threads.append(config["configurable"]["thread_id"])
    return {"messages": [AIMessage(f"{len(threads)}: " + " / ".join(said(state)))]}
thing = compiled(reply, checkpointer=InMemorySaver())
"""
)


async def test_each_conversation_has_one_thread_which_has_everything_once(load: Load) -> None:
    backend = load(REMEMBERS)
    one, two = Conversation(backend, "one"), Conversation(backend, "two")
    assert await one.ask("a") == "1: a"
    assert await two.ask("x") == "2: x"
    assert await one.ask("b") == "3: a / 1: a / b"
    assert await two.ask("y") == "4: x / 2: x / y"
    import sys

    module: Any = sys.modules[(backend.options.object or "").partition(":")[0]]
    assert module.threads == ["one", "two", "one", "two"]


async def test_an_edit_or_a_retry_goes_on_from_where_it_was(load: Load) -> None:
    backend = load(REMEMBERS)
    chat = Conversation(backend)
    await chat.ask("a")
    await chat.ask("b")
    first, second = chat.said[:2], chat.said[2:]
    chat.said = [*first]
    assert await chat.ask("b, edited") == "3: a / 1: a / b, edited"
    chat.said = [*first, *second]
    assert await chat.ask("c") == "4: a / 1: a / b / 2: a / 1: a / b / c", "the branch before the edit"
    chat.said = []
    assert await chat.ask("anew") == "5: anew"


async def test_the_answer_that_was_picked_is_the_one_that_is_gone_on_with(load: Load) -> None:
    backend = load(REMEMBERS)
    chat = Conversation(backend)
    await chat.ask("a")
    picked = [*chat.said]
    chat.said = []
    assert await chat.ask("a") == "2: a", "a retry begins from nothing"
    chat.said = [*picked]
    assert await chat.ask("b") == "3: a / 1: a / b", "nothing of the answer that was not picked"


async def test_a_conversation_from_elsewhere_is_given_whole(load: Load) -> None:
    backend = load(REMEMBERS)
    assert text(await events(backend, ask("a", "b", "c"), "one")) == "1: a / b / c"


INTERRUPTED = (
    GRAPH
    + """
def ask_year(state: State):
    year = interrupt("Which year?")
    return {"messages": [AIMessage(f"In {year}, after " + " / ".join(said(state)))]}
"""
)


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_the_next_message_answers_what_the_graph_asked(load: Load, asynchronous: bool) -> None:
    source = INTERRUPTED.replace("def ask_year", "async def ask_year") if asynchronous else INTERRUPTED
    backend = load(source + "thing = compiled(ask_year, checkpointer=InMemorySaver())")
    chat, other = Conversation(backend), Conversation(backend, "other")
    assert await chat.ask("Tell me") == "Which year?"
    assert await other.ask("Something else") == "Which year?"
    assert await chat.ask("1999") == "In 1999, after Tell me"
    assert await other.ask("2001") == "In 2001, after Something else"
    assert await chat.ask("And now?") == "Which year?"
    assert await chat.ask("2000") == "In 2000, after Tell me / In 1999, after Tell me / And now?"


async def test_an_entrypoint_that_asks_goes_on_too(load: Load) -> None:
    source = (
        GRAPH
        + """
@entrypoint(checkpointer=InMemorySaver())
async def thing(said: str):
    return f"{said} in {interrupt({'question': 'Which year?', 'from': 1900})}"
"""
    )
    chat = Conversation(load(source))
    asked = await chat.ask("Tell me")
    assert asked.startswith("Which year?") and '"from": 1900' in asked
    assert await chat.ask("1999") == "Tell me in 1999"


async def test_nodes_that_ask_at_the_same_time_are_answered_one_after_the_other(load: Load) -> None:
    source = (
        GRAPH
        + """
class Both(TypedDict):
    messages: Annotated[list, add_messages]
def one(state: Both): return {"messages": [AIMessage("one: " + interrupt("One?"))]}
def two(state: Both): return {"messages": [AIMessage("two: " + interrupt("Two?"))]}
graph = StateGraph(Both).add_node(one).add_node(two).add_edge(START, "one").add_edge(START, "two")
thing = graph.compile(checkpointer=InMemorySaver())
"""
    )
    chat = Conversation(load(source))
    assert sorted((await chat.ask("hi")).split("\n\n")) == ["One?", "Two?"]
    again = await chat.ask("a")
    assert again.split("\n\n")[-1] in ("One?", "Two?") and again.count("?") == 1
    assert "b" in await chat.ask("b")


AT_THE_SAME_TIME = (
    GRAPH
    + """
class Several(TypedDict):
    messages: Annotated[list, add_messages]
def early(state: Several): return {"messages": [AIMessage("Early.")]}
def done(state: Several): return {"messages": DONE}
def one(state: Several): return {"messages": [AIMessage("one: " + interrupt("One?"))]}
def two(state: Several): return {"messages": [AIMessage("two: " + interrupt("Two?"))]}
def three(state: Several): return {"messages": [AIMessage("three: " + interrupt("Three?"))]}
def last(state: Several): return {"messages": [AIMessage("Last.")]}
graph = StateGraph(Several)
for node in (early, done, one, two, three, last): graph.add_node(node)
graph.add_edge(START, "early").add_edge(["done", "one", "two", "three"], "last")
for name in ("done", "one", "two", "three"): graph.add_edge("early", name)
thing = graph.compile(checkpointer=InMemorySaver())
"""
)


@pytest.mark.parametrize(
    "given", ['[AIMessage("Done.")]', '[("ai", "Done.")]', '{"role": "ai", "content": "Done."}']
)
async def test_what_a_node_said_beside_others_that_ask_is_not_said_again(load: Load, given: str) -> None:
    chat = Conversation(load(AT_THE_SAME_TIME.replace("DONE", given)))
    first, done, *asked = (await chat.ask("hi")).split("\n\n")
    assert (first, done, sorted(asked)) == ("Early.", "Done.", ["One?", "Three?", "Two?"])
    names = [question.rstrip("?").lower() for question in asked]
    assert await chat.ask("a") == f"{names[0]}: a\n\n{asked[1]}\n\n{asked[2]}", "the first that was read"
    assert await chat.ask("b") == f"{names[1]}: b\n\n{asked[2]}"
    assert await chat.ask("c") == f"{names[2]}: c\n\nLast."
    assert (await chat.ask("hi again")).startswith("Early.\n\nDone.\n\n"), "another turn says it anew"


async def test_a_graph_that_stops_before_a_node_goes_on_with_the_next_message(load: Load) -> None:
    source = (
        GRAPH
        + """
def plan(state: State): return {"messages": [AIMessage("A plan.")]}
def act(state: State): return {"messages": [AIMessage("Acted on " + said(state)[-1])]}
thing = compiled(plan, act, checkpointer=InMemorySaver(), interrupt_before=["act"])
"""
    )
    chat = Conversation(load(source))
    assert await chat.ask("hi") == "A plan."
    assert await chat.ask("do it") == "Acted on do it"


async def test_a_graph_that_stops_before_its_first_words_says_so_and_goes_on(load: Load) -> None:
    source = (
        GRAPH
        + """
def act(state: State): return {"messages": [AIMessage("Acted on " + said(state)[-1])]}
thing = compiled(act, checkpointer=InMemorySaver(), interrupt_before=["act"])
"""
    )
    backend = load(source)
    found = await events(backend, ask("hi"), "one")
    assert [note.detail for note in notices(found)] == [
        "the graph stopped before act, as it is told to: the next message goes on"
    ]
    chat = Conversation(load(source))
    await chat.ask("hi")
    assert await chat.ask("do it") == "Acted on do it"


HUMAN = (
    GRAPH
    + """
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.tools import tool
ran = []
@tool
def send(to: str) -> str:
    "Sends."
    ran.append(to)
    return "sent"
call = AIMessage("", tool_calls=[{"name": "send", "args": {"to": "Ann"}, "id": "1"}])
thing = create_agent(
    Says(messages=[call, AIMessage("Done.")]), [send], checkpointer=InMemorySaver(),
    middleware=[HumanInTheLoopMiddleware(interrupt_on={"send": True})],
)
"""
)


@pytest.mark.parametrize(
    ("said", "ran"),
    [("Approve", ["Ann"]), ("no, wait", []), ('{"decisions": [{"type": "approve"}]}', ["Ann"])],
)
async def test_an_agent_asks_before_it_runs_a_tool(load: Load, said: str, ran: list[str]) -> None:
    import sys

    backend = load(HUMAN)
    chat = Conversation(backend)
    assert "send" in (asked := await chat.ask("Send it")) and "Ann" in asked
    assert await chat.ask(said) == "Done."
    module: Any = sys.modules[(backend.options.object or "").partition(":")[0]]
    assert module.ran == ran


async def test_a_turn_that_was_stopped_or_failed_leaves_nothing_behind(load: Load) -> None:
    source = (
        GRAPH
        + """
import asyncio
fails = [True]
async def first(state: State): return {"messages": [AIMessage("half")]}
async def second(state: State):
    if fails.pop() if fails else False: raise ValueError("no")
    return {"messages": [AIMessage(" / ".join(said(state)))]}
thing = compiled(first, second, checkpointer=InMemorySaver())
"""
    )
    backend = load(source)
    with pytest.raises(ChatlabError):
        await events(backend, ask("a"), "one")
    assert text(await events(backend, ask("b"), "one")) == "half\n\nb / half"


async def test_two_answers_at_once_in_one_conversation_do_not_share_a_thread(load: Load) -> None:
    source = (
        GRAPH
        + """
import asyncio
async def reply(state: State):
    await asyncio.sleep(0.2)
    return {"messages": [AIMessage(" / ".join(said(state)))]}
thing = compiled(reply, checkpointer=InMemorySaver())
"""
    )
    backend = load(source)
    found = await asyncio.gather(*(events(backend, ask(said), "one") for said in "ab"))
    assert [text(one) for one in found] == ["a", "b"]


HISTORY = (
    GRAPH
    + """
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory
stored = {}
def session(session_id: str): return stored.setdefault(session_id, InMemoryChatMessageHistory())
prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("past"), ("human", "{question}")])
chain = prompt | RunnableLambda(lambda value: AIMessage(" / ".join(m.text for m in value.messages)))
"""
)


@pytest.mark.filterwarnings("ignore::langchain_core._api.deprecation.LangChainDeprecationWarning")
@pytest.mark.parametrize(
    "thing",
    [
        "RunnableWithMessageHistory("
        'chain, session, input_messages_key="question", history_messages_key="past")',
        "RunnableWithMessageHistory("
        'RunnableLambda(lambda messages: AIMessage(" / ".join(m.text for m in messages))), session)',
    ],
)
async def test_a_history_of_its_own_is_the_conversations(load: Load, thing: str) -> None:
    backend = load(f"{HISTORY}\nthing = {thing}")
    one, two = Conversation(backend, "one"), Conversation(backend, "two")
    assert await one.ask("a") == "a"
    assert await two.ask("x") == "x"
    assert await one.ask("b") == "a / a / b"
    one.said = one.said[:2]
    assert await one.ask("c") == "a / a / c", "an edited message is forgotten"
    assert await two.ask("y") == "x / x / y"
    assert text(await events(backend, ask("alone"))) == "alone"


@pytest.mark.filterwarnings("ignore::langchain_core._api.deprecation.LangChainDeprecationWarning")
async def test_a_history_that_wants_more_says_what(load: Load) -> None:
    source = (
        HISTORY
        + """
from langchain_core.runnables import ConfigurableFieldSpec
def found(user_id: str, conversation_id: str): return session(user_id + conversation_id)
thing = RunnableWithMessageHistory(
    chain, found, input_messages_key="question", history_messages_key="past",
    history_factory_config=[
        ConfigurableFieldSpec(id=name, annotation=str) for name in ("user_id", "conversation_id")
    ],
)
"""
    )
    with pytest.raises(ConfigError, match="its history is found by user_id: give it under configurable"):
        await events(load(source), ask("hi"), "one")
    backend = load(source, configurable={"user_id": "ann"})
    assert text(await events(backend, ask("hi"), "one")) == "hi"


# -- usage and ends


def chunk(**choice: Any) -> dict[str, Any]:
    usage = choice.pop("usage", None)
    whole = {"index": 0, "delta": {}, "finish_reason": None, **choice}
    return {**CHUNK, "choices": [whole], **({} if usage is None else {"usage": usage})}


def counts(read: int, written: int) -> dict[str, int]:
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def streamed(front: Front, *chunks: dict[str, Any]) -> None:
    lines = [f"data: {json.dumps(one)}\n\n" for one in chunks]
    front.stream("/v1/chat/completions", [*lines, "data: [DONE]\n\n"])


REPEATED = (
    chunk(delta={"content": "Hel"}, usage=counts(3, 1)),
    chunk(delta={"content": "lo"}, usage=counts(3, 2)),
    chunk(finish_reason="stop", usage=counts(3, 2)),
)


@pytest.mark.parametrize(
    "thing",
    [
        "model",
        "model | StrOutputParser()",
        "create_agent(model, [])",
    ],
)
async def test_usage_that_every_chunk_repeats_counts_once(load: Load, front: Front, thing: str) -> None:
    streamed(front, *REPEATED)
    source = (
        "from langchain_core.output_parsers import StrOutputParser\n"
        "from langchain.agents import create_agent\n"
    )
    found = await events(load(f"{source}thing = {thing}"), ask("hi"))
    usage = finish(found).usage
    assert (usage.input, usage.output) == (3, 2)


async def test_usage_of_a_model_by_name_that_every_chunk_repeats_counts_once(
    by_name: Load, front: Front
) -> None:
    streamed(front, *REPEATED)
    usage = finish(await events(by_name(), ask("hi"))).usage
    assert (usage.input, usage.output) == (3, 2)


async def test_cached_tokens_under_deepseeks_name_are_counted(by_name: Load, front: Front) -> None:
    used = {**counts(30, 2), "prompt_cache_hit_tokens": 20, "prompt_cache_miss_tokens": 10}
    streamed(front, chunk(delta={"content": "Hello"}), chunk(finish_reason="stop", usage=used))
    assert finish(await events(by_name(), ask("hi"))).usage.cached == 20


TWO_MODELS = """
def fake(usage): return Says(messages=[AIMessage("ok", usage_metadata=usage)])
known = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15,
         "input_token_details": {"cache_read": 4, "cache_creation": 2}}
async def one(state: State): return {"messages": [await fake(known).ainvoke("x")]}
async def two(state: State): return {"messages": [await fake(SECOND).ainvoke("x")]}
thing = compiled(one, two)
"""


async def test_usage_is_the_sum_of_all_models_and_unknown_where_one_did_not_say(load: Load) -> None:
    usage = finish(await events(load(GRAPH + "SECOND = None\n" + TWO_MODELS), ask("hi"))).usage
    assert (usage.input, usage.output, usage.cached) == (None, None, None)
    second = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    usage = finish(await events(load(f"{GRAPH}SECOND = {second}\n{TWO_MODELS}"), ask("hi"))).usage
    assert (usage.input, usage.output) == (11, 7)
    assert (usage.cached, usage.cache_written) == (None, None), "one of them did not say"


async def test_a_model_whose_text_is_not_shown_is_counted(load: Load) -> None:
    source = (
        GRAPH
        + """
used = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
hidden = Says(messages=[AIMessage("plan", usage_metadata=used)], tags=["nostream"])
async def node(state: State):
    await hidden.ainvoke("x")
    return {"messages": [AIMessage("Done.")]}
thing = compiled(node)
"""
    )
    found = await events(load(source), ask("hi"))
    assert text(found) == "Done."
    assert (finish(found).usage.input, finish(found).usage.output) == (10, 5)


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ([chunk(finish_reason="error")], "the upstream broke off its answer"),
        ([chunk(finish_reason="error", error={"message": "inner fault", "code": 500})], "inner fault"),
        (
            [
                {
                    "id": "x",
                    "choices": None,
                    "model": "",
                    "base_resp": {"status_code": 1002, "status_msg": "too many"},
                }
            ],
            "too many",
        ),
        ([{"error": {"message": "the GPU is on fire"}}], "the GPU is on fire"),
        ([chunk(finish_reason="insufficient_system_resource")], "insufficient_system_resource"),
    ],
)
@pytest.mark.parametrize("begun", [[], [chunk(delta={"role": "assistant", "content": "Hel"})]])
async def test_a_stream_that_says_it_failed_has_failed(
    by_name: Load, front: Front, begun: list[Any], last: list[Any], said: str
) -> None:
    streamed(front, *begun, *last)
    got: list[StreamEvent] = []
    with pytest.raises(ChatlabError) as caught:
        async for event in by_name().stream(ask("hi"), CallContext()):
            got.append(event)
    assert said in str(caught.value)
    assert text(got) == ("Hel" if begun else "")


async def test_calls_of_a_model_of_ones_own_that_all_have_the_index_0_are_several(
    load: Load, front: Front
) -> None:
    calls = (("a", "weather", '{"city":"Paris"}'), ("b", "time", '{"tz":"UTC"}'))
    pieces = [
        {"index": 0, "id": key, "type": "function", "function": {"name": name, "arguments": said}}
        for key, name, said in calls
    ]
    streamed(
        front, *(chunk(delta={"tool_calls": [one]}) for one in pieces), chunk(finish_reason="tool_calls")
    )
    found = await events(load("thing = model"), ask("hi"))
    assert [event for event in found if isinstance(event, ToolCall)] == [ToolCall(*one) for one in calls]


async def test_a_graph_of_ones_own_whose_model_failed_has_failed(load: Load, front: Front) -> None:
    streamed(front, chunk(delta={"content": "Hel"}), chunk(finish_reason="error"))
    source = "from langchain.agents import create_agent\nthing = create_agent(model, [])"
    with pytest.raises(ChatlabError, match="broke off its answer with the reason 'error'"):
        await events(load(source), ask("hi"))


async def test_a_reason_that_nobody_knows_is_said(by_name: Load, front: Front) -> None:
    streamed(front, chunk(delta={"content": "Hel"}), chunk(finish_reason="lunch_break"))
    found = await events(by_name(), ask("hi"))
    assert finish(found).reason == "stop"
    assert Notice("other", "the upstream ended its answer for the reason 'lunch_break'") in found


async def test_a_refusal_over_the_wire_is_shown(by_name: Load, front: Front) -> None:
    streamed(
        front,
        chunk(delta={"refusal": "I will "}),
        chunk(delta={"refusal": "not."}),
        chunk(finish_reason="stop"),
    )
    found = await events(by_name(), ask("hi"))
    assert (text(found), finish(found).reason) == ("I will not.", "content_filter")


@pytest.mark.parametrize("key", ["chat_history", "conversation"])
async def test_a_state_with_nothing_but_a_history_gets_the_last_message_there(load: Load, key: str) -> None:
    source = (
        GRAPH
        + f"""
class Own(TypedDict):
    {key}: Annotated[list, add_messages]

def answer(state):
    return {{"{key}": [AIMessage(str([m.text for m in state["{key}"]]))]}}

thing = compiled(answer, state=Own)
"""
    )
    found = await events(load(source), ask("one", "two", "three"))
    assert text(found) == "['one', 'two', 'three']"


async def test_a_graph_that_asks_without_a_checkpointer_says_that_it_cannot_go_on(load: Load) -> None:
    source = (
        GRAPH
        + """
def answer(state):
    return {"messages": [AIMessage(interrupt("Which year?"))]}

thing = compiled(answer)
"""
    )
    said = notices(await events(load(source), ask("hi")))
    assert said[0].detail == "the graph stopped to ask: Which year?; without a checkpointer it cannot go on"


async def test_what_a_node_writes_as_a_notice_is_one(load: Load) -> None:
    source = (
        GRAPH
        + """
def answer(state):
    get_stream_writer()({"notice": "one tool is left out"})
    return {"messages": [AIMessage("done")]}

thing = compiled(answer)
"""
    )
    found = await events(load(source), ask("hi"))
    assert Notice("other", "one tool is left out") in notices(found) and text(found) == "done"


async def test_an_object_that_asks_as_the_person_is_run_for_nobody_else(load: Load) -> None:
    made = load("thing = lambda said: 1 / 0", auth={"type": "user"})
    assert LangChainBackend.as_person(made.options)
    with pytest.raises(AuthRequired, match="sign in first"):
        await events(made, ask("hi"))
