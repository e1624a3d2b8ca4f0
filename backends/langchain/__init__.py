"""langchain: a model by name (`init_chat_model`), or any Runnable or LangGraph graph of one's own.

    model: openai:gpt-5-mini            # or
    object: my_agent:graph              # my_agent.py beside the configuration file

A graph without a checkpointer gets the whole conversation each time; with one, a conversation is one thread
and gets what is new (`threads.py`). LangSmith's tracing is LangChain's own affair and off unless its
variables are set. Only the OpenAI provider could be run here; the others' events are read as documented.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from importlib.util import find_spec
from typing import Any

from backends.langchain.keys import is_elsewhere, keyless
from backends.langchain.objects import Shape, load_object, missing, shape_of
from backends.langchain.options import COMMON, OPENAI_ALONE, LangChainOptions
from backends.langchain.providers import BASED_ON_OPENAI, OLD_CLIENT, OPENAI, OUR_CLIENT, PROVIDERS
from chatlab.backend import (
    Backend,
    CallContext,
    Capabilities,
    ChatRequest,
    Parameter,
    Probe,
    Target,
    shown_url,
)
from chatlab.errors import AuthRequired
from chatlab.messages import StreamEvent
from chatlab.sockets import CallSockets, in_loop, in_thread, watch
from chatlab.upstream.network import exempt_problem
from chatlab.words import ENGLISH


class LangChainBackend(Backend):
    """Streams a LangChain model, Runnable or graph."""

    Options = LangChainOptions
    modules = ("langchain",)
    address_field = "model"
    network = True

    options: LangChainOptions

    def __init__(self, options: LangChainOptions) -> None:
        super().__init__(options)
        import langchain  # noqa: F401  # so that what is missing is said here, not at the first call

        from backends.langchain.errors import classify_langchain
        from backends.langchain.inputs import Made
        from backends.langchain.run import Run
        from backends.langchain.synchrony import only_synchronous
        from backends.langchain.threads import Threads

        watch()
        self._classify = classify_langchain
        self._run = Run
        self._client: Any = None
        shape: Shape
        guess: str | None
        if options.model is not None:
            from backends.langchain.models import chat_model

            runnable, self._client = chat_model(options)
            shape, guess = "messages", None
            timed = self._client is not None and options.provider in BASED_ON_OPENAI
        else:
            assert options.object is not None
            runnable = load_object(options.object, options.python_path)
            shape, guess = shape_of(runnable) if options.input == "auto" else (options.input, None)
            timed = False
        self._made = Made(options, runnable, shape, guess, timed=timed)
        self._threads = Threads(runnable)
        self._synchronous = only_synchronous(runnable)

    @classmethod
    def capabilities(cls, options: LangChainOptions) -> Capabilities:
        """Return the parameters LangChain has for every model, its provider's, and those the options name."""
        known = COMMON + (OPENAI_ALONE if options.provider in OPENAI or options.object else ())
        names = {parameter.name for parameter in COMMON} | set(options.accepts)
        offered = known if options.model else tuple(item for item in known if item.name in names)
        have = {parameter.name for parameter in offered}
        more = tuple(Parameter(name, "json", advanced=True) for name in options.accepts if name not in have)
        files = options.files if options.files is not None else ("image/*",) if options.model else ()
        return Capabilities(files, offered + more, open_calls=options.object is not None)

    @classmethod
    def target(cls, options: LangChainOptions) -> Target:
        """Return a model's name, and its URL where the options say it; of an object, its name."""
        if options.model is None:
            return Target(options.object)
        url = options.base_url
        return Target(options.model.partition(":")[2], None if url is None else shown_url(url))

    @classmethod
    def as_person(cls, options: LangChainOptions) -> bool:
        """Return whether the object uses the rights of whoever is signed in."""
        return options.auth is not None

    @classmethod
    def not_ready(cls, options: LangChainOptions) -> str | None:
        """Return what is missing, a package, a key or the object's module, or None. Imports nothing."""
        reason = super().not_ready(options)
        if reason is not None:
            return reason
        if options.ca_bundle is not None and options.provider not in OUR_CLIENT:
            whose = "an object" if options.object is not None else f"the package of {options.provider}"
            return f"set SSL_CERT_FILE instead of ca_bundle: {whose} makes its own connections"
        if options.provider in OLD_CLIENT and (reason := exempt_problem()) is not None:
            return reason
        if options.object is not None:
            return missing(options.object, options.python_path)
        provider = PROVIDERS.get(options.provider or "")
        if provider is not None and find_spec(provider.module) is None:
            return f"pip install {provider.package}"
        if (reason := keyless(options)) is not None:
            return reason
        if provider is None:  # LangChain may know more of them than are listed
            return None
        if options.api_key is not None or options.secrets or is_elsewhere(options):
            return None
        given = {str(name) for name in options.model_options}
        for group in provider.variables:
            if not any(os.environ.get(name, "").strip() for name in group) and not _covered(group, given):
                return f"set {group[0]}"
        return None

    async def stream(self, request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        """Yield the events of one run. Closing it closes what the run's threads, if any, wait for."""
        if self.options.auth is not None and ctx.credential is None:
            raise AuthRequired(ENGLISH("refusal.sign-in-first"))
        if self.options.model is not None:
            ctx.mark("credentials")
        run = self._run(self._made, self._threads, request, ctx)
        sockets = CallSockets(lambda: ctx.mark("connected"))
        items = in_thread(run.sync, sockets) if self._synchronous else in_loop(run.asynchronous(), sockets)
        try:
            async with aclosing(items) as arriving:  # type: ignore[type-var]
                async for item in arriving:
                    while run.notices:
                        yield run.notices.pop(0)
                    for event in run.events_of(item):
                        yield event
            for event in (*run.notices, *run.end()):
                yield event
        except Exception as exc:
            error = self._classify(exc, begun=run.begun, alone=self.options.model is not None)
            if error is exc:
                raise
            raise error from exc
        finally:
            run.forget()

    async def probe(self, ctx: CallContext) -> Probe:
        """Return what a server of OpenAI's kind says of its models; LangChain cannot ask the others."""
        client = getattr(self._made.runnable, "root_async_client", None)
        if self.options.provider != "openai" or client is None:
            return Probe()
        try:
            found = {model.id async for model in client.models.list()}
        except Exception as exc:
            raise self._classify(exc, begun=False) from exc
        return Probe.of_listed((self.options.model or "").partition(":")[2], found)

    async def aclose(self) -> None:
        """Close the connections of a model made here; an object's are its own."""
        if self._client is not None:
            await self._client.aclose()


def _covered(group: tuple[str, ...], given: set[str]) -> bool:
    """Return whether an argument of the model stands in for the variable, as azure_endpoint does."""
    return (
        any(name.lower() in given or name.lower().removesuffix("_openai") in given for name in group)
        or ("AZURE_OPENAI_ENDPOINT" in group and "azure_endpoint" in given)
        or ("OPENAI_API_VERSION" in group and "api_version" in given)
    )
