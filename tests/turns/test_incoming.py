"""What a kind of backend does wrong is told as its own mistake; half a character waits for the other."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from chatlab.backend import Backend, CallContext, ChatRequest
from chatlab.config.models import BackendConfig
from chatlab.config.registry import Entry
from chatlab.errors import BackendError, BackendMistake, Unavailable
from chatlab.lab import Lab
from chatlab.messages import (
    Citation,
    Finish,
    Message,
    Notice,
    ReasoningDelta,
    TextDelta,
    TextPart,
    ToolCall,
    Usage,
)
from chatlab.turns.incoming import CUMULATIVE
from chatlab.turns.turn import Turn, run_turn

ASK = [Message.of("user", "one two three")]


def entry_for(stream: Callable[..., Any]) -> Entry:
    """An entry of a plugin whose class has this `stream`."""
    cls = type("Plugin", (Backend,), {"stream": stream})
    return Entry("mine", BackendConfig(kind="shout", options=Backend.Options()), cls)


def entry_of(*events: Any) -> Entry:
    async def stream(self: Backend, request: ChatRequest, ctx: CallContext) -> AsyncIterator[Any]:
        for event in events:
            yield event

    return entry_for(stream)


async def read(entry: Entry) -> Turn:
    async with run_turn(entry, ASK) as turn:
        async for _ in turn:
            pass
    return turn


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ("hello", "yielded a str: text is yielded as TextDelta(text)"),
        (None, "yielded None: a stream has events only"),
        (b"hello", "yielded an object of type bytes: the events are TextDelta"),
        ({"type": "text"}, "yielded an object of type dict"),
        (TextDelta, "yielded the class TextDelta: an instance"),
        (TextDelta(None), "yielded a TextDelta of None: its text is a str"),  # type: ignore[arg-type]
        (ReasoningDelta(5), "yielded a ReasoningDelta of an object of type int"),  # type: ignore[arg-type]
        (ToolCall("1", "look", {"q": 1}), "yielded a ToolCall whose arguments is an object of type dict"),  # type: ignore[arg-type]
        (Citation(None), "yielded a Citation whose title is None"),  # type: ignore[arg-type]
        (Notice("warning", "x"), "yielded a Notice of the kind 'warning': the kinds are file_dropped"),  # type: ignore[arg-type]
        (Finish("done"), "finished with the reason 'done': the reasons are stop, length"),  # type: ignore[arg-type]
        (Finish(None), "finished with the reason None"),  # type: ignore[arg-type]
        (Finish("stop", {"input": 1}), "finished with an object of type dict as usage"),  # type: ignore[arg-type]
        (Finish("stop", Usage(1, -2)), "finished with -2 as usage.output"),
        (Finish("stop", Usage("1")), "finished with '1' as usage.input"),  # type: ignore[arg-type]
        (Finish("stop", model=5), "finished with an object of type int as model"),  # type: ignore[arg-type]
    ],
)
async def test_what_is_no_event_is_told_as_the_backends_mistake(event: Any, said: str) -> None:
    with pytest.raises(BackendMistake) as caught:
        await read(entry_of(TextDelta("Some"), event, Finish("stop")))
    assert f"the backend of kind shout {said}" in str(caught.value)
    assert "docs/adding-a-backend.md" in str(caught.value)
    assert not caught.value.retryable


@pytest.mark.parametrize("event", [TextDelta(5), ToolCall(["1"], "look", "{}")])  # type: ignore[arg-type]
async def test_what_comes_first_and_is_no_event_is_told_as_well(event: Any) -> None:
    with pytest.raises(BackendMistake, match="the backend of kind shout yielded a"):
        await read(entry_of(event, Finish("stop")))


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (TimeoutError(), "a call of the backend's own took longer than that allows"),
        (asyncio.CancelledError(), "unexpected CancelledError in the backend"),
        (SystemExit(3), "unexpected SystemExit in the backend"),
        (GeneratorExit(), "unexpected GeneratorExit in the backend"),
        (KeyboardInterrupt(), "unexpected KeyboardInterrupt in the backend"),
        (BaseExceptionGroup("two", [GeneratorExit()]), "unexpected BaseExceptionGroup in the backend"),
    ],
)
async def test_what_a_backend_raises_is_its_failure_and_nobody_elses(
    raised: BaseException, said: str
) -> None:
    async def stream(self: Backend, request: ChatRequest, ctx: CallContext) -> AsyncIterator[Any]:
        yield TextDelta("Some")
        raise raised

    turn = run_turn(entry_for(stream), ASK)
    with pytest.raises(BackendError, match=said):
        async with turn:
            async for _ in turn:
                pass
    assert (turn.outcome, turn.answer.message.text) == ("failed", "Some")


async def test_text_of_a_class_of_its_own_is_text() -> None:
    class Text(str):
        pass

    turn = await read(entry_of(TextDelta(Text("Some")), Finish("stop")))
    (part,) = turn.answer.message.parts
    assert isinstance(part, TextPart) and type(part.text) is str and part.text == "Some"


async def test_a_stream_that_does_not_end_after_its_finish_keeps_nobody_waiting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    closed = asyncio.Event()

    async def stream(self: Backend, request: ChatRequest, ctx: CallContext) -> AsyncIterator[Any]:
        yield TextDelta("Some")
        yield Finish("stop")
        try:
            await asyncio.Event().wait()
        finally:
            closed.set()

    turn = await read(entry_for(stream))
    assert (turn.outcome, turn.answer.message.text) == ("finished", "Some")
    assert closed.is_set()
    assert "the backend mine did not end its stream after its Finish" in caplog.text


async def test_what_arrived_before_a_mistake_stays() -> None:
    turn = run_turn(entry_of(TextDelta("Some"), None), ASK)
    with pytest.raises(BackendMistake):
        async with turn:
            async for _ in turn:
                pass
    assert (turn.outcome, turn.answer.message.text) == ("failed", "Some")


async def test_a_second_finish_is_a_mistake() -> None:
    with pytest.raises(BackendMistake, match="went on after its end"):
        await read(entry_of(Finish("stop"), Finish("stop")))


async def test_a_stream_that_is_no_asynchronous_generator_is_a_mistake() -> None:
    async def without_yield(self: Backend, request: ChatRequest, ctx: CallContext) -> str:
        return "hello"

    def synchronous(self: Backend, request: ChatRequest, ctx: CallContext) -> Any:
        yield TextDelta("hello")

    def nothing(self: Backend, request: ChatRequest, ctx: CallContext) -> None: ...

    for stream, said in (
        (without_yield, "has a stream() without a yield"),
        (synchronous, "gave an object of type generator as its stream"),
        (nothing, "gave None as its stream"),
    ):
        with pytest.raises(BackendMistake) as caught:
            await read(entry_for(stream))
        assert said in str(caught.value)


@pytest.mark.parametrize(
    ("pieces", "noticed"),
    [
        (("Hel", "Hello", "Hello you", "Hello you all"), True),
        (("", "Hel", "Hello", "Hello", "Hello you"), True),
        (("ha", "ha", "ha", "ha"), False),
        (("Hello", " you", " all"), False),
        (("a", "ab", "c", "cd", "cde"), False),
        (("1", "12", " and so on"), False),
    ],
)
async def test_cumulative_text_is_noticed_once(pieces: tuple[str, ...], noticed: bool) -> None:
    turn = await read(entry_of(*map(TextDelta, pieces), Finish("stop")))
    assert [notice.detail for notice in turn.answer.notices] == ([CUMULATIVE] if noticed else [])
    assert turn.answer.message.text == "".join(pieces), "the text is shown as it came"


# -- half a character

FIRST, SECOND = "\ud83d", "\ude00"


@pytest.mark.parametrize(
    ("events", "shown"),
    [
        ((f"hi {FIRST}", f"{SECOND} ok"), ["hi ", "\U0001f600 ok"]),
        ((FIRST, "", SECOND), ["", "\U0001f600"]),
        ((FIRST, "ok"), ["\ufffdok"]),
        ((f"ok{FIRST}",), ["ok", "\ufffd"]),
        ((SECOND,), ["\ufffd"]),
        (("nul\0",), ["nul\ufffd"]),
    ],
)
async def test_no_reader_gets_half_a_character(events: tuple[str, ...], shown: list[str]) -> None:
    seen = []
    async with run_turn(entry_of(*map(TextDelta, events), Finish("stop")), ASK) as turn:
        async for event in turn:
            if isinstance(event, TextDelta):
                seen.append(event.text)
    assert [text for text in seen if text] == [text for text in shown if text]
    assert turn.answer.message.text == "".join(seen)
    str(turn.arrivals).encode()


async def test_halves_of_reasoning_and_of_text_are_not_joined_with_each_other() -> None:
    turn = await read(entry_of(ReasoningDelta(FIRST), TextDelta(SECOND), Finish("stop")))
    assert [part.text for part in turn.answer.parts if hasattr(part, "text")] == ["\ufffd", "\ufffd"]


async def test_half_a_character_at_a_failure_is_shown_as_such() -> None:
    async def stream(self: Backend, request: ChatRequest, ctx: CallContext) -> AsyncIterator[Any]:
        yield TextDelta(f"Some{FIRST}")
        raise Unavailable("down")

    turn = run_turn(entry_for(stream), ASK)
    with pytest.raises(Unavailable):
        async with turn:
            async for _ in turn:
                pass
    assert turn.answer.message.text == "Some\ufffd"


async def test_a_backend_is_given_whole_characters_only() -> None:
    given: list[ChatRequest] = []

    async def stream(self: Backend, request: ChatRequest, ctx: CallContext) -> AsyncIterator[Any]:
        given.append(request)
        yield Finish("stop")

    said = Message.of("user", f"a{FIRST}b\0")
    async with run_turn(entry_for(stream), [said], system=FIRST) as turn:
        async for _ in turn:
            pass
    assert [message.text for message in given[0].messages] == ["\ufffd", "a\ufffdb\ufffd"]


# -- code that blocks


async def test_code_that_blocks_the_loop_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def stream(self: Backend, request: ChatRequest, ctx: CallContext) -> AsyncIterator[Any]:
        yield TextDelta("a")
        time.sleep(1.5)
        yield Finish("stop")

    with caplog.at_level(logging.WARNING, "chatlab.turns.watchdog"):
        await read(entry_for(stream))
    (record,) = [record for record in caplog.records if record.name == "chatlab.turns.watchdog"]
    said = record.getMessage()
    assert said.startswith(f"{__file__}:")
    assert "stream blocks the event loop for more than 0.5 s" in said
    assert "turn mine" in said


def test_a_script_that_runs_the_loop_is_not_named_for_what_blocks_inside(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def stream(self: Backend, request: ChatRequest, ctx: CallContext) -> AsyncIterator[Any]:
        yield TextDelta("a")
        asyncio.get_running_loop().call_soon(time.sleep, 1.5)  # no frame of this file is in it
        await asyncio.sleep(0)
        yield Finish("stop")

    with caplog.at_level(logging.WARNING, "chatlab.turns.watchdog"):
        asyncio.run(read(entry_for(stream)))
    (record,) = [record for record in caplog.records if record.name == "chatlab.turns.watchdog"]
    assert "blocks the event loop" in record.getMessage()
    assert __file__ not in record.getMessage()


async def test_a_backend_that_only_waits_blocks_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async def stream(self: Backend, request: ChatRequest, ctx: CallContext) -> AsyncIterator[Any]:
        await asyncio.to_thread(time.sleep, 1.5)
        yield Finish("stop")

    with caplog.at_level(logging.WARNING, "chatlab.turns.watchdog"):
        await read(entry_for(stream))
    assert not [record for record in caplog.records if "test_incoming" in record.getMessage()]


async def test_turns_one_after_the_other_are_watched_by_one_thread() -> None:
    async def stream(self: Backend, request: ChatRequest, ctx: CallContext) -> AsyncIterator[Any]:
        yield Finish("stop")

    def watching() -> set[threading.Thread]:
        return {one for one in threading.enumerate() if one.name == "chatlab watchdog"}

    before = watching()
    await read(entry_for(stream))
    (mine,) = watching() - before
    mine.join(0.3)
    assert mine.is_alive()
    await read(entry_for(stream))
    assert watching() - before == {mine}


# -- which conversation a call belongs to


async def test_a_backend_is_told_which_conversation_a_call_belongs_to() -> None:
    seen: list[str | None] = []

    async def stream(self: Backend, request: ChatRequest, ctx: CallContext) -> AsyncIterator[Any]:
        seen.append(ctx.conversation)
        yield Finish("stop")

    async with Lab() as lab:
        lab.backends._entries["mine"] = entry_for(stream)  # no configuration can name a class
        await lab.answer("mine", "a", conversation_id="one")
        await lab.answer("mine", "a", conversation_id="two")
        await lab.answer("mine", "a")
    assert seen == ["one", "two", None]
