"""openai: Chat Completions and Responses, at OpenAI, at Azure, and at any server of the same protocol.

The requests are made here, without OpenAI's SDK: it costs more than the rest of a short call, reads variables
of the environment that are meant for OpenAI alone, and lets a broken stream pass for a whole one. Answers are
read by `_openai_wire`.
Confirmed against llama.cpp and local stand-ins; what only OpenAI's or Azure's own cloud could show was not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlencode

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
from chatlab import __version__
from chatlab.azure_identity import AzureTokens, azure_problem
from chatlab.backend import (
    Backend,
    CallContext,
    Capabilities,
    ChatRequest,
    Probe,
    Target,
    joined_query,
    shown_url,
    split_query,
    without_route,
)
from chatlab.credentials import name_in, sendable, token_of
from chatlab.errors import AuthenticationFailed, BackendError, NotReady, PermissionDenied
from chatlab.messages import StreamEvent
from chatlab.secret import SecretRef, remember_if_secret
from chatlab.upstream import error_before_answer, error_from_exception

if TYPE_CHECKING:
    from backends.openai.answer import AnswerBytes

_ROLE = "Whoever administers the resource gives this identity the role Cognitive Services OpenAI User there."
_IMAGES = ("image/png", "image/jpeg", "image/webp", "image/gif")
_FILES = ("application/pdf",)


class OpenAIBackend(Backend):
    """Streams from one model of one server."""

    Options = OpenAIOptions
    modules: ClassVar[tuple[str, ...]] = ("httpx2",)
    address_field: ClassVar[str | None] = "model"
    network: ClassVar[bool] = True
    options: OpenAIOptions

    def __init__(self, options: OpenAIOptions) -> None:
        super().__init__(options)
        import httpx2

        from chatlab.http import async_client

        self._httpx2 = httpx2
        self._base_url, self._query = _address(options)
        # What the environment names was meant for OpenAI, whoever is called here: explicit or absent.
        account = {"OpenAI-Organization": options.organization, "OpenAI-Project": options.project}
        self._http = async_client(
            options.ca_bundle,
            headers={
                "Accept": "application/json",
                "User-Agent": f"chatlab/{__version__}",
                **{name: value for name, value in account.items() if value},
            },
        )
        self._identity: AzureTokens | None = None
        if isinstance(options.auth, ServiceAuth):
            self._identity = AzureTokens(options.auth, options.auth.scope)
        self._own_options = OwnOptions("stream_options", "store", "stream")
        self._key = options.key

    @classmethod
    def capabilities(cls, options: OpenAIOptions) -> Capabilities:
        own = options.own
        files: list[str] = []
        if own if options.images is None else options.images:
            files.extend(_IMAGES)
        if own if options.files is None else options.files:
            files.extend(_FILES)
        if options.audio and options.api == "chat":
            files.extend(("audio/wav", "audio/mpeg"))
        reasoning = own if options.reasoning is None else options.reasoning
        known = parameters(options.api, own=own, reasoning=reasoning)
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
        headers = await self._headers(ctx)
        ctx.mark("credentials")
        try:
            while True:
                body = self._own_options.apply(self._body(request))
                answered = False
                try:
                    async with self._answer(body, headers, ctx) as answer:
                        for notice in self._own_options.notices():
                            yield notice
                        read = read_answer(answer.pieces, self._reader(), answer.ended)
                        async with aclosing(read) as events:
                            async for event in events:
                                answered = True
                                yield event
                    return
                except BackendError as exc:
                    if answered or not self._own_options.refused_by(exc, body, self.options.extra_body):
                        raise
        except AuthenticationFailed as exc:
            if isinstance(self.options.auth, ServiceAuth) and "lacks the required data action" in exc.detail:
                raise PermissionDenied(f"{exc.detail} {_ROLE}", status=exc.status) from exc
            raise

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
        own_headers = await self._headers(ctx)
        timeout = self._httpx2.Timeout(30.0, connect=ctx.connect_timeout)
        base = self._base_url
        if self.options.azure and self.options.azure.api_version:
            base = f"{self.options.azure.endpoint.rstrip('/')}/openai"
        reply = None
        try:
            url = joined_query(f"{base}/models", self._query)
            headers = [(name.encode(), value.encode()) for name, value in own_headers.items()]
            reply = await self._http.get(url, headers=headers, timeout=timeout)
            listed = reply.raise_for_status().json().get("data")
        except Exception as exc:
            raise (error_before_answer if reply is None else error_from_exception)(exc) from exc
        if not isinstance(listed, list):
            return None
        return {str(item.get("id")) for item in listed if isinstance(item, dict)}

    async def aclose(self) -> None:
        if self._identity is not None:
            self._identity.close()
        await self._http.aclose()

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

    @cached_property
    def _answer(self) -> Callable[[Mapping[str, Any], Mapping[str, str], CallContext], AnswerBytes]:
        """Return what makes a call: of the request's JSON, its own headers and the context."""
        from backends.openai.answer import AnswerBytes
        from chatlab.http_post import Post

        route = "responses" if self.options.api == "responses" else "chat/completions"
        return partial(AnswerBytes, Post(self._http, joined_query(f"{self._base_url}/{route}", self._query)))

    def _reader(self) -> ChatStream | ResponsesStream:
        """Return what makes events of an answer."""
        think = None
        if self.options.think_tags != "text":
            think = ThinkTags(inside=self.options.think_tags == "begun")
        return (ResponsesStream if self.options.api == "responses" else ChatStream)(think, whole=CAME_WHOLE)

    async def _headers(self, ctx: CallContext) -> dict[str, str]:
        """Return the headers of a request with the secrets of this moment: nothing holds one for longer.

        Raises NotReady for a missing key, before a token is asked for, and else as `_token` does.
        """
        headers = self._secret_headers()
        token = await self._token(ctx)
        return headers if token is None else {**headers, "Authorization": f"Bearer {token}"}

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
            if self._key is not None:
                key = self._key.resolve().get_secret_value()
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


def _address(options: OpenAIOptions) -> tuple[str, str]:
    """Return the base URL and the query of every call."""
    azure = options.azure
    if azure is None:
        url, query = split_query(without_route(options.base_url or OWN_URL))
        return url.rstrip("/"), query
    root = f"{azure.endpoint.rstrip('/')}/openai"
    if azure.api_version is None:
        return f"{root}/v1", ""
    if options.api == "chat":
        root = f"{root}/deployments/{azure.deployment}"
    return root, urlencode({"api-version": azure.api_version})
