"""Tells every turn as a span, with a child for each attempt and each tool, and as measurements."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import lru_cache
from time import time_ns
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.context import get_current
from opentelemetry.metrics import CallbackOptions, Meter
from opentelemetry.metrics import Observation as Measured
from opentelemetry.trace import (
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    format_trace_id,
    set_span_in_context,
    use_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from chatlab.backend import CallContext, Target
from chatlab.errors import BackendError, ChatlabError
from chatlab.messages import ToolCall
from chatlab.observation import UNOBSERVED, Observation, ObservedTurn, Together
from chatlab.secret import scrubbed_traceback
from chatlab.telemetry import conventions as names
from chatlab.telemetry.batching import Batches
from chatlab.telemetry.content import ContentTeller

log = logging.getLogger(__name__)

_NANO = 1_000_000_000


class TurnObserver:
    """Makes the spans and measurements of turns. The running OpenTelemetry context is their parent.

    propagate: whether an upstream is told the trace (`traceparent`). content: tells what was written; None
    if nobody is told that.
    """

    def __init__(
        self,
        tracer: Tracer,
        meter: Meter,
        *,
        propagate: bool = True,
        content: ContentTeller | None = None,
    ) -> None:
        self.tracer = tracer
        self.content = content
        self._propagator = TraceContextTextMapPropagator() if propagate else None
        self.ended = Batches(_ObservedTurn.tell)
        self._running: Counter[str] = Counter()
        self._lock = threading.Lock()
        meter.create_observable_up_down_counter(
            names.RUNNING, [self._runs], unit="{turn}", description="Turns that run now."
        )
        self.duration = meter.create_histogram(
            names.DURATION,
            unit="s",
            description="Time of a turn from its start to its end.",
            explicit_bucket_boundaries_advisory=names.DURATION_BUCKETS,
        )
        self.first_chunk = meter.create_histogram(
            names.FIRST_CHUNK,
            unit="s",
            description="Time from the start of a turn to the first event of its answer.",
            explicit_bucket_boundaries_advisory=names.DURATION_BUCKETS,
        )
        self.tokens = meter.create_histogram(
            names.TOKENS,
            unit="{token}",
            description="Tokens of a turn, as its upstream counted them.",
            explicit_bucket_boundaries_advisory=names.TOKEN_BUCKETS,
        )

    def count(self, backend: str, more: int) -> None:
        """Count turns of a backend that began to run; less than none, that ended."""
        with self._lock:
            self._running[backend] += more

    def _runs(self, _: CallbackOptions) -> list[Measured]:
        with self._lock:
            return [Measured(count, {names.BACKEND: backend}) for backend, count in self._running.items()]

    def began(self, backend: str, kind: str, target: Target, ctx: CallContext) -> Observation:
        """Return the observation of a turn that begins now."""
        try:
            return _ObservedTurn(self, backend, kind, target, ctx)
        except Exception as exc:  # noqa: BLE001 - telemetry must not cost anybody an answer
            log.error("a turn is not observed\n%s", scrubbed_traceback(exc))
            return UNOBSERVED

    def together(self, name: str, about: Mapping[str, str | int]) -> Together:
        """Return the observation of turns that belong together: one trace, whose root is a span `name`."""
        try:
            return _ObservedTogether(self.tracer.start_span(name, attributes=names.own(about)))
        except Exception as exc:  # noqa: BLE001
            log.error("a run is not observed\n%s", scrubbed_traceback(exc))
            return UNOBSERVED

    def tell(self) -> None:
        """Tell now of all turns that have ended, which otherwise wait a second for others."""
        self.ended.do()

    def headers(self, span: Span) -> Mapping[str, str]:
        """Return what tells an upstream that it works for this span."""
        carrier: dict[str, str] = {}
        if self._propagator is not None:
            self._propagator.inject(carrier, set_span_in_context(span))
        return carrier


class _ObservedTogether:
    """The span that the spans of several turns are within."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def within(self) -> AbstractContextManager[object]:
        return use_span(self._span, record_exception=False, set_status_on_exception=False)

    def end(self) -> None:
        self._span.end()


class _ObservedTurn:
    """One turn's span while it is open.

    While the turn runs, what becomes of it is only noted. It is told after the end, with that of other turns.
    """

    def __init__(
        self, observer: TurnObserver, backend: str, kind: str, target: Target, ctx: CallContext
    ) -> None:
        self._observer = observer
        self._attempts: list[_Attempt] = []
        self._zero = time_ns()
        self._backend = backend
        self._conversation = ctx.conversation
        self._around = get_current()
        self._common = _common(backend, kind, target.model, target.endpoint)
        self._span = observer.tracer.start_span(
            f"{names.CHAT} {target.model or backend}", kind=SpanKind.CLIENT, start_time=self._zero
        )
        self._headers = observer.headers(self._span)
        observer.count(backend, 1)

    @property
    def trace_id(self) -> str:
        return format_trace_id(self._span.get_span_context().trace_id)

    @property
    def headers(self) -> Mapping[str, str]:
        return self._headers

    def attempt(self) -> _Attempt:
        attempt = _Attempt()
        self._attempts.append(attempt)
        return attempt

    def ended(self, turn: ObservedTurn) -> None:
        self._observer.count(self._backend, -1)
        self._end = time_ns()
        self._turn = turn
        content = self._observer.content
        if content is None:
            self._observer.ended.add(self)
            return
        finish = turn.answer.finish
        reason = finish.reason if finish is not None else {"failed": "error"}.get(turn.outcome, turn.outcome)
        content.tell(turn.request, turn.answer.message, reason, self.tell)

    def tell(self, content: Mapping[str, str] | None = None) -> None:
        """Tell of the turn, which has ended."""
        try:
            if self._span.is_recording():
                self._tell_attempts()
                self._span.set_attributes({**self._attributes(), **(content or {})})
                if self._turn.error is not None:
                    _fail(self._span, _type(self._turn.error), type(self._turn.error).__name__)
                self._tell_tools()
            self._measure()
        except Exception as exc:  # noqa: BLE001 - telemetry must not cost anybody an answer
            log.error("a turn was not observed to its end\n%s", scrubbed_traceback(exc))
        finally:
            self._span.end(self._end)
            del self._turn

    def _attributes(self) -> dict[str, Any]:
        turn = self._turn
        timing, finish, request = turn.timing, turn.answer.finish, turn.request
        told: dict[str, Any] = {
            **self._common,
            names.REQUEST_STREAM: True,
            names.CONVERSATION: self._conversation,
            names.OUTCOME: turn.outcome,
            names.ATTEMPTS: timing.attempts,
            names.RESPONSE_FIRST_CHUNK: timing.first_event,
            names.COST: turn.cost,
        }
        for name, value in (request.parameters if request is not None else {}).items():
            if name in names.REQUEST_PARAMETERS and isinstance(value, str | int | float | list | tuple):
                told[names.REQUEST_PARAMETERS[name]] = value
        if turn.answer.traces:
            told[names.RESPONSE_ID] = turn.answer.traces[0].id
        if finish is not None:
            told |= {
                names.RESPONSE_FINISH_REASONS: [finish.reason],
                names.RESPONSE_MODEL: finish.model,
                names.INPUT_TOKENS: finish.usage.input,
                names.OUTPUT_TOKENS: finish.usage.output,
                names.CACHE_READ_TOKENS: finish.usage.cached,
                names.CACHE_WRITTEN_TOKENS: finish.usage.cache_written,
                names.REASONING_TOKENS: finish.usage.reasoning,
            }
        return {name: value for name, value in told.items() if value is not None}

    def _tell_attempts(self) -> None:
        within = set_span_in_context(self._span)
        for number, attempt in enumerate(self._attempts, 1):
            span = self._observer.tracer.start_span(
                f"attempt {number}",
                within,
                kind=SpanKind.CLIENT,
                start_time=attempt.start,
                attributes={names.ATTEMPT: number},
            )
            if attempt.error is not None:
                _fail(span, *attempt.error)
            span.end(attempt.end)

    def _tell_tools(self) -> None:
        turn = self._turn
        for part in turn.answer.parts:
            when = turn.tool_times.get(part.id) if isinstance(part, ToolCall) else None
            if when is None or not isinstance(part, ToolCall):
                continue
            at, took = when
            start = self._zero + int(((turn.timing.setup or 0) + at) * _NANO)
            span = self._observer.tracer.start_span(
                f"{names.EXECUTE_TOOL} {part.name}",
                set_span_in_context(self._span),
                kind=SpanKind.INTERNAL,
                start_time=start,
                attributes={
                    names.OPERATION: names.EXECUTE_TOOL,
                    names.TOOL_NAME: part.name,
                    names.TOOL_CALL_ID: part.id,
                },
            )
            span.end(start + int(took * _NANO))

    def _measure(self) -> None:
        observer, turn, common, around = self._observer, self._turn, self._common, self._around
        timing, finish = turn.timing, turn.answer.finish
        ended = common if turn.error is None else common | {names.ERROR_TYPE: _type(turn.error)}
        if timing.total is not None:
            observer.duration.record(timing.total, ended, around)
        if timing.first_event is not None:
            observer.first_chunk.record(timing.first_event, common, around)
        if finish is not None:
            for kind, count in (("input", finish.usage.input), ("output", finish.usage.output)):
                if count is not None:
                    observer.tokens.record(count, common | {names.TOKEN_TYPE: kind}, around)


class _Attempt:
    """One call of a backend: when it began and ended (nanoseconds since 1970), and by which error."""

    __slots__ = ("end", "error", "start")

    def __init__(self) -> None:
        self.error: tuple[str, str] | None = None

    def __enter__(self) -> None:
        self.start = self.end = time_ns()

    def __exit__(self, kind: object, exc: BaseException | None, traceback: object) -> None:
        self.end = time_ns()
        if isinstance(exc, ChatlabError):
            self.error = _type(exc), type(exc).__name__


def _fail(span: Span, kind: str, name: str) -> None:
    # Not the upstream's own words: they may hold what a person wrote.
    span.set_attribute(names.ERROR_TYPE, kind)
    span.set_status(Status(StatusCode.ERROR, name))


def _type(error: ChatlabError) -> str:
    if isinstance(error, BackendError) and error.status is not None:
        return str(error.status)
    return type(error).__name__


@lru_cache(maxsize=1_000)
def _common(backend: str, kind: str, model: str | None, endpoint: str | None) -> dict[str, Any]:
    """Return what spans and measurements say alike of all turns of a backend to one place."""
    place = urlsplit(endpoint or "")
    common = {
        names.OPERATION: names.CHAT,
        names.PROVIDER: _provider(kind, place.hostname),
        names.REQUEST_MODEL: model,
        names.SERVER_ADDRESS: place.hostname,
        names.SERVER_PORT: place.port or {"https": 443, "http": 80}.get(place.scheme),
        names.BACKEND: backend,
    }
    return {name: value for name, value in common.items() if value is not None}


def _provider(kind: str, host: str | None) -> str:
    """Return the conventions' name of whoever serves a model, else the kind of backend."""
    found = (
        name
        for end, name in names.PROVIDERS.items()
        if host is not None and (host == end or host.endswith(f".{end}"))
    )
    return next(found, kind)
