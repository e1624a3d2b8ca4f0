"""Any lane of a comparison as a recording, which the backend `replay` plays with the times it had.

The times of the events are those at which they arrived, stored beside the receipt. An answer without them (it
was given before chatlab stored them, or something was taken out of it) gets times made from its figures: the
first token, the end, the longest stall between them, and evenly spaced words. The header says so.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Sequence

from chatlab import errors
from chatlab.compare.model import Comparison, Lane, Result
from chatlab.compare.model_json import to_line
from chatlab.compare.report.redact import redacted
from chatlab.errors import BackendError, ChatlabError
from chatlab.messages import (
    FilePart,
    Message,
    ReasoningDelta,
    ReasoningPart,
    StreamEvent,
    TextDelta,
    TextPart,
    Timing,
    ToolCall,
    ToolResult,
)
from chatlab.recording.arrivals import events_of
from chatlab.recording.format import Exchange, Failure, Header, Recording, Timed, Writer
from chatlab.redaction.texts import Pattern
from chatlab.secret import scrubbed_value
from chatlab.store import StoredTurn
from chatlab.words import ENGLISH

_WORD = re.compile(r"\s*\S+\s*?|\s+")


class NoSuchLane(ChatlabError):
    """The comparison has no such lane, or it gave no answer."""

    http_status = 404


def recording_of(compared: Comparison, lane: str, *, sample: bool = False) -> Recording:
    """Return a lane's answers as a recording. lane: its label or id. sample: it was made to be shown.

    Of repeats the first come first, in the order they were asked, so that a replayed conversation gets them;
    the others follow. Raises NoSuchLane.
    """
    found = _lane(compared, lane)
    results = sorted((one for one in compared.results if one.lane == found.id), key=lambda one: one.repeat)
    if not results:
        raise NoSuchLane(ENGLISH("refusal.not-recordable", lane=found.label))
    exchanges, made_up = [], 0
    for result in results:
        exchange, true_times = exchange_of(result)
        exchanges.append(exchange)
        made_up += not true_times
    origin = f"a lane of the comparison {compared.title!r}"
    if made_up:
        which = "the answers" if made_up == len(results) else f"{made_up} of {len(results)} answers"
        origin += (
            f"; the times of the pieces of {which} were not kept: they are made from first token, total and "
            "longest stall, with words evenly spaced"
        )
    models = [one.receipt.model for one in results if one.receipt is not None and one.receipt.model]
    header = Header(
        kind=next((one.turn.kind for one in results if one.turn.kind), None),
        model=models[-1] if models else None,
        created=results[0].turn.created.isoformat(timespec="seconds"),
        sample=sample,
        label=found.label,
        origin=origin,
    )
    return Recording(header, tuple(exchanges))


def lane_recording(comparison: Comparison, lane: str, patterns: Sequence[Pattern] = ()) -> str:
    """Return a lane's answers as the file that the kind `replay` plays, redacted as a report is.

    Raises NoSuchLane, and WrongPattern if a pattern takes too long.
    """
    made = recording_text(recording_of(redacted(comparison, patterns), lane))
    return "".join(to_line(scrubbed_value(json.loads(line))) for line in io.StringIO(made))


def recording_text(recording: Recording) -> str:
    """Return the recording as a file's content."""
    out = io.StringIO()
    writer = Writer(out, recording.header)
    for exchange in recording.exchanges:
        writer.begin(exchange.messages, exchange.parameters)
        for timed in exchange.events:
            writer.event(timed.at, timed.event)
        writer.end(exchange.timing, exchange.failure)
    return out.getvalue()


def _lane(compared: Comparison, name: str) -> Lane:
    for lane in compared.lanes:
        if name in (lane.id, lane.label):
            return lane
    labels = ", ".join(lane.label for lane in compared.lanes)
    raise NoSuchLane(ENGLISH("refusal.no-lane-named", lane=name, names=labels))


def exchange_of(result: Result) -> tuple[Exchange, bool]:
    """Return one answer as an exchange, and whether its events have the times at which they arrived."""
    turn, receipt = result.turn, result.receipt
    events: tuple[Timed, ...] | None = None
    if receipt is not None and receipt.arrivals is not None:
        try:
            events = events_of(
                receipt.arrivals,
                turn.answer,
                notices=turn.notices,
                citations=turn.citations,
                traces=turn.traces,
                finish=turn.finish,
            )
        except ValueError:
            events = None
    failure = None
    if turn.status == "failed":
        failure = _failure(turn)
    true_times = events is not None
    if events is None:
        events = tuple(_made_up(turn))
    messages = (turn.user,) if receipt is None else receipt.messages
    exchange = Exchange(
        tuple(map(_without_stored_files, messages)),
        dict(turn.sent or {}) if receipt is None else dict(receipt.parameters),
        events,
        None if failure is None else _after(failure, events),
        turn.timing if turn.timing != Timing() else None,
    )
    return exchange, true_times


def _without_stored_files(message: Message) -> Message:
    """A recording is read elsewhere, where nothing is known by a hash alone: a file's name stands for it."""
    return Message(
        message.role,
        tuple(
            TextPart(f"[{part.name or part.media_type}]") if isinstance(part, FilePart) else part
            for part in message.parts
        ),
    )


def _failure(turn: StoredTurn) -> Failure:
    """Return the error that a stored sentence is of: its class by the advice, without what a replay says
    anew.
    """
    said = turn.error or "this turn failed"
    for name in (turn.label, turn.backend):
        said = said.removeprefix(f"{name}: ")
    for known in vars(errors).values():
        if isinstance(known, type) and issubclass(known, BackendError):
            detail = said.removesuffix(f" ({known.advice})")
            if detail != said:
                return Failure(turn.timing.total or 0.0, known.__name__, detail)
    return Failure(turn.timing.total or 0.0, "BackendError", said)


def _after(failure: Failure, events: tuple[Timed, ...]) -> Failure:
    last = events[-1].at if events else 0.0
    return failure if failure.at >= last else Failure(last, failure.error, failure.detail)


def _made_up(turn: StoredTurn) -> Iterator[Timed]:
    """Yield the events of a turn at times that give its figures again."""
    timing = turn.timing
    end = timing.total or 0.0
    first = min(end if timing.first_token is None else timing.first_token, end)
    before = min(first if timing.first_event is None else timing.first_event, first)
    pieces = list(_pieces(turn))
    begin = next((at for at, piece in enumerate(pieces) if isinstance(piece, TextDelta)), len(pieces))
    yield from (Timed(0.0, notice) for notice in turn.notices)
    for number, piece in enumerate(pieces[:begin]):
        yield Timed(before + (first - before) * number / max(begin, 1), piece)
    visible = pieces[begin:]
    stall = min(timing.longest_stall or 0.0, end - first)
    # The last wait is that for the end; the longest one is put in the middle.
    waits = len(visible)
    step = (end - first - stall) / (waits - 1) if waits > 1 else 0.0
    if step > stall:
        step, stall = (end - first) / max(waits, 1), 0.0
    at = first
    for number, piece in enumerate(visible):
        if number:
            at += stall if stall and number == (waits + 1) // 2 else step
        yield Timed(min(at, end), piece)
    yield from (Timed(end, citation) for citation in turn.citations)
    yield from (Timed(end, trace) for trace in turn.traces)
    if turn.finish is not None:
        yield Timed(end, turn.finish)


def _pieces(turn: StoredTurn) -> Iterator[StreamEvent]:
    """Yield the answer as events, its texts word by word."""
    for part in turn.answer:
        if isinstance(part, TextPart):
            yield from map(TextDelta, _WORD.findall(part.text))
        elif isinstance(part, ReasoningPart):
            yield from map(ReasoningDelta, _WORD.findall(part.text))
        elif isinstance(part, ToolCall | ToolResult):
            yield part
