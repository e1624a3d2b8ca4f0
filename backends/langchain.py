"""langchain: a model by name (`init_chat_model`), or any Runnable or LangGraph graph of one's own.

    model: openai:gpt-5-mini            # or
    object: my_agent:graph              # my_agent.py beside the configuration file

A graph gets the whole conversation each time, under a new thread id: what a checkpointer keeps between calls
would otherwise be there twice. LangSmith's tracing is LangChain's own affair and off unless its variables are
set. Only the OpenAI provider could be run here; the others' events are read as LangChain documents them.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from pydantic import Field, model_validator

from backends._langchain_objects import (
    Shape,
    chain_keys,
    is_chat_model,
    is_graph,
    load_object,
    missing,
    only_synchronous,
    shape_of,
)
from backends._langchain_providers import OPENAI, PROVIDERS, RETRYING
from backends._langchain_sockets import CallSockets, in_loop, in_thread, watch
from chatlab.backend import (
    Backend,
    CallContext,
    Capabilities,
    ChatRequest,
    Options,
    Parameter,
    Probe,
    Target,
    shown_url,
)
from chatlab.errors import BrokenStream, NotReady
from chatlab.history import to_langchain
from chatlab.messages import FilePart, Notice, StreamEvent
from chatlab.paths import ConfigPath
from chatlab.secret import SecretRef, remember

if TYPE_CHECKING:
    from backends._langchain_events import MessageEvents

_COMMON = (
    Parameter("temperature", "float", "How freely it chooses among likely tokens.", minimum=0, maximum=2),
    Parameter("top_p", "float", "Share of likelihood it chooses from.", minimum=0, maximum=1, advanced=True),
    Parameter("max_tokens", "int", "Most tokens of an answer.", minimum=1),
    Parameter("stop", "strings", "Texts at which the answer ends.", advanced=True),
)
_OPENAI = (
    Parameter("seed", "int", "Makes answers repeatable, as far as that is possible.", advanced=True),
    Parameter("presence_penalty", "float", "Against repeating topics.", minimum=-2, maximum=2, advanced=True),
    Parameter("frequency_penalty", "float", "Against repeating words.", minimum=-2, maximum=2, advanced=True),
    Parameter(
        "reasoning_effort",
        "string",
        "How long a reasoning model thinks.",
        choices=("none", "minimal", "low", "medium", "high", "xhigh"),
        advanced=True,
    ),
)
_SECRET = re.compile(r"(^|_)(key|secret|password|token)$", re.I)


class LangChainOptions(Options):
    """Options of the kind `langchain`: exactly one of `model` and `object`."""

    model: str | None = Field(
        None, description="A model as `init_chat_model` takes it, with its provider: `openai:gpt-5-mini`."
    )
    object: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$",
        description="A Runnable, a graph, or a function that returns one, as `module:attribute`.",
    )
    python_path: ConfigPath = Field(
        Path(),
        validate_default=True,
        description="Folder the `object` is imported from; the configuration file's own if not given.",
    )
    base_url: str | None = Field(None, description="Another server for the `model`.")
    api_key: SecretRef | None = Field(
        None, description="The model's key; the provider's usual variable if not given and no base_url is."
    )
    model_options: Mapping[str, Any] = Field(
        default_factory=dict, description="More arguments of the model's class."
    )
    secrets: Mapping[str, SecretRef] = Field(
        default_factory=dict, description="Arguments of the model's class that are secrets, by reference."
    )
    input: Literal["auto", "messages", "state", "chain", "text"] = Field(
        "auto",
        description="What the `object` takes: `messages`, a graph's `state` with messages in it, a `chain`'s "
        "dict with a question and perhaps a history, or the `text` of the last message.",
    )
    configurable: Mapping[str, Any] = Field(
        default_factory=dict, description="Values of the run's `configurable`, such as a user id."
    )
    accepts: tuple[str, ...] = Field(
        (),
        description="More parameters to offer. A graph finds them in its context or in `configurable`.",
    )
    files: tuple[str, ...] | None = Field(
        None, description="Media types it takes; images for a `model`, none for an `object` if not given."
    )
    recursion_limit: int = Field(50, ge=1, description="Steps after which a graph is given up.")

    @model_validator(mode="after")
    def _one_of_both(self) -> LangChainOptions:
        if (self.model is None) == (self.object is None):
            raise ValueError("give exactly one of model and object")
        if self.model is not None and not self.provider:
            raise ValueError("write the provider before the model, such as openai:gpt-5-mini")
        if self.object is not None and (self.base_url or self.api_key or self.model_options or self.secrets):
            raise ValueError("base_url, api_key, model_options and secrets go with model, not with object")
        for name in self.model_options:
            if _SECRET.search(name):
                raise ValueError(f"give {name} under secrets, by reference, not under model_options")
        return self

    @property
    def provider(self) -> str | None:
        """The provider in front of the model's name; None without one."""
        before, colon, _ = (self.model or "").partition(":")
        return before.replace("-", "_") if colon else None


class LangChainBackend(Backend):
    """Streams a LangChain model, Runnable or graph."""

    Options = LangChainOptions
    modules = ("langchain",)
    address_field = "model"

    options: LangChainOptions

    def __init__(self, options: LangChainOptions) -> None:
        super().__init__(options)
        import langchain  # noqa: F401  # so that what is missing is said here, not at the first call

        from backends._langchain_errors import classify_langchain
        from backends._langchain_events import MessageEvents, ModelEnds

        watch()
        self._classify = classify_langchain
        self._events_class, self._ends_class = MessageEvents, ModelEnds
        self._client: Any = None
        if options.model is not None:
            self._runnable = self._model()
            self._shape: Shape = "messages"
        else:
            assert options.object is not None
            self._runnable = load_object(options.object, options.python_path)
            self._shape = shape_of(self._runnable) if options.input == "auto" else options.input
        self._graph = is_graph(self._runnable)
        self._chat = is_chat_model(self._runnable)
        self._synchronous = only_synchronous(self._runnable)

    @classmethod
    def capabilities(cls, options: LangChainOptions) -> Capabilities:
        """The parameters LangChain has for every model, its provider's, and those the options name."""
        known = _COMMON + (_OPENAI if options.provider in OPENAI or options.object else ())
        names = {parameter.name for parameter in _COMMON} | set(options.accepts)
        offered = known if options.model else tuple(item for item in known if item.name in names)
        have = {parameter.name for parameter in offered}
        more = tuple(Parameter(name, "json", advanced=True) for name in options.accepts if name not in have)
        files = options.files if options.files is not None else ("image/*",) if options.model else ()
        return Capabilities(files=files, parameters=offered + more)

    @classmethod
    def target(cls, options: LangChainOptions) -> Target:
        """A model by its name; where a provider's own class calls, it alone knows. Of an object, its name."""
        if options.model is None:
            return Target(options.object)
        url = options.base_url
        return Target(options.model.partition(":")[2], None if url is None else shown_url(url))

    @classmethod
    def not_ready(cls, options: LangChainOptions) -> str | None:
        """What is missing: a package, a key, or the module of the object."""
        reason = super().not_ready(options)
        if reason is not None:
            return reason
        if options.object is not None:
            return missing(options.object, options.python_path)
        provider = PROVIDERS.get(options.provider or "")
        if provider is None:
            return None  # LangChain may infer it, or know more of them than are listed
        if find_spec(provider.module) is None:
            return f"pip install {provider.package}"
        if options.api_key is not None or options.secrets or options.base_url is not None:
            return None
        given = {str(name) for name in options.model_options}
        for group in provider.variables:
            if not any(os.environ.get(name, "").strip() for name in group) and not _covered(group, given):
                return f"set {group[0]}"
        return None

    def _model(self) -> Any:
        """The model by name. Raises NotReady for a name or an argument that LangChain refuses."""
        from langchain.chat_models import init_chat_model

        options = self.options
        arguments: dict[str, Any] = dict(options.model_options)
        if options.base_url is not None:
            arguments["base_url"] = options.base_url
        arguments |= {name: ref.resolve() for name, ref in options.secrets.items()}
        if options.api_key is not None:
            arguments["api_key"] = options.api_key.resolve()
        provider = options.provider
        known = PROVIDERS.get(provider or "")
        for group in known.variables if known else ():
            for name in group:
                if "KEY" in name or "TOKEN" in name:
                    remember(os.environ.get(name, "").strip())
        if provider in RETRYING:
            arguments.setdefault("max_retries", 0)  # retries are the turn's
        if provider in OPENAI:
            import httpx2

            from chatlab.http import async_client

            if "http_async_client" not in arguments:
                arguments["http_async_client"] = self._client = async_client()
            arguments.setdefault("timeout", httpx2.Timeout(None, connect=10.0))
            arguments.setdefault("stream_chunk_timeout", None)  # timeouts are the turn's, too
            arguments.setdefault("stream_usage", True)
            if options.base_url is not None and "api_key" not in arguments and not options.secrets:
                arguments["api_key"] = (
                    "none"  # never the key for OpenAI itself, which another host must not see
                )
        try:
            if provider == "openai":
                from backends._langchain_openai import ReasoningChatOpenAI

                return ReasoningChatOpenAI(model=(options.model or "").partition(":")[2], **arguments)
            return init_chat_model(options.model, **arguments)
        except (ValueError, TypeError) as exc:
            raise NotReady(f"LangChain refuses this model: {_first_line(exc)}") from exc

    async def stream(self, request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        """Streams one run. What its threads, if any, still wait for is closed when this is closed."""
        if self.options.model is not None:
            ctx.mark("credentials")
        run = _Run(self, request, ctx)
        for notice in run.notices:
            yield notice
        sockets = CallSockets(lambda: ctx.mark("connected"))
        items = in_thread(run.sync, sockets) if self._synchronous else in_loop(run.asynchronous(), sockets)
        try:
            async with aclosing(items) as arriving:  # type: ignore[type-var]
                async for item in arriving:
                    for event in run.events_of(item):
                        yield event
            for event in run.end():
                yield event
        except Exception as exc:
            error = self._classify(exc, begun=run.begun)
            if error is exc:
                raise
            raise error from exc
        finally:
            run.forget()

    async def probe(self, ctx: CallContext) -> Probe:
        """Asks a server of OpenAI's kind for its models. Others have no such question in LangChain."""
        client = getattr(self._runnable, "root_async_client", None)
        if self.options.provider != "openai" or client is None:
            return Probe()
        try:
            found = [model.id async for model in client.models.list()]
        except Exception as exc:
            raise self._classify(exc, begun=False) from exc
        name = (self.options.model or "").partition(":")[2]
        return Probe(reachable=True, model_known=name in found)

    async def aclose(self) -> None:
        """Closes the connections of a model made here; an object's are its own."""
        if self._client is not None:
            await self._client.aclose()


class _Run:
    """One call: what it is given, and what becomes of what it streams."""

    def __init__(self, backend: LangChainBackend, request: ChatRequest, ctx: CallContext) -> None:
        self._backend = backend
        self._runnable = backend._runnable
        self._state: Mapping[str, Any] = {}
        self.begun = False
        self._thread = str(uuid4())
        self.notices: list[Notice] = []
        self._kwargs: dict[str, Any] = {}
        options = backend.options
        configurable: dict[str, Any] = {"thread_id": self._thread, **options.configurable}
        self._config: dict[str, Any] = {
            "configurable": configurable,
            "recursion_limit": options.recursion_limit,
        }
        self._parameters(request.parameters, configurable)
        if backend._client is not None:
            import httpx2

            self._kwargs["timeout"] = httpx2.Timeout(None, connect=ctx.connect_timeout)
        self._given: list[str] = []
        self._input = self._input_of(request)
        self._ends = None if backend._chat or backend._graph else backend._ends_class()
        if self._ends is not None:
            self._config["callbacks"] = [self._ends]
        self._events: MessageEvents = backend._events_class(self._given, accounts=self._ends is None)
        if backend._graph:
            self._kwargs |= {"stream_mode": ["messages", "values"], "subgraphs": True}

    def sync(self) -> Iterator[Any]:
        found: Iterator[Any] = self._runnable.stream(self._input, self._config, **self._kwargs)
        return found

    def asynchronous(self) -> AsyncIterator[Any]:
        found: AsyncIterator[Any] = self._runnable.astream(self._input, self._config, **self._kwargs)
        return found

    def events_of(self, item: Any) -> Iterator[StreamEvent]:
        if not self._backend._graph:
            self.begun = True
            yield from self._events.feed(item)
            return
        namespace, mode, data = item
        if mode == "messages":
            self.begun = True
            message, _ = data
            yield from self._events.feed(message)
        elif not namespace and isinstance(data, Mapping):
            self._state = data

    def end(self) -> Iterator[StreamEvent]:
        events = self._events
        if self._backend._graph:
            if not events.answered:
                yield from events.feed(self._state)
            yield from events.sources(self._state)
            for interrupt in self._state.get("__interrupt__") or ():
                asked = getattr(interrupt, "value", interrupt)
                yield Notice("other", f"the graph stopped to ask: {asked}; say it in the next message")
                events.answered = True
        for message in self._ends.messages if self._ends is not None else ():
            events.model_ended(message)
        if not events.answered:
            raise BrokenStream("the object gave nothing that is text, a message, or a dict with an answer")
        yield from events.end()

    def forget(self) -> None:
        """Drops what an in-memory checkpointer kept of this run: nobody will come back to its thread."""
        checkpointer: Any = getattr(self._runnable, "checkpointer", None)
        if type(checkpointer).__name__ == "InMemorySaver":
            checkpointer.delete_thread(self._thread)

    def _parameters(self, parameters: Mapping[str, Any], configurable: dict[str, Any]) -> None:
        """Puts each parameter where the Runnable looks for it."""
        if self._backend._chat:
            self._kwargs |= parameters
            return
        schema = getattr(self._runnable, "context_schema", None)
        in_context = set(getattr(schema, "__annotations__", ())) | set(getattr(schema, "model_fields", ()))
        context: dict[str, Any] = {}
        specs = {spec.id for spec in self._runnable.config_specs}
        for name, value in parameters.items():
            if name in in_context:
                context[name] = value
            elif name in specs or name in self._backend.options.accepts:
                configurable[name] = value
            else:
                self.notices.append(Notice("parameter_ignored", f"{name}: this object has no place for it"))
        if context and self._backend._graph:
            self._kwargs["context"] = context

    def _input_of(self, request: ChatRequest) -> Any:
        shape = self._backend._shape
        if shape in ("messages", "state"):
            messages = to_langchain(request.messages)
            if shape == "messages":
                return messages
            for message in messages:
                message.id = str(uuid4())
                self._given.append(message.id)
            return {"messages": messages}
        last = max((i for i, item in enumerate(request.messages) if item.role == "user"), default=None)
        said = request.messages[last] if last is not None else None
        text = said.text if said is not None else ""
        before = request.messages[:last] if last is not None else request.messages
        if said is not None and any(isinstance(part, FilePart) for part in said.parts):
            self.notices.append(Notice("file_dropped", "this object takes text only"))
        if shape == "chain":
            question, history = chain_keys(self._runnable)
            if history is not None:
                return {question: text, history: to_langchain(before)}
        if any(message.role == "system" for message in before):
            self.notices.append(Notice("other", "this object takes no system prompt"))
        if any(message.role != "system" for message in before):
            self.notices.append(Notice("history_truncated", "this object takes the last message only"))
        return text if shape == "text" else {question: text}


def _covered(group: tuple[str, ...], given: set[str]) -> bool:
    """Whether an argument of the model stands in for the variable, as azure_endpoint for its variable."""
    return (
        any(name.lower() in given or name.lower().removesuffix("_openai") in given for name in group)
        or ("AZURE_OPENAI_ENDPOINT" in group and "azure_endpoint" in given)
        or ("OPENAI_API_VERSION" in group and "api_version" in given)
    )


def _first_line(exc: Exception) -> str:
    """Pydantic's messages repeat what they were given on later lines; that may be a secret."""
    return str(exc).strip().splitlines()[0][:300] if str(exc).strip() else type(exc).__name__
