"""Serving endpoints of a Databricks workspace: chat models, ChatAgents, ResponsesAgents and older chains."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import Field

from backends._openai_wire import OwnOptions, refuses_stream
from backends.databricks.auth import (
    Access,
    Credentials,
    bundle_problem,
    endpoint_of,
    endpoint_problem,
    host_of,
    host_problem,
    profile_problem,
)
from backends.databricks.connections import close_request, read_rest
from backends.databricks.identities import Auth, FromEnv, HostFromEnv, PatAuth, UserAuth
from backends.databricks.permissions import refused_call
from backends.databricks.requests import (
    CHAT_PARAMETERS,
    Endpoint,
    LegacyRequest,
    RequestOptions,
    Task,
    body_of,
)
from backends.databricks.streams import StreamReader
from chatlab.backend import (
    Backend,
    CallContext,
    Capabilities,
    ChatRequest,
    NetworkOptions,
    Probe,
    Target,
    together,
)
from chatlab.errors import (
    AuthenticationFailed,
    BackendError,
    BrokenStream,
    ModelNotFound,
    NotReady,
    PermissionDenied,
    SignInRejected,
)
from chatlab.messages import Notice, StreamEvent
from chatlab.upstream import (
    error_before_answer,
    error_body,
    error_from_body,
    error_from_exception,
    retry_after,
)
from chatlab.words import ENGLISH

# How an endpoint says that it cannot stream: MLflow's own sentences, and what the serving layer answers.
_NO_STREAM = re.compile(
    r"(not support|n't support|unsupported|\bno)\s.{0,20}\b(stream\w*|predict_stream)\b"
    r"|\bstream(ing)?\b.{0,20}\bnot (supported|provided|available|implemented|enabled)",
    re.I,
)
_LOOKUP_TIMEOUT = 10.0  # seconds for each question about an endpoint


class DatabricksBackend(Backend):
    """Answers from one serving endpoint.

    Only the credential and the workspace that the options name are used; `DATABRICKS_*` variables that they
    do not name change nothing. The SDK gives the tokens, anew for each request; the requests themselves are
    made here, so that they stream, are timed and are closed like every other backend's.
    """

    modules = ("databricks.sdk",)
    extra = "databricks"
    address_field = "endpoint"
    network = True

    class Options(NetworkOptions):
        """Options of kind `databricks`."""

        endpoint: Annotated[str, Field(min_length=1)] | FromEnv = Field(
            description="Name of the serving endpoint, or {env: NAME}."
        )
        host: str | HostFromEnv | None = Field(
            None,
            description="URL of the workspace, or {env: NAME}; if not given, the profile's host where a "
            "profile is used, and DATABRICKS_HOST everywhere else.",
        )
        auth: Auth = Field(
            PatAuth(),
            description="Who to call as: {type: pat}, {type: oauth-m2m}, {type: profile, profile: NAME} or "
            "{type: user}. A personal access token in DATABRICKS_TOKEN if not given; never anything else.",
        )
        task: Literal["auto", "chat", "agent_chat", "responses", "legacy"] = Field(
            "auto", description="How to talk to the endpoint; `auto` asks the workspace once."
        )
        stream: bool = Field(True, description="Ask for a stream; if it cannot, the answer comes whole.")
        files: tuple[str, ...] | None = Field(
            None,
            description="Media types it takes; if not given, images for chat models and none for agents.",
        )
        custom_inputs: Mapping[str, Any] = Field(
            default_factory=dict, description="Sent as `custom_inputs`, for agents that read them."
        )
        extra_body: Mapping[str, Any] = Field(
            default_factory=dict, description="Further fields of the request, over those made here."
        )
        legacy_request: LegacyRequest = Field(
            "messages", description="The form in which a chain of before the agent schemas takes a question."
        )
        return_trace: bool = Field(
            True, description="Ask agents for their MLflow trace, whose id is shown with the answer."
        )
        waking_after: float = Field(
            3,
            gt=0,
            description="Seconds without a reply after which to see whether the endpoint is starting.",
        )

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        import httpx2

        from chatlab.http import async_client

        self._httpx2 = httpx2
        self._client = async_client(options.ca_bundle)
        self._credentials = Credentials(options.host, options.auth, self._client)
        self._as_person = self.as_person(options)
        self._task: Task | None = None if options.task == "auto" else options.task
        self._streams = options.stream
        self._own_options = OwnOptions("databricks_options")
        self._request_options = RequestOptions(
            options.custom_inputs,
            options.extra_body,
            options.legacy_request,
            options.return_trace,
            options.files,
        )

    @classmethod
    def capabilities(cls, options: Options) -> Capabilities:
        """With `task: auto` those of a chat model; an agent's answer notes what it could not take."""
        chat = options.task in ("auto", "chat")
        files = options.files if options.files is not None else ("image/*",) if chat else ()
        return Capabilities(files=files, parameters=CHAT_PARAMETERS if chat else (), system=True)

    @classmethod
    def target(cls, options: Options) -> Target:
        """The endpoint's name is what it is called by; the workspace, as far as it is known by now."""
        return Target(endpoint_of(options.endpoint), host_of(options.host, options.auth))

    @classmethod
    def as_person(cls, options: Options) -> bool:
        """Return whether it is the person's own token that is sent."""
        return isinstance(options.auth, UserAuth)

    @classmethod
    def not_ready(cls, options: Options) -> str | None:
        """Names the missing variable, file or profile."""
        return (
            super().not_ready(None)  # the SDK before anything else
            or together(
                profile_problem(options.auth),
                host_problem(options.host, options.auth),
                endpoint_problem(options.endpoint),
                bundle_problem(options.ca_bundle, options.auth),
                super().not_ready(options),
            )
        )

    @property
    def _endpoint_name(self) -> str:
        name = endpoint_of(self.options.endpoint)
        if not name:
            raise NotReady(endpoint_problem(self.options.endpoint) or "endpoint is missing")
        return name

    async def stream(self, request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        """Answers; says it first if the endpoint has to wake up."""
        access = await self._credentials.access(ctx)
        task = self._task
        told = False
        if task is None:
            endpoint = await self._endpoint(access, ctx)
            task = self._task = endpoint.chat_task()
            waking = endpoint.waking()
            if waking is not None:
                told = True
                yield Notice("waking", waking)
        body, notices = body_of(task, request, self._request_options)
        for notice in notices:
            yield notice
        while True:
            sent = self._own_options.apply(body)
            exchange = self._exchange(task, sent, access, ctx, streaming=self._streams, told=told)
            try:
                async with aclosing(exchange) as events:
                    async for event in events:
                        told = told or (isinstance(event, Notice) and event.kind == "waking")
                        yield event
                return
            except _CannotStream:
                self._streams = False
            except BackendError as exc:
                if not self._own_options.refused_by(exc, sent, self.options.extra_body):
                    raise

    async def probe(self, ctx: CallContext) -> Probe:
        """Return the endpoint's state and the name of whoever the credential belongs to."""
        access = await self._credentials.access(ctx)
        identity = asyncio.create_task(self._identity(access, ctx))
        try:
            endpoint = await self._endpoint(access, ctx)
            return Probe(True, True, await identity, endpoint.summary())
        except ModelNotFound as exc:
            return Probe(True, False, await identity, exc.detail)
        finally:
            identity.cancel()

    async def aclose(self) -> None:
        """Closes the connections."""
        self._credentials.close()
        await self._client.aclose()

    # -- one request

    async def _exchange(
        self,
        task: Task,
        body: Mapping[str, Any],
        access: Access,
        ctx: CallContext,
        *,
        streaming: bool,
        told: bool,
    ) -> AsyncGenerator[StreamEvent, None]:
        sending = asyncio.create_task(
            self._client.send(self._request(task, body, access, ctx, streaming=streaming), stream=True)
        )
        try:
            if not told:
                waking = await self._waited_for(sending, access, ctx)
                if waking is not None:
                    told = True
                    yield Notice("waking", waking)
            response = await self._answered(sending)
            if response.status_code != 200:
                error = await self._failure(response, streaming=streaming)
                if not told and response.status_code in (503, 504):
                    waking = await self._waking(access, ctx)
                    if waking is not None:
                        yield Notice("waking", waking)
                if isinstance(error, PermissionDenied):
                    error = await self._with_whom_to_ask(error, access, ctx)
                raise error
            for notice in self._own_options.notices():
                yield notice
            async with aclosing(self._events(task, response)) as events:
                async for event in events:
                    yield event
        except self._httpx2.HTTPError as exc:
            raise error_from_exception(exc) from exc
        finally:
            await close_request(sending)

    def _request(
        self, task: Task, body: Mapping[str, Any], access: Access, ctx: CallContext, *, streaming: bool
    ) -> Any:
        headers = dict(access.headers)
        if task == "responses" and self.options.return_trace:
            headers["x-mlflow-return-trace-id"] = "true"  # how MLflow's own agent server is asked for it
        return self._client.build_request(
            "POST",
            f"{access.host}/serving-endpoints/{quote(self._endpoint_name, safe='')}/invocations",
            json={**body, "stream": True} if streaming else dict(body),
            headers=headers,
            timeout=self._httpx2.Timeout(None, connect=ctx.connect_timeout),
        )

    async def _answered(self, sending: asyncio.Task[Any]) -> Any:
        try:
            return await sending
        except self._httpx2.HTTPError as exc:
            raise error_before_answer(exc) from exc

    async def _events(self, task: Task, response: Any) -> AsyncGenerator[StreamEvent, None]:
        """Yield the events of an answer, streamed or whole, whatever its label says."""
        reader = StreamReader(task)
        pieces = response.aiter_bytes()
        async for piece in pieces:
            for event in reader.feed(piece):
                yield event
            if reader.done:
                await read_rest(pieces)
                break
        told = False
        for event in reader.end():
            if reader.whole and not told:
                told = True
                yield Notice("not_streamed", ENGLISH("notice.endpoint-whole", name=self._endpoint_name))
            yield event

    async def _waited_for(self, sending: asyncio.Task[Any], access: Access, ctx: CallContext) -> str | None:
        """Waits for the reply's headers; if they take long, looks whether the endpoint is waking up."""
        waited = self.options.waking_after
        await asyncio.wait({sending}, timeout=waited)
        if sending.done():
            return None
        looking = asyncio.create_task(self._waking(access, ctx, waited=waited))
        try:
            await asyncio.wait({sending, looking}, return_when=asyncio.FIRST_COMPLETED)
            return looking.result() if not sending.done() else None
        finally:
            looking.cancel()
            await asyncio.wait({looking})

    async def _waking(self, access: Access, ctx: CallContext, *, waited: float | None = None) -> str | None:
        """Return what to tell a person who waits for the endpoint, or None; a look that fails disturbs
        nothing.
        """
        try:
            return (await self._endpoint(access, ctx)).waking(waited=waited)
        except BackendError:
            return None

    async def _json(self, response: Any) -> Any:
        await response.aread()
        try:
            return response.json()
        except ValueError as exc:
            what = response.headers.get("content-type", "nothing that is JSON")
            raise BrokenStream(f"the endpoint {self._endpoint_name} answered with {what}") from exc

    async def _failure(self, response: Any, *, streaming: bool) -> BackendError:
        """Return the error of a reply. Raises _CannotStream if only the streaming was refused."""
        status = response.status_code
        if 300 <= status < 400:
            target = response.headers.get("location", "")
            if "private-link" in target:
                return PermissionDenied("the workspace is not open to this network", status=403)
            return ModelNotFound("the workspace redirected the call: the host is not its API", status=status)
        error = error_from_body(status, await error_body(response), retry_after(response.headers))
        if status == 403 and "invalid access token" in error.detail.lower():
            error = AuthenticationFailed(error.detail, status=status)  # a dead token is a 403 here
        if isinstance(error, AuthenticationFailed) and self._as_person:
            return SignInRejected(error.detail, status=status)
        whole = _NO_STREAM.search(error.detail) or refuses_stream(error.words)
        if streaming and status in (400, 422, 500, 501) and whole:
            raise _CannotStream
        return error

    # -- questions about the endpoint

    async def _with_whom_to_ask(self, error: BackendError, access: Access, ctx: CallContext) -> BackendError:
        try:
            creator = (await self._endpoint(access, ctx)).creator
        except BackendError:
            creator = None  # who may not query it may not be allowed to look at it either
        return refused_call(error, self._endpoint_name, creator)

    async def _endpoint(self, access: Access, ctx: CallContext) -> Endpoint:
        path = f"/api/2.0/serving-endpoints/{quote(self._endpoint_name, safe='')}"
        return Endpoint.of(self._endpoint_name, await self._get(path, access, ctx))

    async def _identity(self, access: Access, ctx: CallContext) -> str | None:
        try:
            me = await self._get("/api/2.0/preview/scim/v2/Me", access, ctx)
        except BackendError:
            return None  # the right to ask is not needed for a chat
        name = me.get("userName") or me.get("displayName") if isinstance(me, dict) else None
        return str(name) if name else None

    async def _get(self, path: str, access: Access, ctx: CallContext) -> Any:
        timeout = self._httpx2.Timeout(_LOOKUP_TIMEOUT, connect=min(ctx.connect_timeout, _LOOKUP_TIMEOUT))
        try:
            async with self._client.stream(
                "GET", f"{access.host}{path}", headers=access.headers, timeout=timeout
            ) as response:
                if response.status_code != 200:
                    raise await self._failure(response, streaming=False)
                return await self._json(response)
        except self._httpx2.HTTPError as exc:
            raise error_before_answer(exc) from exc


class _CannotStream(Exception):
    """The endpoint refused to stream; asked without, it answers."""
