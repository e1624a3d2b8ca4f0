"""Sends spans and measurements: over OTLP, to Azure Monitor, and to whoever reads `/metrics`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from importlib.metadata import version
from time import monotonic

from opentelemetry.metrics import CallbackOptions, Histogram, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from chatlab.azure_identity import credential
from chatlab.config.telemetry import Telemetry, header_texts, text_of
from chatlab.errors import ConfigError
from chatlab.installing import how_to_install
from chatlab.redaction.texts import parse_patterns
from chatlab.telemetry import conventions as names
from chatlab.telemetry.content import ContentTeller
from chatlab.telemetry.observer import TurnObserver

_LAST = 5.0  # seconds that the end of a server waits for what is still to be sent
_EVERY = 0.5  # seconds between two looks at how late the event loop is


class Exporting:
    """The telemetry of one lab, which tells of its turns. It has providers of its own, so that whoever uses
    chatlab as a library keeps theirs.

    observer: what turns are told to. metrics: returns what `/metrics` answers; None if it was not asked for.
    An exporter that does not answer holds up nobody: a thread sends what a bounded queue has, and what does
    not fit in there is dropped.
    """

    def __init__(self, config: Telemetry) -> None:
        resource = Resource.create(
            {"service.name": config.service_name, "service.version": version("chatlab-workbench")}
        )
        sampler = ParentBased(TraceIdRatioBased(config.sample))
        self._traces = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
        readers: list[MetricReader] = []
        self._exporters: list[SpanExporter | MetricExporter] = []
        for spans, measurements in _exporters(config):
            self._traces.add_span_processor(BatchSpanProcessor(spans))
            readers.append(PeriodicExportingMetricReader(measurements))
            self._exporters += (spans, measurements)
        self.metrics: Callable[[], bytes] | None = None
        if config.prometheus:
            reader, self._measured = _prometheus()
            self.metrics = self._metrics
            readers.append(reader)
        self._meters = MeterProvider(readers, resource=resource, shutdown_on_exit=False)
        meter = self._meters.get_meter("chatlab")
        self._content = (
            None if config.content is None else ContentTeller(parse_patterns(config.content.redact))
        )
        self.observer = TurnObserver(
            self._traces.get_tracer("chatlab"), meter, propagate=config.propagate, content=self._content
        )
        self._lag = meter.create_histogram(
            names.LOOP_LAG, unit="s", description="How late the event loop came to what was due."
        )
        self._waiting: dict[str, Callable[[], int]] = {}
        meter.create_observable_gauge(
            names.WAITING, [self._waits], unit="{turn}", description="Turns that wait for their place."
        )
        self._looking: asyncio.Task[None] | None = None

    def measure_waiting(self, page: str, count: Callable[[], int]) -> None:
        """Measure how many turns of a page wait for their place from now on.

        page: "chat" or "compare". count: returns how many do now; a thread calls it.
        """
        self._waiting[page] = count

    def _waits(self, _: CallbackOptions) -> Iterator[Observation]:
        for page, count in self._waiting.items():
            yield Observation(count(), {names.PAGE: page})

    def _metrics(self) -> bytes:
        self.observer.tell()
        return self._measured()

    def start(self) -> None:
        """Begin to measure the running event loop."""
        if self._looking is None:
            self._looking = asyncio.create_task(_look(self._lag), name="event loop lag")

    async def aclose(self) -> None:
        """End as `close` does, without holding up the event loop."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Send what is still to be sent, for some seconds at most, and end."""
        if not _for_a_while(self._end):
            for exporter in self._exporters:  # whose threads would try again for a while
                exporter.shutdown()

    def flush(self) -> None:
        """Send what is still to be sent, for some seconds at most, and go on."""
        _for_a_while(self._send)

    def _end(self) -> None:
        self.observer.tell()
        if self._content is not None:
            self._content.close()
        self._traces.shutdown()
        self._meters.shutdown(timeout_millis=1000 * _LAST)

    def _send(self) -> None:
        self.observer.tell()
        self._traces.force_flush()
        self._meters.force_flush()


def _for_a_while(work: Callable[[], object]) -> bool:
    """Do it in a thread, and leave it to itself once it takes too long: a collector may not answer. Return
    whether it was done."""
    thread = threading.Thread(target=work, name="telemetry's last", daemon=True)
    thread.start()
    thread.join(_LAST)
    return not thread.is_alive()


async def _look(lag: Histogram) -> None:
    while True:
        due = monotonic() + _EVERY
        await asyncio.sleep(_EVERY)
        lag.record(max(0.0, monotonic() - due))


def _exporters(config: Telemetry) -> Iterator[tuple[SpanExporter, MetricExporter]]:
    """Yield what sends spans, with what sends measurements to the same place."""
    if config.otlp is not None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        base = config.otlp.rstrip("/")
        headers = header_texts(config.headers, "telemetry.headers")
        yield (
            OTLPSpanExporter(f"{base}/v1/traces", headers=headers),
            OTLPMetricExporter(f"{base}/v1/metrics", headers=headers),
        )
    if config.azure_monitor is not None:
        from azure.monitor.opentelemetry.exporter import AzureMonitorMetricExporter, AzureMonitorTraceExporter

        where = text_of(config.azure_monitor, "telemetry.azure_monitor")
        auth = config.azure_monitor_auth
        given = {"connection_string": where, "credential": None if auth is None else credential(auth)}
        yield (
            AzureMonitorTraceExporter(**given),
            AzureMonitorMetricExporter(**given),
        )


def _prometheus() -> tuple[MetricReader, Callable[[], bytes]]:
    from opentelemetry.exporter.prometheus import PrometheusMetricReader
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    return PrometheusMetricReader(registry=registry), lambda: generate_latest(registry)


def exporting(config: Telemetry) -> Exporting:
    """Return what tells turns as configured. Raise ConfigError for a package or a secret that is missing."""
    try:
        return Exporting(config)
    except ModuleNotFoundError as exc:
        extra = "azure-monitor" if (exc.name or "").startswith("azure") else "otel"
        raise ConfigError([f"telemetry needs {exc.name}: {how_to_install(extra)}"]) from None
