"""huggingface: chat completion and text generation, by a provider, an endpoint or a server of one's own.

task `chat`: Chat Completions for a model id (through the Hugging Face router or a named provider) or at the
URL of an endpoint. task `text-generation`: the protocol of text-generation-inference (TGI), the conversation
rendered by a chat template, through huggingface_hub or the `text-generation` client (extra `tgi`).

The connection is marked when the request's headers go out on it: by chatlab's transport or, with the
`text-generation` client, by aiohttp's trace. What only the real service can confirm: its router, the
providers, billing and endpoints that sleep. All else is tested against a server held to TGI's description.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, ClassVar

from backends._openai_wire import ChatStream, OwnOptions, ThinkTags
from backends.huggingface.calls import Call, chunks_of, post, prepare
from backends.huggingface.errors import error_from_chunk
from backends.huggingface.options import (
    CHAT_PARAMETERS,
    DEFAULT_NEW_TOKENS,
    HuggingFaceOptions,
    load_template,
    text_parameters,
)
from backends.huggingface.probe import look
from backends.huggingface.text import MAX_SERVER_STOPS, StopFilter, TextStream
from backends.huggingface.tgi_client import import_text_generation, text_generation_chunks
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
)
from chatlab.credentials import ProtectedResource, token_of
from chatlab.errors import (
    AuthenticationFailed,
    BackendError,
    MissingExtra,
    NotReady,
    PermissionDenied,
    UnsupportedContent,
)
from chatlab.formats import PromptTemplate, to_openai, without_tools
from chatlab.messages import Finish, Message, Notice, StreamEvent, TextDelta
from chatlab.upstream import ChunkReader
from chatlab.words import ENGLISH

_SCOPE = (
    "visitors are asked for the scope inference-api once the Space's README.md has it among its scopes, "
    "and then sign in again"
)
_WHOLE = Notice("not_streamed", ENGLISH("notice.speed-unknown"))


class HuggingFaceBackend(Backend):
    """Models of Hugging Face: by an inference provider, a dedicated endpoint, or a server of one's own.

    As chat completion or as text generation, the protocol of text-generation-inference (docs/huggingface.md).
    """

    Options = HuggingFaceOptions
    options: HuggingFaceOptions
    modules: ClassVar[tuple[str, ...]] = ("huggingface_hub",)
    address_field: ClassVar[str | None] = "model"
    network: ClassVar[bool] = True

    def __init__(self, options: HuggingFaceOptions) -> None:
        super().__init__(options)
        from huggingface_hub import AsyncInferenceClient  # noqa: F401 - loads it now, off the event loop
        from huggingface_hub.utils._headers import build_hf_headers

        from chatlab.http import async_client, ssl_context

        if options.client == "text-generation":
            import_text_generation()
        build_hf_headers(token=False)  # looks a list up the first time, which is no part of a turn
        self._http = async_client(options.ca_bundle, follow_redirects=True)
        self._tls = ssl_context(options.ca_bundle)
        self._own_options = OwnOptions("stream_options", "stream")
        self._template = load_template(options.template) if options.template is not None else None

    @classmethod
    def capabilities(cls, options: HuggingFaceOptions) -> Capabilities:
        """Text generation takes no files, and a system message only where its template does."""
        if options.task == "chat":
            files = ("image/*",) if options.images else ()
            return Capabilities(files, CHAT_PARAMETERS, system=options.takes_system)
        assert options.template is not None
        try:
            takes_system = load_template(options.template).takes_system
        except UnsupportedContent:  # a file that cannot be read; `not_ready` says so
            takes_system = True
        return Capabilities(parameters=text_parameters(options.client), system=takes_system)

    @classmethod
    def target(cls, options: HuggingFaceOptions) -> Target:
        """Return an endpoint's URL; which host of a provider answers is known to Hugging Face only."""
        if options.endpoint is not None:
            return Target(options.model, shown_url(options.endpoint))
        return Target(options.model)

    @classmethod
    def not_ready(cls, options: HuggingFaceOptions) -> str | None:
        """As for every backend; a token that nobody demands may be missing."""
        reason = super().not_ready(options)
        if reason is not None:
            return reason
        if options.ca_bundle is not None and options.endpoint is None:
            # Which provider serves a model is looked up over a client that the whole process shares.
            return "set SSL_CERT_FILE instead of ca_bundle: huggingface_hub looks the model up by itself"
        if options.client == "text-generation" and not _has_text_generation():
            return str(MissingExtra("huggingface", "tgi", "text_generation"))
        if options.template is not None:
            try:
                load_template(options.template)
            except UnsupportedContent as exc:
                return str(exc)
        credential = options.credential
        if credential is None or not (credential.is_set or options.credential_required):
            return None
        return credential.missing()

    @classmethod
    def as_person(cls, options: HuggingFaceOptions) -> bool:
        return options.auth is not None

    async def stream(self, request: ChatRequest, ctx: CallContext) -> AsyncGenerator[StreamEvent, None]:
        """See `Backend.stream`."""
        token = await self._token_of(ctx)
        ctx.mark("credentials")
        events = (
            self._chat(request, ctx, token) if self._template is None else self._text(request, ctx, token)
        )
        try:
            async with aclosing(events) as answer:
                async for event in answer:
                    yield event
        except PermissionDenied as exc:
            if self.options.auth is None or exc.status != 403:
                raise
            raise PermissionDenied(f"{exc.detail}: {_SCOPE}", status=403) from exc

    async def probe(self, ctx: CallContext) -> Probe:
        """Asks the endpoint for its `/info`, or the Hub for the model, and who the token belongs to."""
        return await look(self._http, self.options, await self._token_of(ctx), ctx.connect_timeout)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def _token_of(self, ctx: CallContext) -> str | None:
        if self.options.auth is None:
            return self._token()
        from huggingface_hub import constants

        token = await token_of(ctx.credential, ProtectedResource(constants.ENDPOINT))
        return self._sent_to_hugging_face(token, "the person's token")

    def _sent_to_hugging_face(self, value: str, what: str) -> str:
        # With any other kind of key, huggingface_hub calls the provider itself rather than Hugging Face.
        if self.options.endpoint is None and not value.startswith("hf_"):
            raise AuthenticationFailed(f"{what} is not a token of Hugging Face, which begins with hf_")
        return value

    def _token(self) -> str | None:
        credential = self.options.credential
        if credential is None or not (credential.is_set or self.options.credential_required):
            return None
        try:
            value = credential.resolve().get_secret_value()
        except LookupError as exc:
            raise NotReady(str(exc)) from exc
        return value if self.options.token is not None else self._sent_to_hugging_face(value, "HF_TOKEN")

    def _think(self) -> ThinkTags | None:
        tags = self.options.think_tags
        return None if tags == "text" else ThinkTags(inside=tags == "begun")

    # -- chat

    async def _chat(
        self, request: ChatRequest, ctx: CallContext, token: str | None
    ) -> AsyncGenerator[StreamEvent, None]:
        options = self.options
        parameters = _without_ones(request.parameters, "top_p")
        stops = list(parameters.pop("stop", ()) or options.stop)
        messages = to_openai(request.messages)
        endpoint, query = split_query(options.endpoint) if options.endpoint else ("", "")
        call = await prepare(
            endpoint or options.model or "",
            lambda client: client.chat_completion(
                messages,
                model=options.model,
                stream=True,
                stream_options={"include_usage": True},
                stop=stops or None,
                extra_body=dict(options.extra_body) or None,
                **parameters,
            ),
            provider=options.provider if options.endpoint is None else None,
            token=token,
            bill_to=options.bill_to,
            headers=options.headers,
        )
        while True:
            url = joined_query(call.url, query)
            asked = replace(call, url=url, body=self._own_options.apply(call.body))
            try:
                async with aclosing(self._chat_answer(asked, ctx, stops)) as events:
                    async for event in events:
                        yield event
                return
            except BackendError as exc:
                if not self._own_options.refused_by(exc, asked.body, options.extra_body):
                    raise

    async def _chat_answer(
        self, call: Call, ctx: CallContext, stops: Sequence[str]
    ) -> AsyncGenerator[StreamEvent, None]:
        stop = StopFilter(stops)  # TGI leaves the stop sequence in the answer
        stream, reader = ChatStream(self._think(), whole=_WHOLE), ChunkReader()
        async with post(self._http, call, ctx.connect_timeout) as response:
            for notice in self._own_options.notices():
                yield notice
            async with aclosing(chunks_of(response, reader)) as chunks:
                async for chunk in chunks:
                    if chunk.get("error") is not None:
                        raise error_from_chunk(chunk)
                    for event in _shown(stream.feed(chunk), stop):
                        yield event
            for event in _shown(stream.end(marked=reader.done), stop):
                yield event

    # -- text generation

    async def _text(
        self, request: ChatRequest, ctx: CallContext, token: str | None
    ) -> AsyncGenerator[StreamEvent, None]:
        template = self._template
        assert template is not None
        prompt, notices = _prompt(template, request)
        for notice in notices:
            yield notice
        parameters = _without_ones(request.parameters, "top_p", "typical_p")
        parameters.setdefault("max_new_tokens", DEFAULT_NEW_TOKENS)
        stops = list(dict.fromkeys((*parameters.pop("stop", ()), *self.options.stop, *template.stop)))
        if stops:
            parameters["stop"] = stops[:MAX_SERVER_STOPS]
        whole = parameters.get("best_of", 1) > 1  # the protocol has no streaming for it
        if not whole:
            parameters.pop("best_of", None)
        answer = TextStream(stops, truncate=parameters.get("truncate"), think=self._think())
        if self.options.client == "hub":
            chunks = self._hub_chunks(prompt, parameters, whole, ctx, token)
        else:
            headers = self.options.headers | ({"Authorization": f"Bearer {token}"} if token else {})
            chunks = text_generation_chunks(
                self._url(), headers, prompt, parameters, ctx.connect_timeout, self._tls
            )
        async with aclosing(chunks) as items:
            async for item in items:
                whole = isinstance(item, list) or ("token" not in item and "generated_text" in item)
                if whole:
                    yield _WHOLE
                for event in answer.feed_whole(item) if whole else answer.feed(item):
                    yield event
                if answer.done:
                    break
        for event in answer.end():
            yield event

    async def _hub_chunks(
        self, prompt: str, parameters: Mapping[str, Any], whole: bool, ctx: CallContext, token: str | None
    ) -> AsyncGenerator[Any, None]:
        url = self._url()
        call = await prepare(
            url,
            # Named at each call, too: the library files what it learns of a server under this name.
            lambda client: client.text_generation(prompt, model=url, details=True, stream=True, **parameters),
            token=token,
            headers=self.options.headers,
        )
        if whole:
            call = Call(call.url, call.headers, {**call.body, "stream": False})
        async with (
            post(self._http, call, ctx.connect_timeout) as response,
            aclosing(chunks_of(response, ChunkReader())) as chunks,
        ):
            async for chunk in chunks:
                yield chunk

    def _url(self) -> str:
        if self.options.endpoint is not None:
            return self.options.endpoint
        from huggingface_hub import constants

        base = constants.INFERENCE_PROXY_TEMPLATE.format(provider="hf-inference")
        return f"{base}/models/{self.options.model}"


def _has_text_generation() -> bool:
    from importlib.util import find_spec

    return find_spec("text_generation") is not None


def _without_ones(parameters: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return the parameters without those of a value of 1 that mean nothing, and that TGI refuses all the
    same.
    """
    return {name: value for name, value in parameters.items() if not (name in names and value == 1)}


def _prompt(template: PromptTemplate, request: ChatRequest) -> tuple[str, list[Notice]]:
    messages: Sequence[Message] = request.messages
    notices: list[Notice] = []
    if not template.takes_tools:
        messages, dropped = without_tools(messages)
        notices.extend(dropped)
    markers = template.markers_in(messages)
    if markers:
        found = ", ".join(markers)
        notices.append(
            Notice("other", f"the conversation contains {found}, which this model takes as control")
        )
    return template.render(messages), notices


def _shown(events: Iterable[StreamEvent], stop: StopFilter) -> list[StreamEvent]:
    """Return the events with their text let through up to a stop sequence."""
    shown: list[StreamEvent] = []
    for event in events:
        if isinstance(event, TextDelta):
            text = stop.feed(event.text)
            if text:
                shown.append(TextDelta(text))
            continue
        if isinstance(event, Finish) and (rest := stop.end()):
            shown.append(TextDelta(rest))
        shown.append(event)
    return shown
