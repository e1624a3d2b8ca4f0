"""Recordings: turns with the real times of their events, as JSON lines, as docs/recording-format.md says."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol, TextIO, TypeVar

from chatlab import errors
from chatlab.backend import ChatRequest
from chatlab.codec import (
    event_from_json,
    event_to_json,
    from_plain,
    message_from_json,
    message_to_json,
    to_plain,
)
from chatlab.errors import BackendError, ChatlabError, StoreError
from chatlab.messages import Finish, Message, StreamEvent, Timing

T = TypeVar("T")

FORMAT = "chatlab-recording"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Header:
    """The first line: what was recorded.

    kind: the kind of backend, None if none was recorded; model: the model asked for; created: when, as ISO
    8601 in UTC.
    sample: it was made to be shown, not measured. label: its name for people. origin: how it was made, if
    not by recording a backend.
    """

    kind: str | None = None
    model: str | None = None
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    sample: bool = False
    label: str | None = None
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class Timed:
    """An event and when it arrived, in seconds from the start of its turn."""

    at: float
    event: StreamEvent


@dataclass(frozen=True, slots=True)
class Failure:
    """The failure of a turn. `error` is the name of a class of `chatlab.errors`, `at` seconds from its
    start."""

    at: float
    error: str
    detail: str
    status: int | None = None
    retry_after: float | None = None

    @classmethod
    def of(cls, at: float, error: ChatlabError) -> Failure:
        """Return what of an exception is recorded. Its detail has no secrets: chatlab's errors never do."""
        if isinstance(error, BackendError):
            return cls(at, type(error).__name__, error.detail, error.status, error.retry_after)
        return cls(at, type(error).__name__, str(error))

    def exception(self) -> BackendError:
        """Return the same error, never retryable; a plain BackendError if it was none of an upstream's."""
        found = getattr(errors, self.error, None)
        known = isinstance(found, type) and issubclass(found, BackendError)
        cls: type[BackendError] = found if known else BackendError  # type: ignore[assignment]
        return cls(self.detail, status=self.status, retry_after=self.retry_after)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One turn: what was sent, what came back and when. Without finish and failure it was stopped."""

    messages: tuple[Message, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    events: tuple[Timed, ...] = ()
    failure: Failure | None = None
    timing: Timing | None = None

    @property
    def asked(self) -> str:
        """Return the text of the last user message."""
        return next((m.text for m in reversed(self.messages) if m.role == "user"), "")


@dataclass(frozen=True, slots=True)
class Recording:
    """A whole recording in memory."""

    header: Header
    exchanges: tuple[Exchange, ...]

    @classmethod
    def load(cls, path: Path) -> Recording:
        """Read a file. Raises StoreError, with file and line, for one that is missing, broken or too new."""
        try:
            with path.open(encoding="utf-8") as lines:
                reader = Reader(lines, str(path))
                return cls(reader.header, tuple(reader))
        except OSError as exc:
            raise StoreError(
                f"{path} cannot be read ({exc.strerror}): correct the path or record it"
            ) from exc
        except UnicodeDecodeError as exc:
            raise StoreError(f"{path} is not a recording: it is not UTF-8 text") from exc


class RunningTurn(Protocol):
    """As much of `chatlab.turns.turn.Turn` as recording needs; it has been entered."""

    request: ChatRequest | None

    @property
    def timing(self) -> Timing: ...
    @property
    def error(self) -> ChatlabError | None: ...
    def __aiter__(self) -> AsyncIterator[StreamEvent]: ...


class Writer:
    """Writes a recording line by line, so that what has been recorded survives whatever comes after."""

    def __init__(self, out: TextIO, header: Header) -> None:
        self._out = out
        self._line({"format": FORMAT, "version": VERSION, **to_plain(header)})

    def begin(self, messages: Iterable[Message], parameters: Mapping[str, Any] | None = None) -> None:
        """Begin a new exchange with what is sent, the content of local files included."""
        encoded = [message_to_json(message) for message in messages]
        self._line(
            {"type": "prompt", "messages": encoded, **({"parameters": parameters} if parameters else {})}
        )

    def event(self, at: float, event: StreamEvent) -> None:
        """Write an event of the exchange that began last, `at` seconds after its turn started."""
        encoded = event_to_json(event)
        self._line({"type": encoded.pop("type"), "at": round(at, 6), **encoded})

    def end(self, timing: Timing | None = None, failure: Failure | None = None) -> None:
        """Write the end of the exchange."""
        if failure is not None:
            self._line({"type": "error", **to_plain(failure), "at": round(failure.at, 6)})
        if timing is not None:
            self._line({"type": "timing", **to_plain(timing)})
        self._out.flush()

    async def record(
        self,
        turn: RunningTurn,
        messages: Sequence[Message],
        parameters: Mapping[str, Any] | None = None,
        *,
        started: float | None = None,
    ) -> None:
        """Read a turn to its end into a new exchange. A turn that fails is recorded as such, not raised.

        messages, parameters: what was asked, which is written where the turn fails before there is a request
        for the backend. started: `time.perf_counter()` when the turn was entered; now, if not given.
        """
        start = perf_counter() if started is None else started
        failure = None
        begun = False

        def begin() -> None:
            sent = turn.request
            self.begin(*((messages, parameters) if sent is None else (sent.messages, sent.parameters)))

        try:
            async for event in turn:
                if not begun:  # by now there is a request, if there is one at all
                    begin()
                    begun = True
                self.event(perf_counter() - start, event)
        except ChatlabError as exc:
            failure = Failure.of(perf_counter() - start, exc)
        finally:
            if not begun:
                begin()
            self.end(turn.timing, failure)

    def _line(self, value: Mapping[str, Any]) -> None:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        if not _is_utf8(text):  # half of a surrogate pair: some upstream cut an emoji in two
            text = json.dumps(value, separators=(",", ":"))
        self._out.write(text + "\n")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Reader:
    """Reads a recording line by line: the header at once, then one exchange at a time.

    Iterating raises StoreError for a broken line: one sentence with `name:line`.
    """

    def __init__(self, lines: Iterable[str], name: str) -> None:
        self._name = name
        self._number = 0
        self._lines = self._objects(lines)
        self.header = self._header()

    def _header(self) -> Header:
        first = next(self._lines, None)
        if first is None or first.get("format") != FORMAT:
            raise self._error(
                'not a chatlab recording: the first line must have "format": "chatlab-recording"'
            )
        if first.get("version") != VERSION:
            raise self._error(
                f"this recording is version {json.dumps(first.get('version'))}, "
                f"this chatlab reads version {VERSION}: install a newer one, or record it again"
            )
        return self._decode(Header, first)

    def __iter__(self) -> Iterator[Exchange]:
        prompt: dict[str, Any] | None = None
        events: list[Timed] = []
        failure: Failure | None = None
        timing: Timing | None = None
        last = 0.0

        def exchange() -> Exchange:
            assert prompt is not None
            return Exchange(prompt["messages"], prompt["parameters"], tuple(events), failure, timing)

        for line in self._lines:
            kind = line.get("type")
            if kind == "prompt":
                if prompt is not None:
                    yield exchange()
                prompt = self._prompt(line)
                events, failure, timing, last = [], None, None, 0.0
                continue
            if prompt is None:
                raise self._error('a line of type "prompt" must come before any other')
            if kind == "timing":
                timing = self._decode(Timing, line)
                continue
            if failure is not None or (events and isinstance(events[-1].event, Finish)):
                raise self._error(f"{json.dumps(kind)} after the end of its exchange")
            last = self._at(line, last)
            if kind == "error":
                failure = self._decode(Failure, line)
            else:
                events.append(Timed(last, self._event(line)))
        if prompt is not None:
            yield exchange()

    def _prompt(self, line: Mapping[str, Any]) -> dict[str, Any]:
        messages, parameters = line.get("messages"), line.get("parameters", {})
        if not isinstance(messages, list) or not isinstance(parameters, dict):
            raise self._error("a prompt has a list of messages, and parameters by name if any")
        try:
            return {"messages": tuple(map(message_from_json, messages)), "parameters": parameters}
        except ValueError as exc:
            raise self._error(str(exc)) from exc

    def _event(self, line: Mapping[str, Any]) -> StreamEvent:
        try:
            return event_from_json(line)
        except ValueError as exc:
            raise self._error(str(exc)) from exc

    def _at(self, line: Mapping[str, Any], last: float) -> float:
        at = line.get("at")
        if isinstance(at, bool) or not isinstance(at, int | float) or not math.isfinite(at):
            raise self._error('"at" must be the seconds since the turn started')
        if at < last:
            raise self._error(f'"at" goes back from {last:g} to {at:g} seconds')
        return float(at)

    def _decode(self, cls: type[T], line: Mapping[str, Any]) -> T:
        try:
            return from_plain(cls, line)
        except ValueError as exc:
            raise self._error(str(exc)) from exc

    def _objects(self, lines: Iterable[str]) -> Iterator[dict[str, Any]]:
        for line in lines:
            self._number += 1
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except ValueError as exc:
                raise self._error("this line is not JSON; it may have been cut off") from exc
            if not isinstance(value, dict):
                raise self._error("this line is not a JSON object")
            yield value

    def _error(self, problem: str) -> StoreError:
        return StoreError(f"{self._name}:{max(self._number, 1)}: {problem}")
