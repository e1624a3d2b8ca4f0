"""Recordings: the format of docs/recording-format.md, read and written."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.codec import event_from_json, event_to_json, message_from_json, message_to_json
from chatlab.config.models import BackendConfig
from chatlab.config.registry import Entry, backend_class
from chatlab.errors import RateLimited, StoreError
from chatlab.messages import (
    Citation,
    FilePart,
    Finish,
    Message,
    Notice,
    Part,
    ReasoningDelta,
    ReasoningPart,
    StreamEvent,
    TextDelta,
    TextPart,
    Timing,
    ToolCall,
    ToolResult,
    Trace,
    Usage,
)
from chatlab.recording.format import Exchange, Failure, Header, Reader, Recording, Timed, Writer
from chatlab.turns.turn import run_turn

ROOT = Path(__file__).resolve().parents[2]
DOC = ROOT / "docs/recording-format.md"
SAMPLES = sorted((ROOT / "configs/samples").glob("*.jsonl"))

texts = st.text(st.characters(codec=None))  # halves of surrogate pairs included
events = st.one_of(
    st.builds(TextDelta, texts),
    st.builds(ReasoningDelta, texts),
    st.builds(ToolCall, texts, texts, texts),
    st.builds(ToolResult, texts, texts, st.none() | texts, st.booleans()),
    st.builds(Citation, texts, st.none() | texts, st.none() | texts),
    st.builds(Trace, texts, st.none() | texts),
    st.builds(Notice, st.sampled_from(["waking", "sample", "other"]), texts),
)
counts = st.none() | st.integers(0, 10**9)
finishes = st.builds(
    Finish,
    st.sampled_from(["stop", "length", "tool_calls", "content_filter"]),
    st.builds(Usage, counts, counts, counts, counts),
    st.none() | texts,
)
parts: st.SearchStrategy[Part] = st.one_of(
    st.builds(TextPart, texts),
    st.builds(ReasoningPart, texts),
    st.builds(ToolCall, texts, texts, texts),
    st.builds(ToolResult, texts, texts, st.none() | texts, st.booleans()),
    st.builds(
        lambda name, data: FilePart("image/png", name, data=data), st.none() | st.just("a.png"), st.binary()
    ),
    st.just(FilePart("image/png", url="https://example.org/a.png")),
)
messages = st.builds(
    Message, st.sampled_from(["system", "user", "assistant", "tool"]), st.lists(parts, max_size=3).map(tuple)
)


def written(*exchanges: Exchange, header: Header | None = None) -> str:
    out = io.StringIO()
    writer = Writer(out, header or Header(kind="echo"))
    for exchange in exchanges:
        writer.begin(exchange.messages, exchange.parameters)
        for timed in exchange.events:
            writer.event(timed.at, timed.event)
        writer.end(exchange.timing, exchange.failure)
    return out.getvalue()


def read(text: str) -> tuple[Header, list[Exchange]]:
    reader = Reader(io.StringIO(text), "r.jsonl")
    return reader.header, list(reader)


def problem(*lines: str) -> str:
    with pytest.raises(StoreError) as caught:
        read("\n".join(lines))
    return str(caught.value)


HEAD = '{"format":"chatlab-recording","version":1}'
PROMPT = '{"type":"prompt","messages":[{"role":"user","parts":[{"type":"text","text":"hi"}]}]}'


def test_the_example_of_the_documentation_is_a_recording() -> None:
    example = re.findall(r"```jsonl\n(.*?)```", DOC.read_text("utf-8"), re.S)
    assert len(example) == 1
    header, exchanges = read(example[0])
    assert header == Header("openai", "gpt-5-mini", "2026-11-21T09:00:00+00:00")
    first, second = exchanges
    assert first.asked == "What is 2 + 3?"
    assert first.parameters == {"temperature": 0}
    assert first.events == (
        Timed(0.412, ReasoningDelta("Just add.")),
        Timed(0.58, ToolCall("call_1", "add", '{"a": 2, "b": 3}')),
        Timed(0.91, ToolResult("call_1", "5", "add")),
        Timed(1.204, TextDelta("It is")),
        Timed(1.231, TextDelta(" 5.")),
        Timed(1.24, Finish("stop", Usage(31, 24, None, 4), "gpt-5-mini-2025-08-07")),
    )
    assert first.timing == Timing(
        credentials=0.001, connected=0.09, first_event=0.412, first_token=1.204, total=1.24
    )
    assert second.failure == Failure(0.2, "RateLimited", "too many requests", 429, 12.0)
    assert isinstance(second.failure.exception(), RateLimited)
    # What is written from it is the example again, byte by byte.
    assert written(*exchanges, header=header).splitlines() == [
        json.dumps(json.loads(line), ensure_ascii=False, separators=(",", ":"))
        for line in example[0].splitlines()
    ]


def test_the_documentation_names_every_event_part_and_key() -> None:
    text = DOC.read_text("utf-8")
    from chatlab import codec as event_json

    for name in (*event_json._EVENTS, *event_json._PARTS, "prompt", "error", "timing"):
        assert f"`{name}`" in text
    for cls in (Header, *event_json._EVENTS.values(), Usage, Failure):
        for key in cls.__dataclass_fields__:
            assert f"`{key}`" in text, f"{cls.__name__}.{key}"


@given(events | finishes)
def test_events_come_back_as_they_were(event: StreamEvent) -> None:
    assert event_from_json(json.loads(json.dumps(event_to_json(event)))) == event


@given(messages)
def test_messages_come_back_as_they_were(message: Message) -> None:
    assert message_from_json(json.loads(json.dumps(message_to_json(message)))) == message


@given(st.lists(st.tuples(st.floats(0, 1000), events), max_size=5), finishes)
def test_exchanges_come_back_through_a_file_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, found: list[tuple[float, StreamEvent]], finish: Finish
) -> None:
    times = sorted(round(at, 6) for at, _ in found)
    timed = tuple(Timed(at, event) for at, (_, event) in zip(times, found, strict=True))
    exchange = Exchange(
        (Message.of("user", "hi"),), {"seed": 1}, (*timed, Timed(1000.0, finish)), None, Timing(total=1.5)
    )
    path = tmp_path_factory.mktemp("recordings") / "r.jsonl"
    path.write_text(written(exchange, exchange), "utf-8")
    assert Recording.load(path).exchanges == (exchange, exchange)


def test_a_local_file_is_written_into_the_recording(tmp_path: Path) -> None:
    picture = tmp_path / "cat.png"
    picture.write_bytes(b"\x89PNG")
    message = Message("user", (FilePart("image/png", path=picture),))
    _, (exchange,) = read(written(Exchange((message,))))
    assert exchange.messages[0].parts == (FilePart("image/png", "cat.png", data=b"\x89PNG"),)


def test_keys_that_are_not_known_are_left_out_of_account() -> None:
    _, (exchange,) = read(
        '{"format":"chatlab-recording","version":1,"mood":"good"}\n'
        + PROMPT
        + '\n{"type":"text","at":1,"text":"x","logprob":-1}'
    )
    assert exchange.events == (Timed(1.0, TextDelta("x")),)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([""], "r.jsonl:1: not a chatlab recording"),
        (['{"hello":1}'], "r.jsonl:1: not a chatlab recording"),
        (
            ['{"format":"chatlab-recording","version":2}'],
            "r.jsonl:1: this recording is version 2, this chatlab reads version 1: install a newer one",
        ),
        ([HEAD, "", '{"type":"text","at":0,"text":"x"}'], 'r.jsonl:3: a line of type "prompt" must come'),
        (
            [HEAD, PROMPT, '{"type":"text","at":0,"te'],
            "r.jsonl:3: this line is not JSON; it may have been cut off",
        ),
        ([HEAD, PROMPT, "[1]"], "r.jsonl:3: this line is not a JSON object"),
        ([HEAD, PROMPT, '{"type":"song","at":0}'], 'r.jsonl:3: unknown type "song": it is one of text, '),
        ([HEAD, PROMPT, '{"type":"text","at":0}'], "r.jsonl:3: text: Field required"),
        (
            [HEAD, PROMPT, '{"type":"text","at":0,"text":5}'],
            "r.jsonl:3: text: Input should be a valid string",
        ),
        ([HEAD, PROMPT, '{"type":"text","at":"0","text":"x"}'], 'r.jsonl:3: "at" must be the seconds'),
        ([HEAD, PROMPT, '{"type":"text","at":NaN,"text":"x"}'], 'r.jsonl:3: "at" must be the seconds'),
        (
            [HEAD, PROMPT, '{"type":"text","at":2,"text":"x"}', '{"type":"text","at":1.5,"text":"x"}'],
            'r.jsonl:4: "at" goes back from 2 to 1.5 seconds',
        ),
        (
            [HEAD, PROMPT, '{"type":"finish","at":0,"reason":"stop"}', '{"type":"text","at":1,"text":"x"}'],
            'r.jsonl:4: "text" after the end of its exchange',
        ),
        ([HEAD, PROMPT, '{"type":"finish","at":0,"reason":"bored"}'], "r.jsonl:3: reason: Input should be"),
        ([HEAD, '{"type":"prompt"}'], "r.jsonl:2: a prompt has a list of messages"),
        (
            [HEAD, '{"type":"prompt","messages":[{"role":"bot","parts":[]}]}'],
            "r.jsonl:2: a message has a role",
        ),
    ],
)
def test_a_broken_line_is_one_sentence_with_its_place(lines: list[str], expected: str) -> None:
    found = problem(*lines)
    assert found.startswith(expected)
    assert "\n" not in found


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        StoreError, match=r"none\.jsonl cannot be read \(No such file or directory\): correct"
    ):
        Recording.load(tmp_path / "none.jsonl")
    (tmp_path / "cat.png").write_bytes(b"\x89PNG\xff")
    with pytest.raises(StoreError, match=r"cat\.png is not a recording: it is not UTF-8 text"):
        Recording.load(tmp_path / "cat.png")


def test_the_reader_gives_exchanges_before_it_reads_on() -> None:
    def lines() -> Any:
        yield HEAD
        yield PROMPT
        yield PROMPT
        raise AssertionError("read too far")

    reader = iter(Reader(lines(), "r.jsonl"))
    assert next(reader).asked == "hi"


def entry(kind: str, **options: Any) -> Entry:
    cls = backend_class(kind)
    return Entry(kind, BackendConfig(kind=kind, retries=0, options=cls.Options.model_validate(options)), cls)


async def test_a_turn_is_recorded_with_its_real_times() -> None:
    out = io.StringIO()
    asked = [Message.of("user", "one two three four five")]
    async with run_turn(entry("echo", delay=0.1), asked, parameters={"rate": 40}) as turn:
        await Writer(out, Header(kind="echo")).record(turn, asked, {"rate": 40})
    _, (exchange,) = read(out.getvalue())
    assert exchange.messages == tuple(asked)
    assert exchange.parameters == {"rate": 40}
    assert [type(timed.event) for timed in exchange.events] == [TextDelta] * 5 + [Finish]
    times = [timed.at for timed in exchange.events]
    for number in range(5):
        assert times[number] == pytest.approx(0.1 + number / 40, abs=0.05)
    assert exchange.timing is not None and exchange.timing.total == pytest.approx(times[-1], abs=0.05)
    assert exchange.failure is None


async def test_a_turn_that_fails_is_recorded_and_not_raised() -> None:
    out = io.StringIO()
    asked = [Message.of("user", "one two three")]
    failing = entry("echo", fail={"error": "rate_limited", "after": 2, "retry_after": 3, "detail": "slow"})
    async with run_turn(failing, asked) as turn:
        await Writer(out, Header(kind="echo")).record(turn, asked)
    _, (exchange,) = read(out.getvalue())
    assert [timed.event for timed in exchange.events] == [TextDelta("one"), TextDelta(" two")]
    assert exchange.failure is not None
    assert (exchange.failure.error, exchange.failure.status) == ("RateLimited", 429)
    again = exchange.failure.exception()
    assert (type(again), again.detail, again.retry_after) == (RateLimited, "slow", 3)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_says_that_it_is_one_and_how_it_was_made(path: Path) -> None:
    recording = Recording.load(path)
    assert recording.header.sample
    assert recording.header.kind is None
    assert recording.header.model is not None and recording.header.model.startswith("sample-")
    assert recording.header.origin is not None and "written by hand as a sample" in recording.header.origin
    assert recording.header.label is not None and "Sample" in recording.header.label


def test_the_samples_show_what_a_page_can_show() -> None:
    assert SAMPLES
    kinds: set[type] = set()
    whole = ""
    for path in SAMPLES:
        for exchange in Recording.load(path).exchanges:
            assert isinstance(exchange.events[-1].event, Finish)
            kinds |= {type(timed.event) for timed in exchange.events}
            whole += "".join(t.event.text for t in exchange.events if isinstance(t.event, TextDelta)) + "\n"
    assert kinds >= {TextDelta, ReasoningDelta, ToolCall, ToolResult, Citation, Finish}
    assert "```python" in whole and "$$" in whole and "|:--|" in whole
    assert "http://" not in whole and "https://" not in whole
