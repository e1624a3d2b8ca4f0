"""The interface of backends: one class with its options, its capabilities and one streaming method."""

from __future__ import annotations

import importlib.util
import math
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, Literal, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field

from chatlab.credentials import Credential
from chatlab.errors import MissingExtra
from chatlab.messages import Message, StreamEvent
from chatlab.paths import ConfigPath
from chatlab.secret import SecretRef
from chatlab.spelling import did_you_mean
from chatlab.upstream.network import network_problem
from chatlab.words import ENGLISH

ParameterValue: TypeAlias = Any  # a JSON value; validated against its `Parameter`
Mark: TypeAlias = Literal["credentials", "connected"]

_NAMED = 8  # models named where one is not known


class Options(BaseModel):
    """Base of every kind's options: unknown keys are errors, values cannot be changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


class NetworkOptions(Options):
    """Base of the options of kinds that call a server."""

    ca_bundle: ConfigPath | None = Field(
        None,
        description="A file of certificate authorities (PEM) to trust in all calls of this backend, sign-in "
        "included, in place of the system's. For all backends at once: SSL_CERT_FILE or REQUESTS_CA_BUNDLE.",
    )


@dataclass(frozen=True, slots=True)
class Parameter:
    """One sampling parameter a backend accepts: enough to check a value and to draw a control for it."""

    name: str
    type: Literal["float", "int", "bool", "string", "strings", "json"]
    description: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    advanced: bool = False  # shown folded away

    def problem(self, value: ParameterValue) -> str | None:
        """Return what is wrong with a value ("should be at most 2"), or None.

        None as a value means: not sent.
        """
        if value is None or self.type == "json":
            return None
        number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf
        right, expected = {
            "float": (number, "a number"),
            "int": (number and value == int(value), "a whole number"),
            "bool": (isinstance(value, bool), "true or false"),
            "string": (isinstance(value, str), "text"),
            "strings": (_is_strings(value), "a list of texts"),
        }[self.type]
        if not right:
            return f"should be {expected}"
        if self.choices:
            items = value if self.type == "strings" else [value]
            if any(item not in self.choices for item in items):
                return ENGLISH("parameter.one-of", names=", ".join(self.choices))
        if number and self.minimum is not None and value < self.minimum:
            return ENGLISH("parameter.at-least", low=f"{self.minimum:g}")
        if number and self.maximum is not None and value > self.maximum:
            return ENGLISH("parameter.at-most", high=f"{self.maximum:g}")
        return None


def _is_strings(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The kinds of content and the parameters that a backend takes. Whatever a turn has beyond this is
    dropped with a Notice before the call.

    files: media types or patterns such as `image/*`; parameters: those it sends on;
    system: whether it takes a system message of its own (otherwise it is folded into the first user message);
    open_calls: whether it may go on from a tool call without a result, one that a person was asked about.
    """

    files: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    system: bool = True
    open_calls: bool = False


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One call: the whole conversation, the last user message included, and the parameters for it."""

    messages: tuple[Message, ...]
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)


def _no_mark(_: Mark) -> None:
    return None


def _no_rest() -> float:
    return 0.0


def _not_told() -> None:
    return None


@dataclass(frozen=True, slots=True)
class CallContext:
    """The context of one call, which is never stored on a backend.

    identity: who asks (None: nobody signed in). owner: whose what is asked is, in the store; None where that
        is not known.
    credential: provides that person's own credentials, each for a named resource. None: nobody signed in.
    conversation: an id that stays the same for all turns of one conversation, and that no other conversation
        has; None for a call that nothing follows. Whoever goes on from an earlier turn another way, by an
        edit for instance, may use the same id: the messages of the request are what counts.
    connect_timeout: seconds a backend may take to open its connection.
    mark: a backend says that it has its credentials (`"credentials"`) or its connection (`"connected"`).
        Backends that use `chatlab.http.async_client` need not mark the connection.
    sent: is told the body of each request that `chatlab.http` sends; None if nobody wants to know.
    rest: how many seconds `chatlab.http` lets what arrives gather before it reads on, asked before each read.
    headers: further headers of each request, which `chatlab.http` sends, such as `traceparent`.
    arrived: a backend says that something came over its connection, be it only a keep-alive, so that a slow
        answer does not count as silence. Backends that use `chatlab.http.async_client` need not say it.
    """

    identity: str | None = None
    credential: Credential | None = field(default=None, repr=False)
    connect_timeout: float = 10.0
    mark: Callable[[Mark], None] = field(default=_no_mark, repr=False)
    sent: Callable[[bytes], None] | None = field(default=None, repr=False)
    rest: Callable[[], float] = field(default=_no_rest, repr=False)
    conversation: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    arrived: Callable[[], None] = field(default=_not_told, repr=False)
    owner: str | None = None


current_call: ContextVar[CallContext | None] = ContextVar("chatlab_current_call", default=None)
"""The call that the running task works for; set by `run_turn`, read by `chatlab.http`."""


@dataclass(frozen=True, slots=True)
class Probe:
    """The outcome of a look at the upstream. None means: not known, never a guess."""

    reachable: bool | None = None
    model_known: bool | None = None
    identity: str | None = None
    detail: str = ""

    @classmethod
    def of_listed(cls, name: str, listed: Collection[str]) -> Probe:
        """Of a server that lists its models: whether this one is among them, or else which there are."""
        if name in listed:
            return cls(reachable=True, model_known=True)
        some = ", ".join(sorted(listed)[:_NAMED])
        more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
        close = did_you_mean(name, listed)
        have = f"it has {some}{more}" if listed else "it has none"
        return cls(True, False, None, f"the upstream does not know the model {name}{close}; {have}")


@dataclass(frozen=True, slots=True)
class Target:
    """The address and the model of a backend's calls, by its options: for showing, never a secret.

    model: the name that stands in a request. endpoint: the URL below which it is called, without user,
    query and fragment. None means: not known before the call, or there is none.
    """

    model: str | None = None
    endpoint: str | None = None


def together(*reasons: str | None) -> str | None:
    """Return the reasons that there are, each once, as one; None if there are none."""
    return ", ".join(dict.fromkeys(filter(None, reasons))) or None


@lru_cache(maxsize=100)  # a few addresses, call after call
def shown_url(url: str) -> str:
    """Return a URL without what may hold a secret in it: user and password, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


@lru_cache(maxsize=100)  # a few addresses, call after call
def split_query(url: str) -> tuple[str, str]:
    """Return a URL without its query and fragment, and the query: behind it goes the route of each call."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")), parts.query


@lru_cache(maxsize=100)  # a few addresses, call after call
def without_route(url: str) -> str:
    """Return a server's URL without the route of a call of OpenAI's protocols, which is put behind it anyway.

    The examples of many a server show the whole address of a call.
    """
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    for route in ("/chat/completions", "/responses"):
        if path.endswith(route):
            return urlunsplit(parts._replace(path=path.removesuffix(route)))
    return url


def joined_query(url: str, query: str) -> str:
    """Return a URL with a further query."""
    return f"{url}{'&' if '?' in url else '?'}{query}" if query else url


class Backend(ABC):
    """One kind of backend. Subclasses import their SDK inside `__init__`, nowhere else."""

    Options: ClassVar[type[BaseModel]] = Options
    modules: ClassVar[tuple[str, ...]] = ()
    """Modules the SDK provides; looked for without importing them."""
    extra: ClassVar[str | None] = None
    """The extra of chatlab that installs them; None if the default install has them."""
    address_field: ClassVar[str | None] = None
    """The option that an address `kind:rest` fills; None if the kind has no addresses."""
    network: ClassVar[bool] = False
    """Whether it calls a server, so that proxies and certificate authorities are looked at before it does."""

    def __init__(self, options: Any) -> None:
        self.options = options

    @classmethod
    def capabilities(cls, options: Any) -> Capabilities:
        """Return what a backend with these options takes; answered without its SDK."""
        return Capabilities()

    @classmethod
    def target(cls, options: Any) -> Target:
        """Return which model is called where, to say later what a call was; no network, no SDK."""
        return Target()

    @classmethod
    def as_person(cls, options: Any) -> bool:
        """Return whether calls are made with the rights of whoever is signed in, not with those of a
        configured credential.
        """
        return False

    @classmethod
    def not_ready(cls, options: Any) -> str | None:
        """Return what to do before this backend can be used ("set OPENAI_API_KEY"), or None.

        No network, no SDK.
        """
        for module in cls.modules:
            if not _installed(module):
                return str(MissingExtra(cls.__name__.removesuffix("Backend").lower(), cls.extra, module))
        network = network_problem(getattr(options, "ca_bundle", None)) if cls.network else None
        return together(*(ref.missing() for ref in secret_refs(options)), network)

    @classmethod
    def discovers(cls, options: Any) -> bool:
        """Return whether people may choose among the models that the server lists, which `models` returns."""
        return False

    @classmethod
    def with_model(cls, options: Any, model: str) -> Any:
        """Return the options of the same backend with another model of its server."""
        assert cls.address_field is not None
        return options.model_copy(update={cls.address_field: model})

    @abstractmethod
    def stream(self, request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        """Answers as an async generator: deltas are not cumulative, exactly one Finish comes last, a failure
        is raised as a BackendError. Closing the generator or cancelling its task closes the upstream."""

    async def probe(self, ctx: CallContext) -> Probe:
        """Return a cheap look at the upstream, without generating anything.

        Raises BackendError like `stream`.
        """
        return Probe()

    async def models(self, ctx: CallContext) -> tuple[str, ...]:
        """Return the models that the server lists, for a kind that `discovers`.

        Raises BackendError like `stream`.
        """
        return ()

    async def aclose(self) -> None:
        """Releases connections. Called once, when nothing streams any more."""
        return None

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def secret_refs(value: Any) -> Iterator[SecretRef]:
    """Every secret reference in a model, however deep."""
    if isinstance(value, SecretRef):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from secret_refs(getattr(value, name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from secret_refs(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from secret_refs(item)


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
