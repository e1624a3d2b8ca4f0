"""The configuration's models: what a YAML file may say. `chatlab.config.load` reads one.

Every field's description is the text of `docs/configuration.md` and of the JSON Schema.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationInfo,
    field_validator,
)

from chatlab.azure_identity import AzureIdentity
from chatlab.config.auth import Auth
from chatlab.config.limits import Limits
from chatlab.config.model import Model, networks
from chatlab.config.telemetry import Telemetry
from chatlab.config.ui import HOST, Ui
from chatlab.messages import Usage
from chatlab.paths import from_base, sqlite_path
from chatlab.secret import SecretRef


class Prices(Model):
    """Prices a million tokens, in any one currency. Usage times these is the cost shown."""

    input: float = Field(ge=0, description="Price of a million input tokens.")
    output: float = Field(ge=0, description="Price of a million output tokens.")
    cached: float | None = Field(
        None,
        ge=0,
        description="Price of a million input tokens read from a cache; the input price if not given.",
    )
    cache_write: float | None = Field(
        None,
        ge=0,
        description="Price of a million input tokens written to a cache; the input price if not given.",
    )


class Timeouts(Model):
    """Seconds. Each is an error of its own kind; see docs/timing.md."""

    connect: float = Field(10, gt=0, description="To open the connection.")
    first_token: float = Field(180, gt=0, description="From the call to the first delta.")
    idle: float = Field(60, gt=0, description="Between two events after the first delta.")
    total: float = Field(900, gt=0, description="For the whole turn, retries included.")


class BackendConfig(Model):
    """One entry under `backends`: these fields, and beside them the options of its kind."""

    kind: str = Field(description="Which kind of backend: a built-in one or one of an installed plugin.")
    label: str | None = Field(None, description="Name shown to people; the entry's key if not given.")
    description: str | None = Field(None, description="One sentence for the selector.")
    system: str | None = Field(None, description="System prompt of this backend, instead of the common one.")
    parameters: Mapping[str, Any] = Field(
        default_factory=dict, description="Sampling parameters sent unless the person chooses others."
    )
    prices: Prices | None = Field(None, description="Turns usage into cost.")
    timeouts: Timeouts = Field(default_factory=Timeouts, description="The four timeouts of a turn.")
    retries: int = Field(
        2,
        ge=0,
        le=10,
        description="Attempts after the first, only before any output: 429, 502, 503, no connection.",
    )
    options: SerializeAsAny[BaseModel] = Field(
        exclude=True, description="The kind's own options, validated by the kind. Written beside the others."
    )


class Server(Model):
    """Settings of the server of the page."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(7860, ge=0, le=65535, description="Port; 0 takes a free one.")
    concurrency: int = Field(200, ge=1, description="Turns that may run at once.")
    orphan_seconds: float = Field(
        60,
        ge=0,
        allow_inf_nan=False,
        description="Seconds that an answer on the chat page goes on after its last page was closed or "
        "reloaded, if conversations are stored; 0 stops it at once.",
    )
    queue_size: int | None = Field(None, ge=1, description="Turns that may wait; unlimited if not given.")
    drain_seconds: float = Field(
        5.0,
        ge=0,
        description="How long answers that run may still end after SIGTERM, in which none begins and "
        "`/readyz` says so. What still runs then is stored as far as it came.",
    )
    affinity_cookie: str = Field(
        "",
        pattern=r"^[A-Za-z0-9_-]*$",
        description="Name of a cookie that pages set, by which a load balancer leads a browser to the same "
        "one of several servers. Its value is `CHATLAB_REPLICA` of the environment, or random. Empty sets "
        "none, as where the balancer has a cookie of its own.",
    )
    log: Literal["text", "json"] = Field(
        "text",
        description="Log of `chatlab serve`, on standard error: text to read, or one JSON object a line.",
    )
    root_path: str | None = Field(None, description="Prefix behind a reverse proxy, such as /chat.")
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="Names by which the pages may be asked for, such as `chat.example.org` or "
        "`*.example.org`, beside localhost, the name of `host`, and those of a Hugging Face Space.",
    )
    trusted_proxies: tuple[str, ...] = Field(
        ("127.0.0.1", "::1"),
        description="Addresses or networks of reverse proxies, whose `X-Forwarded-For` tells a visitor's "
        "address. In a Hugging Face Space, private networks are trusted too.",
    )

    @field_validator("allowed_hosts")
    @classmethod
    def _names(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        if any(HOST.fullmatch(host) is None or ":" in host for host in hosts):
            raise ValueError("hosts are names without a port, such as example.org or *.example.org")
        return hosts

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        return networks(proxies, "proxies")


_PASSWORD = re.compile(r"://[^/@]*:[^/@]+@|[?&](?:ssl)?password=", re.I)


def _database_url(url: str | SecretRef, info: ValidationInfo) -> str | SecretRef:
    if isinstance(url, SecretRef):
        return url
    scheme, colon, rest = url.partition(":")
    if scheme == "sqlite" and colon:
        return f"sqlite:{from_base(Path(sqlite_path(rest)), info)}"
    if scheme not in ("postgresql", "postgres") or not rest.startswith("//"):
        raise ValueError("should be sqlite:PATH or a postgresql:// URL")
    if _PASSWORD.search(url):
        raise ValueError("a secret is given by reference, {env: NAME} or {file: PATH}, never literally")
    return url


def _files_place(place: str | SecretRef, info: ValidationInfo) -> str | SecretRef:
    if isinstance(place, SecretRef) or "://" in place:
        return place
    if not place:
        raise ValueError("should not be empty")
    return str(from_base(Path(place), info))


class Storage(Model):
    """The place where conversations and comparison sessions are stored. `storage: none` stores nothing."""

    model_config = ConfigDict(revalidate_instances="always")  # so that a default's paths get their folder

    url: Annotated[str | SecretRef, AfterValidator(_database_url)] = Field(
        "sqlite:.chatlab/chatlab.db",
        validate_default=True,
        description="`sqlite:PATH`, relative to the configuration file, or a `postgresql://` URL (extra "
        "`postgres`), which is given as {env: NAME} or {file: PATH} if it has a password.",
    )
    files: Annotated[str | SecretRef, AfterValidator(_files_place)] = Field(
        ".chatlab/files",
        validate_default=True,
        description="Where attachments are kept: a folder, relative to the configuration file, or a URL that "
        "fsspec knows, such as `s3://bucket/path` or `abfs://container/path`.",
    )
    auth: AzureIdentity | None = Field(
        None,
        description="An identity of Azure (extra `azure`) that signs in to PostgreSQL and to `abfs://` "
        "instead of a password or a key. The `url` then has a user, the identity's name, and no password.",
    )
    keep_days: int | None = Field(
        None, ge=1, description="Conversations not written to for so many days are removed, unless pinned."
    )
    notify: bool = Field(
        True,
        description="Whether several servers of one PostgreSQL tell each other what is new (LISTEN), by one "
        "connection each. false where a pooler in transaction mode is between: they look every second then.",
    )
    sharing: bool = Field(False, description="People may make read-only links to their conversations.")


def _or_none(value: Any) -> Any:
    return None if value == "none" else value


class CompareLane(Model):
    """A lane that a comparison begins with."""

    backend: str = Field(description="A backend's name or an address.")
    label: str | None = Field(None, description="Name shown to people; the backend's if not given.")
    parameters: Mapping[str, Any] = Field(
        default_factory=dict, description="Over those of the backend's entry."
    )
    system: str | None = Field(None, description="System prompt of this lane.")


class Compare(Model):
    """The comparison page and `chatlab compare`: what they begin with."""

    lanes: tuple[str | CompareLane, ...] = Field(
        (), max_length=8, description="Lanes a session begins with: backends by name, or with settings."
    )
    mode: Literal["own", "shared"] = Field(
        "own",
        description="own: each lane continues with its own answers. shared: all continue from the answer "
        "that was picked.",
    )
    blind: bool = Field(False, description="Names are hidden until the vote.")
    reveal: Literal["as they come", "together", "paced"] = Field(
        "together",
        description="How blind answers appear: as they come, all at once, or all at the slowest one's pace, "
        "so that speed does not tell.",
    )
    criteria: tuple[str, ...] = Field(
        ("overall",), min_length=1, description="What is voted on, such as correct, helpful, tone."
    )
    reasons: tuple[str, ...] = Field(
        ("more correct", "more complete", "clearer", "shorter", "better style"),
        description="Reasons a voter can tick.",
    )
    repeats: int = Field(1, ge=1, le=20, description="How often each prompt is asked a lane.")


class Config(Model):
    """A whole configuration file."""

    version: Literal[1] = Field(1, description="Version of this format.")
    backends: Mapping[str, BackendConfig] = Field(min_length=1, description="The chat backends, by name.")
    default: str | None = Field(
        None, description="Backend chosen at first; the first ready one if not given."
    )
    system: str | None = Field(None, description="System prompt of every backend that has none of its own.")
    ui: Ui = Field(default_factory=Ui, description="The chat page.")
    server: Server = Field(default_factory=Server, description="How the page is served.")
    storage: Annotated[
        Storage | None, BeforeValidator(_or_none, json_schema_input_type=Storage | Literal["none"] | None)
    ] = Field(
        default_factory=Storage,
        validate_default=True,  # its paths too start at the configuration file
        description="Where conversations are kept; `none` keeps nothing.",
    )
    auth: Annotated[
        Auth | None, BeforeValidator(_or_none, json_schema_input_type=Auth | Literal["none"] | None)
    ] = Field(
        None,
        description="How people sign in; with `none` they do not, and whoever reaches the page may chat. "
        "See docs/sign-in.md.",
    )
    compare: Compare = Field(default_factory=Compare, description="What a comparison begins with.")
    limits: Limits = Field(default_factory=Limits, description="What visitors of the pages may take.")
    telemetry: Telemetry | None = Field(None, description="Who is told of turns; nobody if not given.")


def cost(usage: Usage, prices: Prices | None) -> float | None:
    """Return what this usage costs, in the currency of the prices; None if it is not known.

    That is: without prices or one of the counts, or where the counts contradict each other, as where an
    upstream counts cached tokens beside its input instead of inside it. A count of cached tokens that the
    upstream does not give is taken for none.
    """
    if prices is None or usage.input is None or usage.output is None:
        return None
    cached, written = usage.cached or 0, usage.cache_written or 0
    plain = usage.input - cached - written
    if min(plain, cached, written, usage.output) < 0:
        return None
    price_cached = prices.input if prices.cached is None else prices.cached
    price_written = prices.input if prices.cache_write is None else prices.cache_write
    whole = plain * prices.input + cached * price_cached + written * price_written
    return (whole + usage.output * prices.output) / 1_000_000
