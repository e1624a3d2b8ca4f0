"""An agent as MLflow loads and serves it: as a ResponsesAgent, or as the ChatAgent of before."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Iterator, Mapping
from typing import Any

import mlflow  # noqa: TID253  # this module is imported by MLflow's own processes alone
from langchain_core.messages import BaseMessage, convert_to_messages
from mlflow.pyfunc import ChatAgent, ResponsesAgent  # noqa: TID253
from mlflow.types.agent import (  # noqa: TID253
    ChatAgentChunk,
    ChatAgentMessage,
    ChatAgentResponse,
    ChatContext,
)
from mlflow.types.responses import (  # noqa: TID253
    ResponsesAgentRequest,
    ResponsesAgentResponse,
    ResponsesAgentStreamEvent,
)

from chatlab.agent.agent import Agent
from chatlab.agent.rights import Rights, rights_here
from chatlab.agent.steps import Answering, Piece, Said, Step, ToolOutput
from chatlab.errors import UnsupportedContent


def model_of(agent: Agent) -> Any:
    """Return the agent in the shape that its file names, with MLflow's tracing on."""
    mlflow.langchain.autolog()
    if not agent.config.trace_content:
        mlflow.tracing.configure(span_processors=[_without_content])
    return AgentOfResponses(agent) if agent.config.shape == "responses" else AgentOfChat(agent)


def set_model(agent: Agent) -> None:
    """Give MLflow the model of a module that it runs ("models from code")."""
    mlflow.models.set_model(model_of(agent))


class AgentOfResponses(ResponsesAgent):  # type: ignore[misc]
    """The shape that Databricks recommends."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent

    def predict(self, request: ResponsesAgentRequest) -> ResponsesAgentResponse:
        """Return the whole answer: the items that the stream is made of."""
        answering = self._answering(request)
        items = [item for step in answering.steps() for item in _items(step)]
        return ResponsesAgentResponse(output=items, custom_outputs=answering.outputs)

    def predict_stream(
        self, request: ResponsesAgentRequest
    ) -> Generator[ResponsesAgentStreamEvent, None, None]:
        """Yield the answer as deltas, and each item once it is whole."""
        answering = self._answering(request)
        for step in answering.steps():
            if isinstance(step, Piece):
                yield ResponsesAgentStreamEvent(**self.create_text_delta(step.text, step.message))
            for item in _items(step):
                yield _done(item, answering)

    def _answering(self, request: ResponsesAgentRequest) -> Answering:
        try:
            given = self.prep_msgs_for_cc_llm([item.model_dump() for item in request.input])
            said = _messages(given)
        except (KeyError, TypeError, ValueError) as exc:
            raise UnsupportedContent(
                "this agent takes text, and calls of tools with their results: the request has something else"
            ) from exc
        return Answering(
            self.agent, _rights(self.agent), said, _passed(request.context, request.custom_inputs)
        )


def _done(item: Mapping[str, Any], answering: Answering) -> ResponsesAgentStreamEvent:
    return ResponsesAgentStreamEvent(
        type="response.output_item.done", item=dict(item), custom_outputs=answering.outputs
    )


def _items(step: Step) -> Iterator[dict[str, Any]]:
    """Yield the items of the Responses protocol that a step is."""
    make = ResponsesAgent
    if isinstance(step, Said):
        if step.text or not step.calls:
            notes = [
                {"type": "url_citation", "url": one["url"], "title": one["title"]}
                for one in step.sources
                if one["url"]
            ]
            yield make.create_text_output_item(step.text, step.id, notes)
        for call in step.calls:
            arguments = json.dumps(call["args"], ensure_ascii=False)
            yield make.create_function_call_item(f"fc_{call['id']}", str(call["id"]), call["name"], arguments)
    elif isinstance(step, ToolOutput):
        yield make.create_function_call_output_item(step.call, step.text)


class AgentOfChat(ChatAgent):  # type: ignore[misc]
    """The shape of the agent notebooks of before."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent

    def predict(
        self,
        messages: list[ChatAgentMessage],
        context: ChatContext | None = None,
        custom_inputs: dict[str, Any] | None = None,
    ) -> ChatAgentResponse:
        """Return the whole answer, one message a step."""
        answering = self._answering(messages, context, custom_inputs)
        found = [_chat_message(step) for step in answering.steps() if not isinstance(step, Piece)]
        return ChatAgentResponse(messages=found, custom_outputs=answering.outputs)

    def predict_stream(
        self,
        messages: list[ChatAgentMessage],
        context: ChatContext | None = None,
        custom_inputs: dict[str, Any] | None = None,
    ) -> Generator[ChatAgentChunk, None, None]:
        """Yield the answer as deltas; a message whose text has been streamed is not repeated."""
        answering = self._answering(messages, context, custom_inputs)
        streamed: set[str] = set()
        for step in answering.steps():
            if isinstance(step, Piece):
                streamed.add(step.message)
                delta = ChatAgentMessage(role="assistant", content=step.text, id=step.message)
            else:
                delta = _chat_message(step, text=not (isinstance(step, Said) and step.id in streamed))
            yield ChatAgentChunk(delta=delta, custom_outputs=answering.outputs)

    def _answering(
        self, messages: list[ChatAgentMessage], context: Any, custom_inputs: dict[str, Any] | None
    ) -> Answering:
        given = self._convert_messages_to_dict(messages)
        return Answering(self.agent, _rights(self.agent), _messages(given), _passed(context, custom_inputs))


def _chat_message(step: Said | ToolOutput, *, text: bool = True) -> ChatAgentMessage:
    if isinstance(step, ToolOutput):
        return ChatAgentMessage(
            role="tool", content=step.text, name=step.name, tool_call_id=step.call, id=step.id
        )
    calls = [
        {
            "id": call["id"],
            "type": "function",
            "function": {"name": call["name"], "arguments": json.dumps(call["args"], ensure_ascii=False)},
        }
        for call in step.calls
    ]
    sources = {"sources": json.dumps(step.sources, ensure_ascii=False)} if step.sources else None
    return ChatAgentMessage(
        role="assistant",
        content=step.text if text else "",
        id=step.id,
        tool_calls=calls or None,
        attachments=sources,
    )


def _rights(agent: Agent) -> Rights:
    """Return the rights of the request that is being answered: under MLflow's AgentServer, of its headers."""
    server = sys.modules.get("mlflow.genai.agent_server")
    return rights_here(agent.config, server.get_request_headers() if server is not None else None)


def _messages(given: list[dict[str, Any]]) -> list[BaseMessage]:
    return convert_to_messages([{**one, "content": one.get("content") or ""} for one in given])


def _passed(context: Any, custom_inputs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what a graph finds in `configurable`: the context of the request, and its custom inputs."""
    said = context.model_dump(exclude_none=True) if context is not None else {}
    return {"context": said, "custom_inputs": dict(custom_inputs or {})}


_SAYS = ("mlflow.spanInputs", "mlflow.spanOutputs", "mlflow.chat.messages", "mlflow.chat.tools")


def _without_content(span: Any) -> None:
    """Take out of a span what was said, found and answered. Names, times, counts and errors stay."""
    span.set_inputs("not recorded")
    span.set_outputs("not recorded")
    for name in list(span.attributes):
        if name in _SAYS[2:]:
            span.set_attribute(name, "not recorded")
