"""`chatlab agent serve`: MLflow's AgentServer, on this machine or in Databricks Apps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextvars import copy_context
from typing import Any

from chatlab.agent.agent import Agent
from chatlab.agent.shipping.log import mlflow_of


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

    async def whole(request: ResponsesAgentRequest) -> Any:
        return await asyncio.to_thread(model.predict, request)

    async def streamed(request: ResponsesAgentRequest) -> AsyncIterator[Any]:
        async for event in _in_thread(model.predict_stream(request)):
            yield event

    invoke()(whole)
    stream()(streamed)
    return AgentServer("ResponsesAgent").app


async def _in_thread(items: Iterator[Any]) -> AsyncIterator[Any]:
    """Yield the items of an iterator that blocks, each taken in a thread but all in one context."""
    loop, context, end = asyncio.get_running_loop(), copy_context(), object()
    try:
        while True:
            item = await loop.run_in_executor(None, lambda: context.run(next, items, end))
            if item is end:
                return
            yield item
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            await loop.run_in_executor(None, lambda: context.run(close))
