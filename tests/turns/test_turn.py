"""run_turn: one way to run a turn, timed, retried, bounded and closed."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from chatlab.backend import Backend, CallContext, Capabilities, ChatRequest, Parameter
from chatlab.config.models import BackendConfig, Prices, Timeouts, cost
from chatlab.config.registry import Entry, from_address
from chatlab.errors import (
    BackendError,
    BrokenStream,
    InvalidRequest,
    NotReady,
    RateLimited,
    Unavailable,
    UnsupportedContent,
)
from chatlab.messages import (
    Accumulator,
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
from chatlab.turns.stopwatch import Stopwatch
from chatlab.turns.turn import run_turn

ASK = [Message.of("user", "one two three")]
Script = Callable[[ChatRequest, CallContext], AsyncIterator[StreamEvent]]


class Scripted(Backend):
    """A third party's backend: an async generator and what it takes."""

    takes = Capabilities()

    def __init__(self, script: Script, takes: Capabilities) -> None:
        super().__init__(Backend.Options())
        self.script = script
        self.closed = 0

    @classmethod
    def capabilities(cls, options: Any) -> Capabilities:
        return cls.takes

    async def stream(self, request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        try:
            async for event in self.script(request, ctx):
                yield event
        finally:
            self.closed += 1


def entry_for(script: Script, takes: Capabilities | None = None, **config: Any) -> tuple[Entry, Scripted]:
    cls = type("Scripted", (Scripted,), {"takes": takes or Capabilities()})
    entry = Entry("mine", BackendConfig(kind="scripted", options=Backend.Options(), **config), cls)
    backend = cls(script, cls.takes)
    entry.cls = lambda _options: backend  # type: ignore[assignment,method-assign]
    entry.cls.capabilities = cls.capabilities  # type: ignore[attr-defined]
    entry.cls.not_ready = cls.not_ready  # type: ignore[attr-defined]
    return entry, backend


async def read(entry: Entry, **kwargs: Any) -> tuple[list[StreamEvent], Any]:
    async with run_turn(entry, ASK, **kwargs) as turn:
        return [event async for event in turn], turn


async def test_events_reach_the_reader_in_order_and_the_answer_is_their_sum() -> None:
    async def script(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        yield ReasoningDelta("hm")
        yield TextDelta("a ")
        yield TextDelta(" b\n")
        yield Finish("stop", Usage(3, 2))

    entry, _ = entry_for(script)
    events, turn = await read(entry)
    assert events == [ReasoningDelta("hm"), TextDelta("a "), TextDelta(" b\n"), Finish("stop", Usage(3, 2))]
    assert turn.answer.message.text == "a  b\n"
    assert turn.outcome == "finished"


async def test_a_turn_that_has_ended_goes_without_being_looked_for_as_garbage() -> None:
    async def script(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        yield TextDelta("hi")
        yield Finish("stop", Usage())

    entry, _ = entry_for(script)
    gc.disable()
    try:
        _, turn = await read(entry)
        left = weakref.ref(turn)
        del turn
        await asyncio.sleep(0)
        assert left() is None
    finally:
        gc.enable()


async def test_a_stream_without_a_finish_is_broken_and_keeps_what_had_arrived() -> None:
    async def script(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        yield TextDelta("half")

    entry, _ = entry_for(script)
    seen = []
    with pytest.raises(BrokenStream, match="mine: the stream ended before the answer did"):
        async with run_turn(entry, ASK) as turn:
            async for event in turn:
                seen.append(event)
    assert seen == [TextDelta("half")]
    assert (turn.outcome, turn.answer.message.text) == ("failed", "half")


async def test_events_after_the_finish_break_the_stream() -> None:
    async def script(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        yield Finish("stop")
        yield TextDelta("more")

    entry, _ = entry_for(script)
    with pytest.raises(BrokenStream, match="after its end"):
        await read(entry)


async def test_what_is_worth_retrying_is_retried_with_a_notice_before_the_first_delta() -> None:
    calls = []

    async def script(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        calls.append(1)
        if len(calls) < 3:
            raise RateLimited("slow down", status=429, retry_after=0, retryable=True)
        yield TextDelta("here")
        yield Finish("stop")

    entry, _ = entry_for(script)
    events, turn = await read(entry)
    notices = [event for event in events if isinstance(event, Notice)]
    assert [notice.kind for notice in notices] == ["retried", "retried"]
    assert notices[0].detail == "slow down; attempt 2 of 3 after 0.0 s"
    assert turn.answer.message.text == "here"
    assert turn.timing.attempts == 3


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (RateLimited("later", retry_after=0, retryable=True), 3),
        (RateLimited("much later", retry_after=3600, retryable=True), 1),
        (InvalidRequest("wrong"), 1),
        (Unavailable("500", status=500), 1),
    ],
)
async def test_retries_are_bounded_and_only_for_what_may_pass(error: BackendError, attempts: int) -> None:
    calls = []

    async def script(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        calls.append(1)
        raise error
        yield  # makes it a generator

    entry, backend = entry_for(script)
    with pytest.raises(type(error)):
        await read(entry)
    assert len(calls) == backend.closed == attempts


async def test_nothing_is_retried_after_the_first_delta() -> None:
    calls = []

    async def script(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        calls.append(1)
        yield ReasoningDelta("hm")
        raise Unavailable("gone", retry_after=0, retryable=True)

    entry, _ = entry_for(script)
    with pytest.raises(Unavailable):
        await read(entry)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("before", "timeouts", "sentence"),
    [
        ([], Timeouts(first_token=0.3), "no first token within 0.3 s"),
        ([Notice("waking", "it wakes")], Timeouts(first_token=0.3), "no first token within 0.3 s"),
        ([TextDelta("a")], Timeouts(idle=0.05), "nothing arrived for 0.05 s"),
        ([TextDelta("a")], Timeouts(total=0.3), "the answer was not complete within 0.3 s"),
    ],
)
async def test_each_timeout_says_what_was_waited_for_and_closes_the_backend(
    before: list[StreamEvent], timeouts: Timeouts, sentence: str
) -> None:
    async def script(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        for event in before:
            yield event
        await asyncio.Event().wait()

    entry, backend = entry_for(script, timeouts=timeouts, retries=0)
    with pytest.raises(Unavailable, match=sentence):
        await read(entry)
    assert backend.closed == 1


async def test_a_turn_whose_time_is_over_when_it_is_retried_says_so() -> None:
    calls = []

    async def script(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        calls.append(1)
        if len(calls) == 1:
            asyncio.get_running_loop().call_later(0.01, time.sleep, 0.5)  # meanwhile nobody looks
            raise Unavailable("gone", retry_after=0.02, retryable=True)
        await asyncio.Event().wait()
        yield Finish("stop")

    entry, _ = entry_for(script, timeouts=Timeouts(total=0.3))
    with pytest.raises(Unavailable, match="not complete within"):
        await read(entry)


async def test_the_connect_timeout_and_the_identity_reach_the_backend() -> None:
    got: list[CallContext] = []

    async def script(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        got.append(ctx)
        ctx.mark("credentials")
        ctx.mark("connected")
        yield Finish("stop")

    entry, _ = entry_for(script, timeouts=Timeouts(connect=3))
    _, turn = await read(entry, ctx=CallContext(identity="ada"))
    assert (got[0].connect_timeout, got[0].identity) == (3, "ada")
    assert 0 <= turn.timing.credentials <= turn.timing.connected <= turn.timing.total


async def test_stop_closes_a_backend_that_waits_and_keeps_the_partial_answer() -> None:
    async def script(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        yield TextDelta("so far")
        await asyncio.Event().wait()

    entry, backend = entry_for(script)
    async with run_turn(entry, ASK) as turn:
        async for _ in turn:
            turn.stop()
            turn.stop()
    assert (turn.outcome, turn.answer.message.text, backend.closed) == ("stopped", "so far", 1)
    assert turn.error is None


async def test_a_turn_stopped_before_it_began_ends() -> None:
    async def script(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        yield Finish("stop")

    entry, _ = entry_for(script)
    async with run_turn(entry, ASK) as turn:
        turn.stop()
        assert [event async for event in turn] == []
    assert turn.outcome == "stopped"


async def test_leaving_the_turn_closes_the_backend() -> None:
    started = asyncio.Event()

    async def script(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        started.set()
        await asyncio.Event().wait()
        yield Finish("stop")

    entry, backend = entry_for(script)

    async def reader() -> None:
        async with run_turn(entry, ASK) as turn:
            async for _ in turn:
                pass

    task = asyncio.create_task(reader())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert backend.closed == 1


async def test_a_reader_that_does_not_read_does_not_move_the_times() -> None:
    """The first token is timed on arrival, even if nobody looks until the whole answer is there."""
    release = asyncio.Event()

    async def script(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        yield TextDelta("a")
        await release.wait()
        yield TextDelta("b")
        yield Finish("stop", Usage(1, 2))

    entry, _ = entry_for(script)
    async with run_turn(entry, ASK) as turn:
        while turn.timing.first_token is None:
            await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.05, release.set)
        await release.wait()
        events = [event async for event in turn]
    assert len(events) == 3
    timing = turn.timing
    assert timing.first_token < timing.total - 0.04
    assert timing.longest_stall > 0.04
    assert timing.tokens_per_second == pytest.approx(1 / timing.longest_stall, rel=0.2)


async def test_what_is_done_once_before_the_first_turn_is_shown_apart_and_is_no_part_of_any_figure() -> None:
    class Heavy(Backend):
        def __init__(self, options: Any) -> None:
            super().__init__(options)
            time.sleep(0.05)  # as the import of an SDK takes

        async def stream(self, request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
            yield TextDelta("a")
            yield Finish("stop")

    entry = Entry("heavy", BackendConfig(kind="heavy", options=Heavy.Options()), Heavy)
    seen = []
    for _ in range(2):
        async with run_turn(entry, ASK) as turn:
            async for _event in turn:
                pass
        seen.append(turn.timing)
    assert seen[0].setup is not None and seen[0].setup >= 0.05 and seen[1].setup is None
    watch = Stopwatch()
    watch.start()
    watch.set_up(1_000)
    assert watch.since_start(None) < 0, "zero is behind it"


async def many(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
    """More events than a turn keeps for a reader that does not read."""
    for _ in range(10_001):
        yield TextDelta("a")
    yield Finish("stop")


async def test_events_that_all_come_at_once_leave_the_loop_to_others_in_between() -> None:
    together, most = 0, 0

    async def counted(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        nonlocal together
        for _ in range(9_000):
            together += 1
            yield TextDelta("w")
        yield Finish("stop")

    async def others() -> None:
        nonlocal together, most
        while True:
            most, together = max(most, together), 0
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    _, turn = await read(entry_for(counted)[0])
    beside.cancel()
    assert len(turn.answer.message.text) == 9_000 and 0 < most <= 1_001


async def test_a_slow_reader_is_no_silence_of_the_upstream() -> None:
    entry, _ = entry_for(many, timeouts=Timeouts(idle=0.2))
    async with run_turn(entry, ASK) as turn:
        while len(turn.answer.message.text) < 10_000:
            await asyncio.sleep(0.01)
        own = turn.timing.overhead
        await turn.pause(5)  # until the first token
        await turn.pause(0.5)  # nobody reads for much longer than `idle`
        assert (turn.outcome, len(turn.answer.message.text)) == ("running", 10_000)
        assert own is not None and turn.timing.overhead == own, "waiting is not chatlab's own part"
        async for _event in turn:
            pass
    assert (turn.outcome, len(turn.answer.message.text)) == ("finished", 10_001)
    assert turn.timing.total is not None and turn.timing.overhead is not None
    assert turn.timing.overhead < own + 0.5, "waiting is not chatlab's own part"


async def test_silence_begins_anew_once_somebody_reads() -> None:
    async def script(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        for _ in range(10_000):
            yield TextDelta("a")
        await asyncio.sleep(0.01)
        yield Finish("stop")

    entry, _ = entry_for(script, timeouts=Timeouts(idle=0.3))
    async with run_turn(entry, ASK) as turn:
        await turn.pause(5)  # until the first token
        await turn.pause(0.5)  # nobody reads for much longer than `idle`
        async for _event in turn:
            pass
    assert turn.outcome == "finished"


async def test_the_whole_turn_is_bounded_though_nobody_reads() -> None:
    entry, _ = entry_for(many, timeouts=Timeouts(idle=0.05, total=0.5))
    async with run_turn(entry, ASK) as turn:
        await turn.pause(5)
        await turn.pause(5)  # until the end
        assert str(turn.error).startswith("mine: the answer was not complete within 0.5 s")


async def test_the_upstreams_silence_counts_again_once_somebody_reads() -> None:
    async def script(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        for _ in range(10_000):
            yield TextDelta("a")
        await asyncio.Event().wait()

    entry, _ = entry_for(script, timeouts=Timeouts(idle=0.05, total=60))
    async with run_turn(entry, ASK) as turn:
        await turn.pause(5)
        await turn.pause(0.3)
        with pytest.raises(Unavailable, match="nothing arrived for"):
            async for _event in turn:
                pass


async def test_unknown_figures_stay_unknown() -> None:
    async def script(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        yield TextDelta("a")
        yield TextDelta("b")
        yield Finish("stop")

    entry, _ = entry_for(script, prices=Prices(input=1, output=1))
    _, turn = await read(entry)
    timing = turn.timing
    assert (timing.credentials, timing.connected, timing.tokens_per_second, turn.cost) == (None,) * 4
    assert timing.reasoning is None


async def test_tool_calls_and_thoughts_are_timed() -> None:
    async def script(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        yield ReasoningDelta("a")
        yield ReasoningDelta("b")
        yield ToolCall("1", "look", "{}")
        yield ToolResult("1", "seen")
        yield Finish("stop")

    entry, _ = entry_for(script)
    _, turn = await read(entry)
    assert turn.tool_seconds["1"] >= 0
    assert turn.timing.reasoning >= 0
    assert turn.timing.first_token is None


async def test_a_bug_in_a_backend_is_one_sentence_and_a_scrubbed_traceback_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def script(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        raise TypeError("Bearer abcdefghijklmnop")
        yield

    entry, _ = entry_for(script)
    with pytest.raises(BackendError, match="mine: unexpected TypeError in the backend") as caught:
        await read(entry)
    assert "abcdefghijklmnop" not in str(caught.value) + caplog.text
    assert "TypeError" in caplog.text


async def test_a_backend_that_is_not_ready_says_what_to_do() -> None:
    entry = from_address("openai:some-model")
    with pytest.raises(NotReady, match="set OPENAI_API_KEY"):
        await read(entry)


async def test_what_a_backend_cannot_take_is_dropped_with_a_notice_and_never_sent() -> None:
    got: list[ChatRequest] = []

    async def script(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        got.append(request)
        yield Finish("stop")

    entry, _ = entry_for(
        script,
        Capabilities(files=("text/*",), parameters=(Parameter("top_p", "float"),), system=False),
        parameters={"top_p": 0.5, "seed": 1},
        system="be brief",
    )
    image = FilePart("image/png", "cat.png", data=b"x")
    note = FilePart("text/plain", "a.txt", data=b"y")
    message = Message("user", (image, note, TextPart("hi")))
    async with run_turn(entry, [message], parameters={"top_p": 0.9, "unset": None}) as turn:
        events = [event async for event in turn]
    assert got[0].parameters == {"top_p": 0.9}
    assert [message.role for message in got[0].messages] == ["user"]
    assert image not in got[0].messages[0].parts and note in got[0].messages[0].parts
    assert "be brief" in got[0].messages[0].text
    kinds = [event.kind for event in events if isinstance(event, Notice)]
    assert kinds == ["file_dropped", "system_folded", "parameter_ignored"]


async def test_text_files_go_into_the_message_where_none_are_taken(tmp_path: Path) -> None:
    got: list[ChatRequest] = []

    async def script(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        got.append(request)
        yield Finish("stop")

    entry, _ = entry_for(script, Capabilities(files=("image/*",)))
    (tmp_path / "a.py").write_bytes("x = '```'\r\nä\n".encode())
    files = [
        FilePart("text/x-python", "a.py", path=tmp_path / "a.py"),
        FilePart("application/json", "b.json", data=b"{}"),
        FilePart("text/plain", "latin.txt", data=b"\xe4"),
        FilePart("text/plain", "long.txt", data=b"x" * 500_001),
        FilePart("application/zip", "c.zip", data=b"PK"),
        FilePart("text/plain", "d.txt", url="https://files.example/d.txt"),
    ]
    async with run_turn(entry, [Message("user", (TextPart("ho"), *files, TextPart("hi")))]) as turn:
        notices = [event.detail for event in [one async for one in turn] if isinstance(event, Notice)]
    assert [part.text for part in got[0].messages[0].parts if isinstance(part, TextPart)] == [
        "ho",
        "\n\na.py\n````\nx = '```'\r\nä\n\n````\n\n",
        "b.json\n```\n{}\n```\n\n",
        "hi",
    ]
    assert notices == [
        "a.py was sent as text in the message",
        "b.json was sent as text in the message",
        *(f"{name} was not sent: no text/plain here" for name in ("latin.txt", "long.txt")),
        "c.zip was not sent: no application/zip here",
        "d.txt was not sent: no text/plain here",
    ]


async def test_a_message_of_which_nothing_can_be_sent_is_refused() -> None:
    async def script(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        yield Finish("stop")

    entry, _ = entry_for(script)
    with pytest.raises(UnsupportedContent, match="nothing to send"):
        async with run_turn(entry, [Message("user", (FilePart("image/png", data=b"x"),))]) as turn:
            async for _ in turn:
                pass


async def test_a_given_system_prompt_replaces_the_configured_one() -> None:
    got: list[ChatRequest] = []

    async def script(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        got.append(request)
        yield Finish("stop")

    entry, _ = entry_for(script, system="configured")
    await read(entry)
    await read(entry, system="given")
    assert [request.messages[0].text for request in got] == ["configured", "given"]


def test_cost_counts_cached_tokens_at_their_own_price_and_unknown_stays_unknown() -> None:
    prices = Prices(input=2, output=10, cached=0.5)
    assert cost(Usage(input=1_000_000, output=100_000, cached=400_000), prices) == pytest.approx(2.4)
    assert cost(Usage(input=1_000_000, output=100_000), prices) == pytest.approx(3.0)
    assert cost(Usage(input=None, output=1), prices) is None
    assert cost(Usage(1, 1), None) is None


def test_cost_knows_what_was_written_to_a_cache() -> None:
    prices = Prices(input=3, output=15, cached=0.3, cache_write=3.75)
    usage = Usage(input=1_000_000, output=0, cached=500_000, cache_written=400_000)
    assert cost(usage, prices) == pytest.approx(0.3 + 0.15 + 1.5)
    assert cost(usage, Prices(input=3, output=15)) == pytest.approx(3)


@pytest.mark.parametrize(
    "usage",
    [Usage(100, 5, cached=150), Usage(100, 5, cached=60, cache_written=60), Usage(100, 5, cache_written=101)],
)
def test_cost_is_unknown_rather_than_negative_where_counts_contradict_each_other(usage: Usage) -> None:
    assert cost(usage, Prices(input=2, output=10, cached=0.5)) is None


async def test_many_turns_at_once_do_not_wait_for_each_other() -> None:
    gate = asyncio.Event()

    async def stalled(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        await gate.wait()
        yield Finish("stop")

    async def quick(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        yield TextDelta("done")
        yield Finish("stop")

    slow, _ = entry_for(stalled)
    fast, _ = entry_for(quick)
    async with run_turn(slow, ASK) as waiting:
        _, turn = await read(fast)
        assert (turn.outcome, waiting.outcome) == ("finished", "running")
        gate.set()
        assert [event async for event in waiting] == [Finish("stop")]


async def test_what_no_upstream_takes_back_is_left_out_of_the_history_and_said() -> None:
    got: list[ChatRequest] = []

    async def script(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        got.append(request)
        yield Finish("stop")

    entry, _ = entry_for(script, Capabilities(files=("image/*",)))
    answer = Message(
        "assistant",
        (
            TextPart("here"),
            FilePart("image/png", "plot.png", data=b"x"),
            ToolCall("1", "never_run", "{}"),
        ),
    )
    async with run_turn(entry, [*ASK, answer, Message.of("user", "and?")]) as turn:
        events = [event async for event in turn]
    assert got[0].messages[1] == Message.of("assistant", "here")
    details = [event.detail for event in events if isinstance(event, Notice)]
    assert details[0] == "plot.png of an earlier answer was not sent"
    assert len(details) == 2


@pytest.mark.parametrize(
    ("turns", "rests"),
    [(1, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), (50, [0.0, 0.0, 0.0, 0.02, 0.04, 0.05])],
    ids=["alone", "in a crowd"],
)
async def test_in_a_crowd_tokens_may_gather_but_not_for_longer_than_the_answer_has_been_streaming(
    monkeypatch: pytest.MonkeyPatch, turns: int, rests: list[float]
) -> None:
    """So the first one is never kept waiting, nor the end of an answer that comes at once."""
    now = 0.0
    monkeypatch.setattr("chatlab.turns.stopwatch.perf_counter", lambda: now)
    crowd = asyncio.Barrier(turns)

    async def script(_: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        nonlocal now
        await crowd.wait()
        taken = [ctx.rest()]
        yield TextDelta("first")
        taken.append(ctx.rest())
        for seconds in (0.0005, 0.02, 0.04, 1.0):
            now = seconds
            taken.append(ctx.rest())
        now = 0.0
        await crowd.wait()
        yield TextDelta(str(taken))
        yield Finish("stop")

    entry, _ = entry_for(script)
    last = [events[1] for events, _ in await asyncio.gather(*(read(entry) for _ in range(turns)))]
    assert set(last) == {TextDelta(str(rests))}


async def rate_of(*events: StreamEvent | float, usage: Usage, runs: int = 1) -> float | None:
    """The tokens a second of an answer, by a clock of its own; a number among the events is a wait of so many
    seconds."""
    now = 0.0

    async def script(request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        nonlocal now
        for event in events:
            if isinstance(event, float):
                now += event
                await asyncio.sleep(0)
            else:
                yield event
        yield Finish("stop", usage, runs=runs)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("chatlab.turns.stopwatch.perf_counter", lambda: now)
        _, turn = await read(entry_for(script)[0])
    return turn.timing.tokens_per_second


def stream_of(tokens: int) -> list[StreamEvent | float]:
    return [item for number in range(tokens) for item in (TextDelta(f"{number} "), 0.005)]


async def test_tokens_a_second_are_those_of_one_stream() -> None:
    assert await rate_of(*stream_of(20), usage=Usage(1, 20)) == pytest.approx(200)
    call = ToolCall("1", "look", "{}")
    assert await rate_of(*stream_of(20), call, usage=Usage(1, 25)) is not None, "its tokens came too"


@pytest.mark.parametrize(
    "before",
    [
        (ToolCall("1", "look", "{}"), ToolResult("1", "found")),
        (TextDelta("Let me look."), 0.01, ToolCall("1", "look", "{}"), ToolResult("1", "found")),
        (ToolResult("1", "found"),),
    ],
)
async def test_tokens_a_second_of_an_agent_are_unknown(before: tuple[StreamEvent, ...]) -> None:
    assert await rate_of(*before, *stream_of(20), usage=Usage(1, 200)) is None


async def test_tokens_a_second_of_several_models_are_unknown() -> None:
    assert await rate_of(*stream_of(20), usage=Usage(1, 200), runs=2) is None


def test_tokens_a_second_of_bursts_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock of their own: a busy machine puts time between pieces that were there at once."""
    now = 0.0
    monkeypatch.setattr("chatlab.turns.stopwatch.perf_counter", lambda: now)

    def rate(*events: StreamEvent | float | None, tokens: int) -> float | None:
        """With seconds that go by, and None where the connection is read."""
        nonlocal now
        watch, answer = Stopwatch(), Accumulator()
        for event in (0.05, *events, Finish("stop", Usage(1, tokens))):
            if event is None:
                watch.read()
            elif isinstance(event, float):
                now += event
            else:
                watch.arrival(event)
                answer.add(event)
        return watch.timing(answer).tokens_per_second

    burst = [TextDelta(f"{number} ") for number in range(50)]
    assert rate(*burst, tokens=50) is None
    assert rate(*burst, 0.05, *burst, tokens=100) is None
    assert rate(*burst[:2], tokens=2) is None
    assert rate(*(item for one in burst for item in (one, 0.01)), tokens=50) == pytest.approx(100)
    slowly = [
        item for one in burst for item in (one, 0.002)
    ]  # an SDK takes its time over what was read at once
    assert rate(None, *slowly, tokens=50) is None
    assert rate(*(item for one in burst for item in (None, one, 0.002)), tokens=50) == pytest.approx(500)
    assert rate(*slowly, tokens=50) == pytest.approx(500), "of a client that does not tell"
    half = TextDelta("half of the answer, in one piece, " * 10)
    assert rate(half, 1.0, TextDelta("and the end."), tokens=100) is None, "most was there at once"
    large = [TextDelta("four tokens in each ")] * 50
    assert rate(*(item for one in large for item in (one, 0.04)), tokens=200) == pytest.approx(101.5, abs=1)


async def test_more_tokens_than_bytes_of_text_are_those_of_other_calls_too() -> None:
    def slow(text: str) -> list[StreamEvent | float]:
        return [item for _ in range(20) for item in (TextDelta(text), 0.003)]

    words = slow("a ")
    assert await rate_of(*words, usage=Usage(1, 40)) is not None
    assert await rate_of(*words, usage=Usage(1, 100)) is None
    call = ToolCall("1", "look", '{"for": "' + "a" * 100 + '"}')
    assert await rate_of(*words, call, usage=Usage(1, 100)) is not None, "the tokens of the call came, too"
    assert await rate_of(*words, usage=Usage(1, 100, reasoning=70)) is not None
    assert await rate_of(*slow("語"), usage=Usage(1, 60)) is not None, "three bytes each"
