"""A lane of a comparison as a recording: what it says again, and when."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import chatlab
from chatlab.compare.report.from_session import comparison_of
from chatlab.compare.report.recording import NoSuchLane, exchange_of, recording_of, recording_text
from chatlab.compare.report.redact import redacted
from chatlab.compare.session.session import ComparisonSession
from chatlab.errors import (
    AuthRequired,
    BackendError,
    ChatlabError,
    InvalidRequest,
    RateLimited,
    Unavailable,
)
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
    Trace,
    Usage,
)
from chatlab.recording.arrivals import Arrivals, events_of
from chatlab.recording.format import Reader, Recording, Timed
from chatlab.redaction.texts import parse_patterns
from chatlab.text import well_formed
from chatlab.turns.turn import run_turn
from tests.compare.report.samples import comparison
from tests.compare.session.scripted import script, scripted
from tests.folded import accumulate

SAMPLES = Path(__file__).resolve().parents[3] / "configs" / "samples"
deltas = st.text(min_size=1, max_size=6).map(well_formed)
events = st.one_of(
    deltas.map(TextDelta),
    deltas.map(ReasoningDelta),
    st.builds(ToolCall, deltas, deltas, deltas),
    st.builds(ToolResult, deltas, deltas, deltas, st.booleans()),
    st.builds(Citation, deltas),
    st.builds(Trace, deltas),
    st.builds(Notice, st.just("other"), deltas),
)


@given(st.lists(st.tuples(st.integers(0, 10**7), events), max_size=20), st.booleans())
def test_an_answer_and_its_arrivals_are_its_events_again(
    given: list[tuple[int, StreamEvent]], ends: bool
) -> None:
    at, timed, kept = 0, [], Arrivals()
    for wait, event in [*given, *([(5, Finish("stop", Usage(1, 2), "m"))] if ends else [])]:
        at += wait
        timed.append(Timed(at / 1_000_000, event))
        kept.add(at / 1_000_000, event)
    answer = accumulate(one.event for one in timed)
    again = events_of(
        str(kept),
        answer.parts,
        notices=answer.notices,
        citations=answer.citations,
        traces=answer.traces,
        finish=answer.finish,
    )
    assert again == tuple(timed)


@pytest.mark.parametrize("arrivals", ["", "1t2", "1t9", "1t4 1c", "x", "1t4 1f", "1t2 1t1"])
def test_the_times_of_another_answer_are_refused(arrivals: str) -> None:
    with pytest.raises(ValueError, match="times"):
        events_of(arrivals, accumulate([TextDelta("four")]).parts)


async def test_a_lane_of_a_session_is_recorded_with_the_times_its_events_arrived() -> None:
    backends = scripted("a", "b")
    script(backends, "a").hold = hold = asyncio.Event()
    session = await ComparisonSession.create(backends, list(backends), owner="me")
    asked_round = await session.ask("Hello")
    await script(backends, "a").half.wait()
    hold.set()
    await session.settled()
    (turn,) = session.state.round(asked_round).turns[session.state.lanes[0].id]
    stored = session.turn(turn)
    made = recording_of(comparison_of(session, title="Mine"), "a")
    await session.aclose()
    (exchange,) = made.exchanges
    assert "".join(e.event.text for e in exchange.events if isinstance(e.event, TextDelta)) == "a says 1"
    assert len([e for e in exchange.events if isinstance(e.event, TextDelta)]) == 2
    assert stored.timing.first_token is not None and stored.timing.total is not None
    assert exchange.events[0].at == pytest.approx(stored.timing.first_token, abs=2e-6)
    assert exchange.events[-1].at == pytest.approx(stored.timing.total, abs=2e-6)
    assert (made.header.label, made.header.model) == ("a", "scripted-1")
    assert made.header.origin == "a lane of the comparison 'Mine'"
    assert exchange.messages == (Message.of("user", "Hello"),)


async def test_replay_plays_a_recorded_session_as_it_was(tmp_path: Path) -> None:
    """The sample answers in a session, as a recording, in a session again: events and times are the same."""
    config = "backends:\n  one: {kind: replay, recording: '%s', speed: %d}\n"
    answers = []
    for number, source in enumerate((SAMPLES / "writer.jsonl", tmp_path / "again.jsonl")):
        (tmp_path / "c.yaml").write_text(config % (source, 1 if number else 10))
        async with chatlab.load(tmp_path / "c.yaml") as lab:
            session = await ComparisonSession.create(lab.backends, ["one"], owner="me")
            for question in ("Compare TCP and UDP in a table", "What can this page show?"):
                await session.ask(question)
                await session.settled()
            found = comparison_of(session)
            await session.aclose()
        (tmp_path / "again.jsonl").write_text(recording_text(recording_of(found, "one")))
        answers.append([exchange_of(one)[0] for one in found.results])
    for first, second in zip(*answers, strict=True):
        heard, again = ([e for e in x.events if not isinstance(e.event, Notice)] for x in (first, second))
        assert [e.event for e in heard] == [e.event for e in again] and len(heard) > 50
        late = [late.at - early.at for early, late in zip(heard, again, strict=True)]
        assert sorted(late)[len(late) // 2] == pytest.approx(0, abs=0.2)


def test_a_recording_that_was_written_can_be_read() -> None:
    made = recording_of(comparison(), "Qwen")
    reader = Reader(io.StringIO(recording_text(made)), "made")
    again = Recording(reader.header, tuple(reader))
    assert again.header == made.header and len(again.exchanges) == 8
    assert [one.failure and one.failure.detail for one in again.exchanges][:3] == [
        None,
        "Qwen is not reachable",
        None,
    ]
    assert again.exchanges[0].messages[0] == Message.of("system", "Be brief.")


def test_times_that_were_not_kept_are_made_from_the_figures_and_that_is_said() -> None:
    whole = comparison()
    made = recording_of(whole, "GPT mini")
    assert "the times of the pieces of the answers were not kept" in str(made.header.origin)
    for one, exchange in zip([one for one in whole.results if one.lane == "l1"], made.exchanges, strict=True):
        timing = one.turn.timing
        texts = [e for e in exchange.events if isinstance(e.event, TextDelta)]
        assert "".join(e.event.text for e in texts if isinstance(e.event, TextDelta)) == "".join(
            part.text for part in one.turn.answer if hasattr(part, "text") and part.text != "thought hard"
        )
        assert texts[0].at == timing.first_token and exchange.events[-1].at == timing.total
        gaps = [
            b.at - a.at
            for a, b in zip(texts, exchange.events[exchange.events.index(texts[1]) :], strict=False)
        ]
        assert max(gaps) == pytest.approx(timing.longest_stall)
        assert all(b.at >= a.at for a, b in zip(exchange.events, exchange.events[1:], strict=False))


async def test_what_was_taken_out_is_not_in_a_recording_either() -> None:
    backends = scripted("a")
    session = await ComparisonSession.create(backends, ["a"], owner="me")
    await session.ask("Hello Zaphod")
    await session.settled()
    found = redacted(comparison_of(session, title="t"), parse_patterns(["Zaphod", "says"]))
    await session.aclose()
    text = recording_text(recording_of(found, "a"))
    assert "Zaphod" not in text and "says 1" not in text and "pattern" in text
    assert "were not kept" in text


def test_of_repeats_the_first_come_first_and_all_are_there() -> None:
    whole = comparison(2)
    again = tuple(replace(one, repeat=1) for one in whole.results)
    made = recording_of(replace(whole, results=(*again, *whole.results)), "l1")
    assert [one.asked[-2] for one in made.exchanges] == ["1", "2", "1", "2"]


def test_a_lane_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(NoSuchLane, match="it has GPT mini, Qwen"):
        recording_of(comparison(), "claude")


@pytest.mark.parametrize("label", [None, "GPT mini"])  # stored before and since pages say a label
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RateLimited("slow down", backend="a"), RateLimited),
        (Unavailable("no connection", backend="a"), BackendError),  # advises what most of them do
        (InvalidRequest("no (really)", backend="a"), InvalidRequest),
        (AuthRequired("sign in"), BackendError),
    ],
)
def test_a_failure_is_replayed_with_its_advice_once(
    error: ChatlabError, kind: type[ChatlabError], label: str | None
) -> None:
    result = comparison().results[0]
    if isinstance(error, BackendError):
        error.label = label
    turn = replace(result.turn, backend="a", label="GPT mini", status="failed", error=error.sentence)
    failure = exchange_of(replace(result, turn=turn))[0].failure
    assert failure is not None
    again = failure.exception()
    assert type(again) is kind
    assert str(again) == f"{error.sentence}".removeprefix("a: ").removeprefix("GPT mini: ") + (
        "" if isinstance(error, BackendError) else f" ({BackendError.advice})"
    )


async def test_a_turn_that_was_retried_or_stopped_keeps_true_times() -> None:
    backends = scripted("a")
    script(backends, "a").hold = asyncio.Event()
    async with run_turn(backends["a"], [Message.of("user", "x")]) as turn:
        await script(backends, "a").half.wait()
        turn.stop()
        await turn.aclose()
        (timed,) = events_of(str(turn.arrivals), turn.answer.parts)
    assert isinstance(timed.event, TextDelta) and timed.at == pytest.approx(turn.timing.first_token, abs=2e-6)
