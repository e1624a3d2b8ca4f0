"""The replay backend."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from backends.replay import ReplayBackend, ReplayOptions
from chatlab.backend import CallContext, ChatRequest
from chatlab.config.models import BackendConfig
from chatlab.config.registry import Entry, from_address
from chatlab.errors import BrokenStream, ContextTooLong, InvalidRequest, NotReady, StoreError
from chatlab.messages import (
    Citation,
    Finish,
    Message,
    Notice,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
)
from chatlab.recording.format import Failure, Header, Writer

SAMPLES = Path(__file__).resolve().parents[2] / "configs/samples"
Timeline = list[tuple[float, StreamEvent]]


def say(text: str) -> Timeline:
    return [(0.0, TextDelta(text)), (0.0, Finish("stop", Usage(1, 1), "m-1"))]


@pytest.fixture
def record(tmp_path: Path) -> Any:
    def make(
        *exchanges: tuple[str, Timeline], header: Header | None = None, failure: Failure | None = None
    ) -> Path:
        path = tmp_path / "r.jsonl"
        with path.open("w", encoding="utf-8") as out:
            writer = Writer(out, header or Header("openai", "m", "2026-11-21T09:00:00+00:00"))
            for asked, events in exchanges:
                writer.begin([Message.of("user", asked)])
                for at, event in events:
                    writer.event(at, event)
                writer.end(failure=failure)
        return path

    return make


async def play(path: Path, *said: str, parameters: dict[str, Any] | None = None, **options: Any) -> Timeline:
    """What comes, and when, for a conversation in which the person said this."""
    backend = ReplayBackend(ReplayOptions(recording=path, **options))
    messages = [Message.of("assistant", "…")] * (2 * len(said) - 1)
    messages[::2] = [Message.of("user", text) for text in said]
    start = perf_counter()
    request = ChatRequest(tuple(messages), parameters or {})
    return [(perf_counter() - start, event) async for event in backend.stream(request, CallContext())]


def text(timeline: Timeline) -> str:
    return "".join(event.text for _, event in timeline if isinstance(event, TextDelta))


def notices(timeline: Timeline) -> list[Notice]:
    return [event for _, event in timeline if isinstance(event, Notice)]


async def test_every_event_comes_back_as_it_was_recorded(record: Any) -> None:
    timeline: Timeline = [
        (0.0, ReasoningDelta("hm")),
        (0.0, ToolCall("1", "look", "{}")),
        (0.0, ToolResult("1", "no", "look", True)),
        (0.0, TextDelta(" a\n")),
        (0.0, Citation("Book")),
        (0.0, Finish("length", Usage(3, 4, 1, 2), "m-1")),
    ]
    found = await play(record(("hi", timeline)), "hi")
    assert [event for _, event in found[1:]] == [event for _, event in timeline]


async def test_a_recording_is_not_taken_for_a_live_answer(record: Any) -> None:
    found = await play(record(("hi", say("x"))), "hi")
    assert found[0][1] == Notice(
        "other", "a recording of m (openai) made 2026-11-21T09:00:00+00:00, not a live answer"
    )


async def test_a_sample_says_so(record: Any) -> None:
    header = Header(model="sample-m", sample=True, label="Sample answers", origin="written by hand")
    found = await play(record(("hi", say("x")), header=header), "hi")
    assert found[0][1] == Notice("sample", "Sample answers: written by hand")


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.jsonl")), ids=lambda path: path.stem)
async def test_every_shipped_sample_plays_marked(path: Path) -> None:
    found = await play(path, "something else", speed=0)
    assert isinstance(found[0][1], Notice) and found[0][1].kind == "sample"
    assert isinstance(found[-1][1], Finish)
    assert text(found)


async def test_it_keeps_the_recorded_pace(record: Any) -> None:
    path = record(("hi", [(0.1, TextDelta("a")), (0.3, TextDelta("b")), (0.32, Finish("stop"))]))
    (_, a, b, _) = await play(path, "hi")
    assert 0.1 <= a[0] < 0.2
    assert 0.3 <= b[0] < 0.4


async def test_it_plays_faster_by_option_and_by_parameter(record: Any) -> None:
    path = record(("hi", [(1.0, TextDelta("a")), (4.0, TextDelta("b")), (4.0, Finish("stop"))]))
    (_, a, b, _) = await play(path, "hi", speed=20)
    assert 0.05 <= a[0] < 0.15
    assert 0.2 <= b[0] < 0.4
    (_, _, b, _) = await play(path, "hi", parameters={"speed": 0})
    assert b[0] < 0.2


async def test_the_question_asked_chooses_the_exchange(record: Any) -> None:
    path = record(("What is A?", say("A!")), ("What is B?", say("B!")))
    found = await play(path, "what is  B? ")
    assert text(found) == "B!"
    assert len(notices(found)) == 1


async def test_an_unknown_question_is_answered_in_order_and_told(record: Any) -> None:
    path = record(("What is A?", say("A!")), ("What is B?", say("B!")))
    for said, answer, known in (
        (["x"], "A!", "What is A?"),
        (["x", "y"], "B!", "What is B?"),
        (["x"] * 3, "A!", ""),
    ):
        found = await play(path, *said)
        assert text(found) == answer
        assert f"it answers '{known}" in notices(found)[1].detail


async def test_in_order_whatever_is_asked(record: Any) -> None:
    path = record(("What is A?", say("A!")), ("What is B?", say("B!")))
    found = await play(path, "What is B?", choose="order")
    assert text(found) == "A!"
    assert len(notices(found)) == 1


async def test_the_same_question_twice_gets_its_own_answer_each_time(record: Any) -> None:
    path = record(("again", say("first")), ("again", say("second")))
    assert text(await play(path, "again")) == "first"
    assert text(await play(path, "again", "again")) == "second"


async def test_a_recorded_failure_fails_again(record: Any) -> None:
    path = record(("hi", [(0.0, TextDelta("a"))]), failure=Failure(0.1, "ContextTooLong", "too long", 400))
    start = perf_counter()
    with pytest.raises(ContextTooLong) as caught:
        await play(path, "hi")
    assert perf_counter() - start >= 0.1
    assert (caught.value.detail, caught.value.status, caught.value.retryable) == ("too long", 400, False)


async def test_an_exchange_that_was_stopped_does_not_look_finished(record: Any) -> None:
    with pytest.raises(BrokenStream, match="stops here"):
        await play(record(("hi", [(0.0, TextDelta("a"))])), "hi")


async def test_a_recording_without_exchanges_is_refused(record: Any) -> None:
    with pytest.raises(InvalidRequest, match="no exchange"):
        await play(record(), "hi")


def test_a_missing_recording_is_not_ready_with_what_to_do(tmp_path: Path) -> None:
    options = ReplayOptions(recording=tmp_path / "none.jsonl")
    entry = Entry("mine", BackendConfig(kind="replay", options=options), ReplayBackend)
    with pytest.raises(NotReady, match=r"make the recording .*none\.jsonl with `chatlab record`"):
        entry.backend()


def test_a_broken_recording_says_where(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text("{}\n")
    with pytest.raises(StoreError, match=r"r\.jsonl:1: not a chatlab recording"):
        ReplayBackend(ReplayOptions(recording=tmp_path / "r.jsonl"))


def test_a_recording_that_cannot_be_played_is_not_ready_until_it_can(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text("{}\n")
    options = ReplayOptions(recording=path)
    assert "r.jsonl:1: not a chatlab recording" in str(ReplayBackend.not_ready(options))
    sample = (SAMPLES / "writer.jsonl").read_text("utf-8")
    path.write_text(sample.splitlines()[0] + "\n", "utf-8")
    assert "has no exchange in it" in str(ReplayBackend.not_ready(options))
    path.write_text(sample, "utf-8")
    assert ReplayBackend.not_ready(options) is None


async def test_its_address_is_the_recording() -> None:
    entry = from_address(f"replay:{SAMPLES / 'writer.jsonl'}")
    assert isinstance(entry.backend(), ReplayBackend)
