"""The echo backend."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.echo import EchoBackend, EchoOptions
from chatlab import errors
from chatlab.backend import CallContext, ChatRequest
from chatlab.config.registry import from_address
from chatlab.errors import BackendError, InvalidRequest, RateLimited, Unavailable
from chatlab.messages import (
    Citation,
    FilePart,
    Finish,
    Message,
    Notice,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    TextPart,
    ToolCall,
    ToolResult,
    Usage,
)
from chatlab.text import well_formed


def echo(**options: Any) -> EchoBackend:
    return EchoBackend(EchoOptions.model_validate(options))


def ask(*said: str | Message, **parameters: Any) -> ChatRequest:
    messages = tuple(Message.of("user", item) if isinstance(item, str) else item for item in said)
    return ChatRequest(messages, parameters)


async def events(backend: EchoBackend, request: ChatRequest) -> list[StreamEvent]:
    return [event async for event in backend.stream(request, CallContext())]


async def timed(backend: EchoBackend, request: ChatRequest) -> list[tuple[float, StreamEvent]]:
    start = perf_counter()
    return [(perf_counter() - start, event) async for event in backend.stream(request, CallContext())]


def texts(found: list[StreamEvent]) -> list[str]:
    return [event.text for event in found if isinstance(event, TextDelta)]


async def test_it_says_the_last_user_message_word_by_word_and_counts_the_words() -> None:
    found = await events(echo(), ask("earlier", Message.of("assistant", "earlier"), "so  it\n goes \n"))
    assert found == [
        TextDelta("so"),
        TextDelta("  it"),
        TextDelta("\n goes \n"),
        Finish("stop", Usage(input=5, output=3, reasoning=0), "echo"),
    ]


@given(st.text())
def test_any_text_comes_back_exactly(text: str) -> None:
    found = asyncio.run(events(echo(), ask(text)))
    assert "".join(texts(found)) == well_formed(text)
    assert all(texts(found))


async def test_files_are_named_after_the_text() -> None:
    photo = FilePart("image/png", name="cat.png", data=b"x")
    found = await events(echo(), ask(Message("user", (photo, TextPart("look")))))
    assert "".join(texts(found)) == "look\n\nwith cat.png (image/png)"


async def test_a_conversation_without_a_user_message_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="no user message"):
        await events(echo(), ask(Message.of("assistant", "hm")))


async def test_a_system_prompt_is_not_ignored_in_silence() -> None:
    found = await events(echo(), ask(Message.of("system", "be brief"), "hi"))
    assert found[0] == Notice("other", "echo has no model that could follow the system prompt")


async def test_tokens_keep_to_the_rate_after_the_delay() -> None:
    found = await timed(echo(rate=50, delay=0.1), ask("word " * 20))
    times = [at for at, event in found if isinstance(event, TextDelta)]
    assert times[0] >= 0.1
    for number, at in enumerate(times):
        assert at >= 0.1 + number / 50 - 0.002
    assert times[-1] < 0.1 + 19 / 50 + 0.25


async def test_a_slow_reader_does_not_make_the_rate_slower() -> None:
    """The schedule is absolute: what was late is made up for."""
    start = perf_counter()
    late = False
    async for event in echo(rate=100).stream(ask("word " * 40), CallContext()):
        if isinstance(event, TextDelta) and not late:
            late = True
            await asyncio.sleep(0.3)
    assert perf_counter() - start < 0.3 + 0.3


async def test_the_rate_parameter_goes_over_the_option() -> None:
    start = perf_counter()
    await events(echo(rate=1), ask("one two three four", rate=0))
    assert perf_counter() - start < 0.5


async def test_max_tokens_cuts_the_answer_and_says_so() -> None:
    found = await events(echo(), ask("one two three", max_tokens=2))
    assert "".join(texts(found)) == "one two"
    assert found[-1] == Finish("length", Usage(input=3, output=2, reasoning=0), "echo")
    found = await events(echo(), ask("one two three", max_tokens=3))
    assert isinstance(found[-1], Finish) and found[-1].reason == "stop"


async def test_reasoning_counts_towards_max_tokens_and_in_usage() -> None:
    found = await events(echo(reasoning="let me see"), ask("one two", max_tokens=4))
    assert [event.text for event in found if isinstance(event, ReasoningDelta)] == ["let", " me", " see"]
    assert texts(found) == ["one"]
    assert found[-1] == Finish("length", Usage(input=2, output=4, reasoning=3), "echo")


async def test_whole_answers_come_in_one_piece_and_say_so() -> None:
    found = await events(echo(whole=True), ask("one two"))
    assert [type(event) for event in found] == [Notice, TextDelta, Finish]
    assert found[0] == Notice("not_streamed", "echo answers in one piece here")
    assert texts(found) == ["one two"]


async def test_tools_and_citations_are_events_in_order() -> None:
    backend = echo(
        tools=[{"name": "look", "arguments": {"q": "é"}, "result": "none", "error": True}],
        citations=[{"title": "Book", "url": "https://example.org", "snippet": "page 1"}],
        reply="done",
    )
    found = await events(backend, ask("go"))
    assert found[:-1] == [
        ToolCall("call_1", "look", '{"q": "é"}'),
        ToolResult("call_1", "none", "look", True),
        TextDelta("done"),
        Citation("Book", "https://example.org", "page 1"),
    ]


async def test_a_tool_without_a_result_ends_the_turn_with_its_call() -> None:
    found = await events(echo(tools=[{"name": "look"}]), ask("go"))
    assert [type(event) for event in found] == [ToolCall, Finish]
    assert isinstance(found[-1], Finish) and found[-1].reason == "tool_calls"


async def test_a_stall_is_where_it_was_asked_for() -> None:
    found = await timed(echo(stall={"seconds": 0.2, "after": 2}), ask("a b c d"))
    times = [at for at, _ in found]
    assert times[1] < 0.15 <= 0.2 <= times[2]


@pytest.mark.parametrize("after", [0, 2, 99])
async def test_a_failure_is_where_it_was_asked_for(after: int) -> None:
    got: list[StreamEvent] = []
    with pytest.raises(Unavailable, match="the cable is out"):
        async for event in echo(fail={"after": after, "detail": "the cable is out"}).stream(
            ask("a b c"), CallContext()
        ):
            got.append(event)
    assert len(got) == min(after, 3)


def _names() -> list[str]:
    field = EchoOptions.model_fields["fail"].annotation
    assert field is not None
    schema = EchoOptions.model_json_schema()["$defs"]["EchoFailure"]["properties"]["error"]["enum"]
    return [str(name) for name in schema]


def test_every_backend_error_can_be_asked_for() -> None:
    """A new error in the tree has to be added here too."""
    leaves = {
        "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
        for name, cls in vars(errors).items()
        if isinstance(cls, type) and issubclass(cls, BackendError) and cls is not BackendError
    }
    assert set(_names()) == leaves


@pytest.mark.parametrize("name", _names())
async def test_each_error_has_its_class(name: str) -> None:
    with pytest.raises(BackendError) as caught:
        await events(echo(fail={"error": name}), ask("hi"))
    assert type(caught.value).__name__.lower() == name.replace("_", "")


async def test_a_failure_that_passes_carries_what_a_retry_needs() -> None:
    backend = echo(fail={"error": "rate_limited", "times": 2, "retry_after": 0.5})
    for _ in range(2):
        with pytest.raises(RateLimited) as caught:
            await events(backend, ask("hi"))
        assert (caught.value.status, caught.value.retry_after, caught.value.retryable) == (429, 0.5, True)
    assert texts(await events(backend, ask("hi"))) == ["hi"]


async def test_other_tasks_run_while_it_answers_as_fast_as_possible() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await events(echo(), ask("word " * 1000))
    task.cancel()
    assert turns >= 20


async def test_closing_it_in_a_stall_ends_it_at_once() -> None:
    async def read() -> None:
        await events(echo(stall={"seconds": 60, "after": 0}), ask("hi"))

    task = asyncio.create_task(read())
    await asyncio.sleep(0)
    start = perf_counter()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert perf_counter() - start < 10


async def test_its_address_needs_nothing_after_the_colon() -> None:
    assert isinstance(from_address("echo:").backend(), EchoBackend)
