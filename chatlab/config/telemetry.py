"""The configuration of telemetry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import Field, field_validator

from chatlab.azure_identity import AzureIdentity
from chatlab.config.model import Model, networks
from chatlab.errors import ConfigError
from chatlab.redaction.texts import WrongPattern, parse_patterns
from chatlab.secret import SecretRef

T = TypeVar("T", str, str | None)


def http_url(url: T) -> T:
    """Return a URL. Raise ValueError for one of another scheme."""
    if url is not None and not url.startswith(("http://", "https://")):
        raise ValueError("should be an http:// or https:// URL")
    return url


def text_of(secret: SecretRef, where: str) -> str:
    """Return a secret of the configuration. Raise ConfigError, which names `where` it is asked for."""
    try:
        return secret.text().get_secret_value()
    except LookupError as exc:
        raise ConfigError([f"{where}: {exc}"]) from None


def header_texts(headers: Mapping[str, SecretRef], where: str) -> dict[str, str]:
    """Return headers whose values are secrets. Raise ConfigError as `text_of`."""
    return {name: text_of(secret, f"{where}.{name}") for name, secret in headers.items()}


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


class MlflowServer(Model):
    """The MLflow server that is told what people say of answers: thumbs of the chat page (`ui.flagging`) and
    votes of comparisons, as assessments of the traces that backends named."""

    mlflow: str = Field(description="Base URL of an MLflow server or of a Databricks workspace.")
    headers: Mapping[str, SecretRef] = Field(
        default_factory=dict,
        description="Headers for it, such as `Authorization`, each as {env: NAME} or {file: PATH}.",
    )

    _base = field_validator("mlflow")(http_url)


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
    azure_monitor_auth: AzureIdentity | None = Field(
        None,
        description="An identity of Azure (extra `azure`) that writes there, by the role Monitoring Metrics "
        "Publisher; without one, whoever has the connection string may write.",
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
    assessments: MlflowServer | None = Field(
        None, description="Who is told what people say of answers; nobody if not given."
    )
    propagate: bool = Field(
        True, description="Whether upstreams are told the trace they work for, by the header `traceparent`."
    )

    _base = field_validator("otlp")(http_url)

    @property
    def observes(self) -> bool:
        """Return whether turns are observed at all."""
        return self.assessments is None or bool(self.otlp or self.azure_monitor or self.prometheus)

    @field_validator("prometheus")
    @classmethod
    def _readers(cls, readers: tuple[str, ...]) -> tuple[str, ...]:
        return networks(readers, "readers")
