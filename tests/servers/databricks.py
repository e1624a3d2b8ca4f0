"""A workspace-shaped server on loopback: routes, credentials and bodies of Databricks, as far as attested.

It checks the credential of every request, as a workspace does, and records them all. Chat endpoints are fed
by the real llama.cpp; agents answer what a test scripts, in the shapes that MLflow's types and Databricks'
own clients have. docs/databricks.md says what of this only a real workspace can confirm.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

import httpx2
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from tests.servers.front import Front, Seen

Reply = Callable[[Request, Mapping[str, Any]], Awaitable[Response]]


@dataclass(eq=False)
class ServedEndpoint:
    """An endpoint of the workspace. `reply` answers an invocation that may be made."""

    name: str
    task: str | None
    reply: Reply
    ready: str = "READY"
    config_update: str = "NOT_UPDATING"
    message: str = ""
    scale_to_zero: bool = False
    allowed: frozenset[str] | None = None  # identities that may query it; everybody if None
    failures: list[Response] = field(default_factory=list)

    def body(self) -> dict[str, Any]:
        """What `GET /api/2.0/serving-endpoints/{name}` says."""
        found: dict[str, Any] = {
            "name": self.name,
            "creator": "someone@example.com",
            "creation_timestamp": 1666829055000,
            "last_updated_timestamp": 1666829055000,
            "state": {"ready": self.ready, "config_update": self.config_update},
            "config": {
                "served_entities": [
                    {
                        "name": f"{self.name}-1",
                        "entity_name": f"main.models.{self.name}",
                        "entity_version": "1",
                        "scale_to_zero_enabled": self.scale_to_zero,
                        "workload_size": "Small",
                        "state": {
                            "deployment": "DEPLOYMENT_READY",
                            "deployment_state_message": self.message,
                        },
                    }
                ],
                "config_version": 1,
            },
            "id": "0123456789abcdef0123456789abcdef",
            "permission_level": "CAN_QUERY",
        }
        if self.task is not None:
            found["task"] = self.task
        return found

    def fail(
        self,
        status: int,
        body: Mapping[str, Any] | str = "",
        headers: Mapping[str, str] | None = None,
        times: int = 1,
    ) -> None:
        """Answers the next invocations so."""
        content = body if isinstance(body, str) else json.dumps(body)
        media_type = "text/html" if isinstance(body, str) else "application/json"
        for _ in range(times):
            self.failures.append(Response(content, status, dict(headers or {}), media_type))


class Workspace:
    """The server. A context manager; give it llama.cpp's URL for chat endpoints."""

    def __init__(self, model_url: str | None = None, front: Front | None = None) -> None:
        self.model_url = model_url
        self.front = front or Front()
        self.people: dict[str, str] = {}  # token -> identity
        self.principals: dict[str, str] = {}  # client id -> secret
        self.issued: list[str] = []  # tokens given to service principals, the latest last
        self.lifetime = 3600
        self.delay = 0.0  # seconds before each piece of an answer
        self.rotate = False  # a new token makes the ones before it worthless
        self.endpoints: dict[str, ServedEndpoint] = {}
        self._issued: dict[str, tuple[str, float]] = {}  # token -> client id, end on the monotonic clock
        self.applications: dict[str, str] = {}  # where people sign in: client id -> secret
        self.visitor = "ann@example.com"  # who signs in, without being asked
        self.rotates_refresh: bool | None = True  # None: a renewal says nothing of the refresh token
        self.renewals = 0
        self.hold = 0.0  # seconds that a renewal takes
        self._codes: dict[str, tuple[Mapping[str, str], str]] = {}
        self._refresh: dict[str, str] = {}  # refresh token -> identity
        self._number = itertools.count(1)

    @property
    def url(self) -> str:
        """What a config gives as `host`."""
        return self.front.url

    def __enter__(self) -> Workspace:
        on = self.front.on
        on("GET", "/.well-known/databricks-config", self._discovery)
        on("GET", "/oidc/.well-known/oauth-authorization-server", self._oauth_metadata)
        on("GET", "/oidc/v1/authorize", self._authorize)
        on("POST", "/oidc/v1/token", self._token)
        on("GET", "/api/2.0/preview/scim/v2/Me", self._me)
        self.front.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.front.__exit__(*exc)

    # -- what a test says

    def person(self, identity: str) -> str:
        """A personal access token of this person."""
        token = f"dapi{next(self._number):032x}"
        self.people[token] = identity
        return token

    def application(self, client_id: str) -> str:
        """The secret of an application at which people sign in."""
        self.applications[client_id] = secret = f"dose{next(self._number):032x}"
        return secret

    def end_all(self) -> None:
        """Makes every token of every person worthless, refresh tokens too."""
        self._issued.clear()
        self._refresh.clear()

    def principal(self, client_id: str) -> str:
        """The secret of a service principal."""
        secret = f"dose{next(self._number):032x}"
        self.principals[client_id] = secret
        return secret

    def serve(self, name: str, task: str | None, reply: Reply | None = None, **state: Any) -> ServedEndpoint:
        """Adds an endpoint; without a reply of its own it is a chat model."""
        endpoint = ServedEndpoint(name, task, reply or self._chat, **state)
        self.endpoints[name] = endpoint

        async def look(request: Request) -> Response:
            return self._refused(request) or JSONResponse(endpoint.body())

        async def invoke(request: Request) -> Response:
            refused = self._refused(request, endpoint)
            if refused is not None:
                return refused
            if endpoint.failures:
                return endpoint.failures.pop(0)
            return await endpoint.reply(request, json.loads(await request.body()))

        self.front.on("GET", f"/api/2.0/serving-endpoints/{name}", look)
        self.front.on("POST", f"/serving-endpoints/{name}/invocations", invoke)
        return endpoint

    def identity_of(self, request: Request) -> str | None:
        """Who asks, as the workspace knows them."""
        return self._identity(request)

    def invocations(self, name: str) -> list[Seen]:
        """The requests that reached this endpoint."""
        path = f"/serving-endpoints/{name}/invocations"
        return [seen for seen in self.front.requests if seen.path == path]

    def paths(self) -> list[str]:
        """Where every request went, in order."""
        return [seen.path for seen in self.front.requests]

    # -- the workspace

    def _identity(self, request: Request) -> str | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return self.identity(token) if scheme == "Bearer" else None

    def identity(self, token: str) -> str | None:
        """Whose token it is, as the workspace knows them."""
        client_id, end = self._issued.get(token, ("", 0.0))
        return client_id if end > time.monotonic() else self.people.get(token)

    def _refused(self, request: Request, endpoint: ServedEndpoint | None = None) -> Response | None:
        identity = self._identity(request)
        if not request.headers.get("authorization"):
            return _error(401, "UNAUTHENTICATED", "Credential was not sent.")
        if identity is None:
            return _error(401, "UNAUTHENTICATED", "The token is not valid.")
        if endpoint is not None and endpoint.allowed is not None and identity not in endpoint.allowed:
            message = f"{identity} does not have the permission CAN_QUERY on {endpoint.name}."
            return _error(403, "PERMISSION_DENIED", message)
        return None

    async def _discovery(self, request: Request) -> Response:
        return JSONResponse(
            {
                "oidc_endpoint": f"{self.url}/oidc",
                "account_id": "00000000-0000-0000-0000-000000000001",
                "workspace_id": "1234567890",
            }
        )

    async def _oauth_metadata(self, request: Request) -> Response:
        return JSONResponse(
            {
                "authorization_endpoint": f"{self.url}/oidc/v1/authorize",
                "token_endpoint": f"{self.url}/oidc/v1/token",
            }
        )

    async def _token(self, request: Request) -> Response:
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        client_id, _, secret = base64.b64decode(encoded or "").decode().partition(":")
        form = {key: value[0] for key, value in parse_qs((await request.body()).decode()).items()}
        if form.get("grant_type") in ("authorization_code", "refresh_token"):
            return await self._persons_token(unquote(client_id), unquote(secret), form)
        if scheme != "Basic" or not secret or self.principals.get(client_id) != secret:
            return JSONResponse(
                {"error": "invalid_client", "error_description": "Client authentication failed"}, 401
            )
        if form.get("grant_type") != "client_credentials" or form.get("scope") != "all-apis":
            return JSONResponse({"error": "invalid_request", "error_description": json.dumps(form)}, 400)
        if self.rotate:
            self._issued.clear()
        number = next(self._number)
        claims = base64.urlsafe_b64encode(json.dumps({"sub": client_id, "jti": number}).encode())
        token = f"eyJhbGciOiJSUzI1NiJ9.{claims.decode().rstrip('=')}.signature{number:08d}"
        self.issued.append(token)
        self._issued[token] = (client_id, time.monotonic() + self.lifetime)
        return JSONResponse(
            {"access_token": token, "token_type": "Bearer", "expires_in": self.lifetime, "scope": "all-apis"}
        )

    async def _authorize(self, request: Request) -> Response:
        query = dict(request.query_params)
        assert query["client_id"] in self.applications and query["code_challenge_method"] == "S256"
        code = f"code-{next(self._number)}"
        self._codes[code] = (query, self.visitor)
        return RedirectResponse(f"{query['redirect_uri']}?code={code}&state={query['state']}", 302)

    async def _persons_token(self, client_id: str, secret: str, form: Mapping[str, str]) -> Response:
        if not secret or self.applications.get(client_id) != secret:
            return JSONResponse({"error": "invalid_client"}, 401)
        said: dict[str, Any] = {}
        if form["grant_type"] == "authorization_code":
            query, identity = self._codes.pop(form.get("code", ""), ({}, ""))
            digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            if query.get("code_challenge") != challenge or query["redirect_uri"] != form.get("redirect_uri"):
                return JSONResponse({"error": "invalid_grant"}, 400)
            scopes = query["scope"].split()
        else:
            self.renewals += 1
            await asyncio.sleep(self.hold)
            scopes = ["offline_access"] if self.rotates_refresh is not None else []
            known = self._refresh
            identity = (known.pop if self.rotates_refresh else known.get)(form["refresh_token"], "")
            if not identity:
                return JSONResponse({"error": "invalid_grant"}, 400)
        token = f"eyJhbGciOiJSUzI1NiJ9.{base64.urlsafe_b64encode(identity.encode()).decode().rstrip('=')}"
        said["access_token"] = token = f"{token}.of-a-person-{next(self._number):08d}"
        self._issued[token] = (identity, time.monotonic() + self.lifetime)
        if "offline_access" in scopes:
            said["refresh_token"] = f"refresh-{next(self._number):08d}"
            self._refresh[said["refresh_token"]] = identity
        return JSONResponse({**said, "token_type": "Bearer", "expires_in": self.lifetime})

    async def _me(self, request: Request) -> Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        identity = str(self._identity(request))
        number = hashlib.sha256(identity.encode()).hexdigest()[:12]
        return JSONResponse({"id": number, "userName": identity, "active": True})

    async def _chat(self, request: Request, body: Mapping[str, Any]) -> Response:
        """A chat model: llama.cpp. Databricks counts tokens in a stream without being asked."""
        asked = dict(body)
        if asked.get("stream"):
            asked["stream_options"] = {"include_usage": True}
        client = httpx2.AsyncClient(timeout=None, trust_env=False)
        upstream = client.build_request("POST", f"{self.model_url}/v1/chat/completions", json=asked)
        answer = await client.send(upstream, stream=True)

        async def pieces() -> AsyncIterator[bytes]:
            try:
                async for piece in answer.aiter_raw():
                    await asyncio.sleep(self.delay)
                    yield piece
            finally:
                await answer.aclose()
                await client.aclose()

        return StreamingResponse(
            pieces(), answer.status_code, media_type=answer.headers.get("content-type", "")
        )

    async def chat_agent(self, request: Request, body: Mapping[str, Any]) -> Response:
        """A ChatAgent that says what the chat model says: `mlflow.types.agent.ChatAgentChunk`."""
        message = f"msg-{next(self._number)}"

        async def chunks() -> AsyncIterator[dict[str, Any]]:
            async for text in self._texts(body["messages"]):
                yield {"id": "chatcmpl-1", "delta": {"role": "assistant", "content": text, "id": message}}

        return _events(chunks())

    async def responses_agent(self, request: Request, body: Mapping[str, Any]) -> Response:
        """A ResponsesAgent that says what the chat model says: `mlflow.types.responses`."""
        spoken = [{"role": item["role"], "content": item["content"]} for item in body["input"]]
        item = f"item-{next(self._number)}"

        async def chunks() -> AsyncIterator[dict[str, Any]]:
            said: list[str] = []
            async for text in self._texts(spoken):
                said.append(text)
                yield {"type": "response.output_text.delta", "item_id": item, "delta": text}
            content = [{"type": "output_text", "text": "".join(said), "annotations": []}]
            done = {"id": item, "type": "message", "role": "assistant", "content": content}
            yield {"type": "response.output_item.done", "item": done}

        return _events(chunks())

    async def old_chain(self, request: Request, body: Mapping[str, Any]) -> Response:
        """A chain of before the agent schemas: chat-like chunks without a finish reason."""

        async def chunks() -> AsyncIterator[dict[str, Any]]:
            async for text in self._texts(body["messages"]):
                yield {"choices": [{"index": 0, "delta": {"role": "assistant", "content": text}}]}

        return _events(chunks())

    async def _texts(self, messages: Sequence[Mapping[str, Any]]) -> AsyncIterator[str]:
        asked = {"messages": list(messages), "stream": True}
        async with (
            httpx2.AsyncClient(timeout=None, trust_env=False) as client,
            client.stream("POST", f"{self.model_url}/v1/chat/completions", json=asked) as answer,
        ):
            async for line in answer.aiter_lines():
                if line.startswith("data: {"):
                    for choice in json.loads(line[6:])["choices"]:
                        text = choice["delta"].get("content")
                        if text:
                            await asyncio.sleep(self.delay)
                            yield text


def _events(chunks: AsyncIterator[dict[str, Any]]) -> Response:
    async def pieces() -> AsyncIterator[str]:
        async with contextlib.aclosing(chunks):  # type: ignore[type-var]
            async for chunk in chunks:
                yield f"data: {json.dumps(chunk)}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(pieces(), media_type="text/event-stream")


def _error(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error_code": code, "message": message}, status)


def streams(chunks: Sequence[Mapping[str, Any] | str], *, done: bool = True) -> Reply:
    """Answers with these chunks, and with `[DONE]` if it is to end well. Text is sent as it is."""

    async def reply(request: Request, body: Mapping[str, Any]) -> Response:
        async def pieces() -> AsyncIterator[str]:
            for chunk in [*chunks, *(["[DONE]"] if done else [])]:
                yield f"data: {chunk if isinstance(chunk, str) else json.dumps(chunk)}\n\n"

        return StreamingResponse(pieces(), media_type="text/event-stream")

    return reply


def answers(body: Any) -> Reply:
    """Answers in one piece, stream or not."""

    async def reply(request: Request, _: Mapping[str, Any]) -> Response:
        return JSONResponse(body)

    return reply


def cannot_stream(body: Any, status: int = 400, refusal: Mapping[str, Any] | None = None) -> Reply:
    """Refuses a stream, and answers whole when asked without."""

    async def reply(request: Request, asked: Mapping[str, Any]) -> Response:
        if asked.get("stream"):
            said = {
                "error_code": "BAD_REQUEST",
                "message": "This model does not support predict_stream method.",
            }
            return JSONResponse(refusal or said, status)
        return JSONResponse(body)

    return reply


class Gate:
    """Holds an endpoint's reply back until it is opened, from any thread: an endpoint that wakes up."""

    def __init__(self, reply: Reply) -> None:
        self._inner = reply
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open: asyncio.Event | None = None
        self._opened = False

    async def __call__(self, request: Request, body: Mapping[str, Any]) -> Response:
        self._loop, self._open = asyncio.get_running_loop(), asyncio.Event()
        if not self._opened:
            await self._open.wait()
        return await self._inner(request, body)

    def open(self) -> None:
        """Lets the reply through."""
        self._opened = True
        if self._loop is not None and self._open is not None:
            self._loop.call_soon_threadsafe(self._open.set)
