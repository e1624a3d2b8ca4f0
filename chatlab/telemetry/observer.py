"""Tells every turn as a span, with a child for each attempt and each tool, and as measurements."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache, partial
from time import time_ns
from typing import Any
from urllib.parse import urlsplit

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
    """One turn's span while it is open."""

    def __init__(
        self, observer: TurnObserver, backend: str, kind: str, target: Target, ctx: CallContext
    ) -> None:
        self._observer = observer
        self._attempts = 0
        self._zero = time_ns()
        self._backend = backend
        self._common = _common(kind, target.model, target.endpoint)
        attributes = self._common | {names.BACKEND: backend, names.REQUEST_STREAM: True}
        if ctx.conversation is not None:
            attributes[names.CONVERSATION] = ctx.conversation
        self._span = observer.tracer.start_span(
            f"{names.CHAT} {target.model or backend}",
            kind=SpanKind.CLIENT,
            start_time=self._zero,
            attributes=attributes,
        )
        self._headers = observer.headers(self._span)
        observer.count(backend, 1)

    @property
    def trace_id(self) -> str:
        return format_trace_id(self._span.get_span_context().trace_id)

    @property
    def headers(self) -> Mapping[str, str]:
        return self._headers

    @contextmanager
    def attempt(self) -> Iterator[None]:
        self._attempts += 1
        span = self._observer.tracer.start_span(
            f"attempt {self._attempts}",
            set_span_in_context(self._span),
            kind=SpanKind.CLIENT,
            attributes={names.ATTEMPT: self._attempts},
        )
        try:
            yield
        except ChatlabError as exc:
            _fail(span, exc)
            raise
        finally:
            span.end()

    def ended(self, turn: ObservedTurn) -> None:
        self._observer.count(self._backend, -1)
        ended = time_ns()
        try:
            self._tell(turn)
        except Exception as exc:  # noqa: BLE001
            log.error("a turn was not observed to its end\n%s", scrubbed_traceback(exc))
        if self._observer.content is None:
            self._span.end(ended)
            return
        finish = turn.answer.finish
        reason = finish.reason if finish is not None else {"failed": "error"}.get(turn.outcome, turn.outcome)
        self._observer.content.tell(turn.request, turn.answer.message, reason, partial(self._end, ended))

    def _end(self, ended: int, content: Mapping[str, str]) -> None:
        self._span.set_attributes(content)
        self._span.end(ended)

    def _tell(self, turn: ObservedTurn) -> None:
        span, timing, finish = self._span, turn.timing, turn.answer.finish
        told: dict[str, Any] = {
            names.OUTCOME: turn.outcome,
            names.ATTEMPTS: timing.attempts,
            names.RESPONSE_FIRST_CHUNK: timing.first_event,
            names.COST: turn.cost,
        }
        for name, value in (turn.request.parameters if turn.request else {}).items():
            if name in names.REQUEST_PARAMETERS and isinstance(value, str | int | float | list | tuple):
                told[names.REQUEST_PARAMETERS[name]] = value
        if turn.answer.traces:
            told[names.RESPONSE_ID] = turn.answer.traces[0].id
        usage: dict[str, int | None] = {}
        if finish is not None:
            told |= {names.RESPONSE_FINISH_REASONS: [finish.reason], names.RESPONSE_MODEL: finish.model}
            usage = {
                names.INPUT_TOKENS: finish.usage.input,
                names.OUTPUT_TOKENS: finish.usage.output,
                names.CACHE_READ_TOKENS: finish.usage.cached,
                names.CACHE_WRITTEN_TOKENS: finish.usage.cache_written,
                names.REASONING_TOKENS: finish.usage.reasoning,
            }
        told |= usage
        span.set_attributes({name: value for name, value in told.items() if value is not None})
        if turn.error is not None:
            _fail(span, turn.error)
        self._tell_tools(turn)
        self._measure(turn, usage)

    def _tell_tools(self, turn: ObservedTurn) -> None:
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

    def _measure(self, turn: ObservedTurn, usage: Mapping[str, int | None]) -> None:
        observer, timing = self._observer, turn.timing
        common = self._common | {names.BACKEND: self._backend}
        ended = common | ({names.ERROR_TYPE: _type(turn.error)} if turn.error is not None else {})
        if timing.total is not None:
            observer.duration.record(timing.total, ended)
        if timing.first_event is not None:
            observer.first_chunk.record(timing.first_event, common)
        for name, kind in ((names.INPUT_TOKENS, "input"), (names.OUTPUT_TOKENS, "output")):
            if (count := usage.get(name)) is not None:
                observer.tokens.record(count, common | {names.TOKEN_TYPE: kind})


def _fail(span: Span, error: ChatlabError) -> None:
    # Not the upstream's own words: they may hold what a person wrote.
    span.set_attribute(names.ERROR_TYPE, _type(error))
    span.set_status(Status(StatusCode.ERROR, type(error).__name__))


def _type(error: ChatlabError) -> str:
    if isinstance(error, BackendError) and error.status is not None:
        return str(error.status)
    return type(error).__name__


@lru_cache(maxsize=1_000)
def _common(kind: str, model: str | None, endpoint: str | None) -> dict[str, Any]:
    """Return what spans and measurements say alike of turns of one kind, to one place."""
    place = urlsplit(endpoint or "")
    common = {
        names.OPERATION: names.CHAT,
        names.PROVIDER: _provider(kind, place.hostname),
        names.REQUEST_MODEL: model,
        names.SERVER_ADDRESS: place.hostname,
        names.SERVER_PORT: place.port or {"https": 443, "http": 80}.get(place.scheme),
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
