"""`chatlab agent serve`: MLflow's AgentServer, on this machine or in Databricks Apps."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from contextvars import copy_context
from functools import partial
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatlab.agent.agent import Agent
from chatlab.agent.config import AgentConfig
from chatlab.agent.rights import rights_here
from chatlab.agent.shipping.log import mlflow_of
from chatlab.errors import BackendError, ChatlabError, UnsupportedContent
from chatlab.secret import scrub
from chatlab.sockets import CallSockets, in_thread, watch

_AT_ONCE = 100  # answers
_MOST = 32 * 2**20  # bytes of a request


def server_of(agent: Agent) -> Any:
    """Return the ASGI application: `/responses`, `/invocations`, `/health`.

    The agent answers in threads, so that one slow answer holds up no other. Each request has its own rights.
    """
    mlflow_of()
    import langchain_openai  # noqa: F401  # now, and not while the first one who asks waits
    from mlflow.genai.agent_server import AgentServer, invoke, stream
    from mlflow.types.responses import ResponsesAgentRequest

    from chatlab.agent.served import AgentOfResponses, model_of

    model_of(agent)  # switches tracing on
    model = AgentOfResponses(agent)

    watch()  # so that an answer that nobody waits for any more asks nothing more
    # Threads of its own: the loop's has six on a machine of two cores.
    threads, at_once = ThreadPoolExecutor(_AT_ONCE, "agent"), asyncio.Semaphore(_AT_ONCE)

    async def whole(request: ResponsesAgentRequest) -> Any:
        context = copy_context()
        asked = partial(context.run, model.predict, request)
        return await asyncio.get_running_loop().run_in_executor(threads, asked)

    async def streamed(request: ResponsesAgentRequest) -> AsyncIterator[Any]:
        events = in_thread(lambda: model.predict_stream(request), CallSockets(lambda: None))
        async with at_once, aclosing(events):
            async for event in events:
                yield event

    invoke()(whole)
    stream()(streamed)
    app = AgentServer("ResponsesAgent").app
    app.add_exception_handler(HTTPException, _told)
    return Checked(app, agent.config)


async def _told(_: Request, exc: Exception) -> Response:
    """Answer with the status of what went wrong, for which AgentServer has but 500."""
    assert isinstance(exc, HTTPException)
    error = exc.__context__
    status = _status(error) if isinstance(error, ChatlabError) else exc.status_code
    return JSONResponse({"detail": scrub(str(exc.detail))}, status)


def _status(error: ChatlabError) -> int:
    upstream = error.status if isinstance(error, BackendError) else None
    return upstream if upstream is not None and 400 <= upstream < 500 else error.http_status


class Checked:
    """The server, which answers what is no question of a known person before anything is asked."""

    def __init__(self, app: ASGIApp, config: AgentConfig) -> None:
        self._app, self._config = app, config
        whose = {config.model_as, *(config.whom_of(tool) for tool in config.tools)}
        self._as_person = "user" in whose

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what can be asked."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            if self._as_person:
                rights_here(self._config, dict(Headers(scope=scope))).token("user")
            body = await _question(Request(scope, receive))
        except ChatlabError as exc:
            await JSONResponse({"detail": scrub(str(exc))}, _status(exc))(scope, receive, send)
            return
        replayed = False

        async def again() -> Message:
            nonlocal replayed
            if replayed:
                return await receive()
            replayed = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, again, send)


async def _question(request: Request) -> bytes:
    """Return the body of a request. Raises UnsupportedContent where it is no JSON object of text."""
    pieces = bytearray()
    async for piece in request.stream():
        pieces += piece
        if len(pieces) > _MOST:
            raise UnsupportedContent(f"the request is longer than {_MOST // 2**20} MiB")
    body = bytes(pieces)
    try:
        asked = await asyncio.to_thread(json.loads, body)
        json.dumps(asked, ensure_ascii=False).encode()  # half of a character, which no model could be sent
    except (ValueError, RecursionError) as exc:
        raise UnsupportedContent("the request is no JSON of well-formed text") from exc
    if not isinstance(asked, dict) or not asked.get("input"):
        raise UnsupportedContent(
            "the request has no `input`: a JSON object with a list of messages is expected"
        )
    return body
