"""The configuration of telemetry."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, field_validator

from chatlab.config.model import Model, networks
from chatlab.redaction.texts import WrongPattern, parse_patterns
from chatlab.secret import SecretRef


class Content(Model):
    """The content of messages in traces. Credentials never are part of it."""

    redact: tuple[str, ...] = Field(
        (),
        description="What is taken out of it, as by `chatlab report --redact`: names of patterns, such as "
        "`email`, and regular expressions.",
    )

    @field_validator("redact")
    @classmethod
    def _patterns(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        try:
            parse_patterns(patterns)
        except WrongPattern as exc:
            raise ValueError(str(exc)) from None
        return patterns


class Telemetry(Model):
    """The receiver of traces and metrics of turns, by OpenTelemetry (extra `otel`). No message is part of
    it, unless `content` says so."""

    otlp: str | None = Field(
        None,
        description="Base URL of a collector that takes OTLP over HTTP, such as `http://localhost:4318`.",
    )
    headers: Mapping[str, SecretRef] = Field(
        default_factory=dict, description="Headers for the collector, each as {env: NAME} or {file: PATH}."
    )
    azure_monitor: SecretRef | None = Field(
        None,
        description="Connection string of Application Insights, as {env: NAME} or {file: PATH} (extra "
        "`azure-monitor`).",
    )
    prometheus: tuple[str, ...] = Field(
        (),
        description="Addresses or networks that may read the metrics at `/metrics`, such as 127.0.0.1 or "
        "10.0.0.0/8; nobody if none is given.",
    )
    service_name: str = Field("chatlab", description="`service.name` of all that is told.")
    sample: float = Field(1.0, ge=0, le=1, description="Share of turns whose traces are told.")
    content: Content | None = Field(
        None,
        description="Tells what people and models wrote too, as `content: {}`; not if not given.",
    )
    propagate: bool = Field(
        True, description="Whether upstreams are told the trace they work for, by the header `traceparent`."
    )

    @field_validator("otlp")
    @classmethod
    def _base(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            raise ValueError("should be an http:// or https:// URL")
        return url

    @field_validator("prometheus")
    @classmethod
    def _readers(cls, readers: tuple[str, ...]) -> tuple[str, ...]:
        return networks(readers, "readers")
