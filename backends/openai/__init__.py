"""openai: Chat Completions and Responses, at OpenAI, at Azure, and at any server of the same protocol.

The SDK makes the request and guards the connection; the stream is read as raw JSON (`_openai_wire`), because
the SDK's typed chunk costs several times the parse, and because it lets a broken stream pass for a whole one.
Confirmed against llama.cpp and local stand-ins; what only OpenAI's or Azure's own cloud could show was not.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from backends._openai_wire import (
    CAME_WHOLE,
    ChatStream,
    OwnOptions,
    ResponsesStream,
    ThinkTags,
    chat_body,
    read_answer,
    responses_body,
)
from backends.openai.options import OWN_URL, OpenAIOptions, PersonAuth, ServiceAuth
from backends.openai.parameters import parameters
from chatlab.azure_identity import AzureTokens, azure_problem
from chatlab.backend import (
    Backend,
    CallContext,
    Capabilities,
    ChatRequest,
    Probe,
    Target,
    shown_url,
    split_query,
    without_route,
)
from chatlab.credentials import name_in, sendable, token_of
from chatlab.errors import AuthenticationFailed, BackendError, ChatlabError, NotReady, PermissionDenied
from chatlab.messages import StreamEvent
from chatlab.secret import SecretRef, remember_if_secret
from chatlab.upstream import error_from_exception

_ROLE = "Whoever administers the resource gives this identity the role Cognitive Services OpenAI User there."
_IMAGES = ("image/png", "image/jpeg", "image/webp", "image/gif")
_FILES = ("application/pdf",)


class OpenAIBackend(Backend):
    """Streams from one model of one server."""

    Options = OpenAIOptions
    modules: ClassVar[tuple[str, ...]] = ("openai", "httpx2")
    address_field: ClassVar[str | None] = "model"
    network: ClassVar[bool] = True
    options: OpenAIOptions

    def __init__(self, options: OpenAIOptions) -> None:
        super().__init__(options)
        import httpx2
        import openai

        from chatlab.http import async_client

        self._httpx2 = httpx2
        self._no_authorization = {"Authorization": openai.Omit()}  # `_authorize` adds what there is
        base_url, query = _address(options)
        # Secrets are put in by the HTTP client, read anew each time: no SDK object ever holds one.
        self._http = async_client(options.ca_bundle, event_hooks={"request": [self._authorize]})
        self._identity: AzureTokens | None = None
        if isinstance(options.auth, ServiceAuth):
            self._identity = AzureTokens(options.auth, options.auth.scope)
        self._client = openai.AsyncOpenAI(
            base_url=base_url,
            api_key="put in by _authorize",
            max_retries=0,
            default_query=query,
            default_headers=_no_ambient_headers(openai.Omit()),
            http_client=self._http,
        )
        # Explicit or absent: what the environment names was meant for OpenAI, whoever is called here.
        self._client.organization = options.organization
        self._client.project = options.project
        self._refusal = openai.APIStatusError
        self._own_options = OwnOptions("stream_options", "store", "stream")

    @classmethod
    def capabilities(cls, options: OpenAIOptions) -> Capabilities:
        files: list[str] = []
        if options.own if options.images is None else options.images:
            files.extend(_IMAGES)
        if options.own if options.files is None else options.files:
            files.extend(_FILES)
        if options.audio and options.api == "chat":
            files.extend(("audio/wav", "audio/mpeg"))
        reasoning = options.own if options.reasoning is None else options.reasoning
        known = parameters(options.api, own=options.own, reasoning=reasoning)
        return Capabilities(tuple(files), known, options.takes_system)

    @classmethod
    def target(cls, options: OpenAIOptions) -> Target:
        return Target(options.model_name, shown_url(_address(options)[0]))

    @classmethod
    def not_ready(cls, options: OpenAIOptions) -> str | None:
        reason = super().not_ready(options)
        if reason is None and isinstance(options.auth, ServiceAuth):
            return azure_problem()
        if reason is None and options.key is not None:
            reason = options.key.missing()
        return reason

    @classmethod
    def as_person(cls, options: OpenAIOptions) -> bool:
        return isinstance(options.auth, PersonAuth)

    async def stream(self, request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        self._secret_headers()  # a key that is missing by now is said before anything is sent
        token = await self._token(ctx)
        ctx.mark("credentials")
        try:
            while True:
                body = self._own_options.apply(self._body(request))
                try:
                    async with AsyncExitStack() as open_until_then:
                        with _sent(token):
                            call = self._call(body, ctx)
                            response = await open_until_then.enter_async_context(call)
                        events = await open_until_then.enter_async_context(aclosing(self._events(response)))
                        for notice in self._own_options.notices():
                            yield notice
                        async for event in events:
                            yield event
                    return
                except self._refusal as exc:
                    error = error_from_exception(exc)
                    if not self._own_options.refused_by(error, body, self.options.extra_body):
                        raise error from exc
        except AuthenticationFailed as exc:
            if isinstance(self.options.auth, ServiceAuth) and "lacks the required data action" in exc.detail:
                raise PermissionDenied(f"{exc.detail} {_ROLE}", status=exc.status) from exc
            raise
        except ChatlabError:
            raise
        except Exception as exc:
            raise error_from_exception(exc) from exc

    @classmethod
    def discovers(cls, options: OpenAIOptions) -> bool:
        return options.models == "discover"

    async def models(self, ctx: CallContext) -> tuple[str, ...]:
        return tuple(sorted(await self._listed(ctx) or ()))

    async def probe(self, ctx: CallContext) -> Probe:
        """Ask for the list of models. Who is asking is not told by this API; a token may say it itself."""
        token = await self._token(ctx)
        return replace(await self._probed(ctx), identity=None if token is None else name_in(token))

    async def _probed(self, ctx: CallContext) -> Probe:
        try:
            names = await self._listed(ctx)
        except BackendError as exc:
            if exc.status in (404, 405, 501):
                return Probe(reachable=True, detail="the server does not list its models")
            raise
        if self.options.azure or names is None:  # Azure lists models, not deployments
            return Probe(reachable=True)
        name = self.options.model_name
        return Probe.of_listed(f"{name}:latest" if f"{name}:latest" in names else name, names)

    async def _listed(self, ctx: CallContext) -> set[str] | None:
        """Return what GET /models lists; None where the reply is no list. Raises BackendError."""
        self._secret_headers()
        token = await self._token(ctx)
        timeout = self._httpx2.Timeout(30.0, connect=ctx.connect_timeout)
        url = "/models"
        if self.options.azure and self.options.azure.api_version:
            url = f"{self.options.azure.endpoint.rstrip('/')}/openai/models"
        try:
            with _sent(token):
                reply = await self._client.get(
                    url,
                    cast_to=self._httpx2.Response,
                    options={"timeout": timeout, "headers": self._no_authorization},
                )
            listed = reply.json().get("data")
        except Exception as exc:
            raise error_from_exception(exc) from exc
        if not isinstance(listed, list):
            return None
        return {str(item.get("id")) for item in listed if isinstance(item, dict)}

    async def aclose(self) -> None:
        if self._identity is not None:
            self._identity.close()
        await self._client.close()

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        """Return the request's JSON."""
        options = self.options
        if options.api == "responses":
            body = responses_body(request, options.model_name)
            if options.reasoning_summary is not None:
                body.setdefault("reasoning", {}).setdefault("summary", options.reasoning_summary)
        else:
            body = chat_body(request, options.model_name)
            if options.knows_new_limit and "max_tokens" in body:  # reasoning models refuse the old name
                body["max_completion_tokens"] = body.pop("max_tokens")
        return {**body, **options.extra_body}

    def _call(self, body: dict[str, Any], ctx: CallContext) -> Any:
        """Return the call, as a context manager over its response.

        Leaving it closes the connection's request.
        """
        # As extra_body everything goes out as it is: the SDK's walk through typed messages would cost more
        # the longer the conversation is, and change nothing.
        known: dict[str, Any] = {
            "stream": body.get("stream", False),
            "extra_headers": self._no_authorization,
            "extra_body": body,
            "timeout": self._httpx2.Timeout(None, connect=ctx.connect_timeout),
        }
        if self.options.api == "responses":
            return self._client.responses.with_streaming_response.create(
                model=body["model"], input=[], **known
            )
        return self._client.chat.completions.with_streaming_response.create(
            model=body["model"], messages=[], **known
        )

    async def _events(self, response: Any) -> AsyncGenerator[StreamEvent, None]:
        """Yield the events of an answer, streamed or whole, whatever its label says."""
        think = None
        if self.options.think_tags != "text":
            think = ThinkTags(inside=self.options.think_tags == "begun")
        stream = (ResponsesStream if self.options.api == "responses" else ChatStream)(think, whole=CAME_WHOLE)
        async with aclosing(read_answer(response.http_response.aiter_bytes(), stream)) as events:
            async for event in events:
                yield event

    async def _authorize(self, request: Any) -> None:
        for name, value in self._secret_headers().items():
            request.headers[name] = value
        token = _token.get()
        if token is not None:
            request.headers["Authorization"] = f"Bearer {token}"

    async def _token(self, ctx: CallContext) -> str | None:
        """Return the token of a call, the person's own or the service's; None where a key or nothing is sent.
        Raises AuthRequired where it is the person's, and there is none."""
        if isinstance(self.options.auth, PersonAuth):
            return await token_of(ctx.credential, self.options.auth.resource(_address(self.options)[0]))
        return None if self._identity is None else sendable((await self._identity.token()).value)

    def _secret_headers(self) -> dict[str, str]:
        """Return the headers that hold secrets, read now. Raises NotReady if one is missing."""
        headers: dict[str, str] = {}
        try:
            if self.options.key is not None:
                key = self.options.key.resolve().get_secret_value()
                headers |= {"api-key": key} if self.options.azure else {"Authorization": f"Bearer {key}"}
            for name, value in self.options.extra_headers.items():
                if isinstance(value, SecretRef):
                    headers[name] = value.resolve().get_secret_value()
                else:
                    headers[name] = value
                    remember_if_secret(value)
        except LookupError as exc:
            raise NotReady(f"the backend is not ready: {exc}") from exc
        return headers


_token: ContextVar[str | None] = ContextVar("token of the call that is being sent", default=None)


@contextmanager
def _sent(token: str | None) -> Iterator[None]:
    """Have the requests that this task sends meanwhile carry a token: by the HTTP client, since what SDK
    objects hold is logged and shown."""
    before = _token.set(token)
    try:
        yield
    finally:
        _token.reset(before)


def _address(options: OpenAIOptions) -> tuple[str, dict[str, object] | None]:
    """Return the base URL and the query of every call.

    Always given, so that no variable can redirect a key.
    """
    azure = options.azure
    if azure is None:
        url, query = split_query(without_route(options.base_url or OWN_URL))
        return url, dict(parse_qsl(query, keep_blank_values=True)) or None
    root = f"{azure.endpoint.rstrip('/')}/openai"
    if azure.api_version is None:
        return f"{root}/v1", None
    if options.api == "chat":
        root = f"{root}/deployments/{azure.deployment}"
    return root, {"api-version": azure.api_version}


def _no_ambient_headers(omit: Any) -> dict[str, Any]:
    """Takes back what the SDK reads from OPENAI_CUSTOM_HEADERS: it was not meant for this server."""
    lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n")
    return {line.partition(":")[0].strip(): omit for line in lines if ":" in line}
