"""One answer of an agent outside chatlab, step by step, for MLflow's two shapes of an agent."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import uuid4

import httpx2
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from chatlab.agent.rights import Rights
from chatlab.formats.approval import calls_in, decisions, question_of, requests_in
from chatlab.http import ssl_context

if TYPE_CHECKING:
    from chatlab.agent.agent import Agent, AgentOfCall


@dataclass(frozen=True, slots=True)
class Piece:
    """More text of a message that is still arriving. Never cumulative."""

    message: str
    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """A whole message of the model. sources: what the tools before it found, where it is the last one."""

    id: str
    text: str
    calls: tuple[Mapping[str, Any], ...] = ()
    sources: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class ToolOutput:
    """The result of a call of a tool."""

    id: str
    call: str
    name: str
    text: str
    is_error: bool


Step: TypeAlias = Piece | Said | ToolOutput


@dataclass(slots=True)
class Answering:
    """One answer. `outputs` is what is told beside it; complete once its steps are at their end."""

    agent: Agent
    rights: Rights
    given: Sequence[BaseMessage]
    passed: Mapping[str, Any] = field(default_factory=dict)
    ran: dict[str, str] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    _sources: list[Document] = field(default_factory=list)
    _streamed: dict[str, str] = field(default_factory=dict)

    @property
    def outputs(self) -> dict[str, Any]:
        """Return as whom each tool ran, and which were left out and why."""
        return {"ran_as": dict(self.ran), "left_out": list(self.skipped)}

    def steps(self) -> Iterator[Step]:
        """Yield the steps. Raises ChatlabError, and what the model's client raises."""
        with httpx2.Client(verify=ssl_context(), timeout=httpx2.Timeout(300, connect=10)) as http:
            made = self.agent.make(self.rights, checkpointer=InMemorySaver(), http_client=http)
            self.skipped = made.toolset.skipped
            thread = {"configurable": {"thread_id": "1", **self.passed}, **made.config}
            with closing(self._run(made, thread)) as items:
                for inside, mode, data in items:  # inside: the graph within the graph that says it
                    if mode == "messages":
                        yield from self._piece(data[0])
                    elif not inside:
                        for name, update in data.items():
                            yield from self._update(name, update, made)

    def _run(self, made: AgentOfCall, thread: dict[str, Any]) -> Generator[tuple[Any, str, Any], None, None]:
        how = {"stream_mode": ["messages", "updates"], "subgraphs": True}
        waiting = _waiting(self.given)
        if waiting is None:
            yield from made.graph.stream({"messages": list(self.given)}, thread, **how)
            return
        # The calls that the person was asked about: the graph is brought to where it stopped.
        asked, reply = waiting
        made.graph.update_state(thread, {"messages": asked}, as_node="agent")
        made.graph.invoke(None, thread)
        interrupts = made.graph.get_state(thread).interrupts
        requests = requests_in(interrupts[0].value) if interrupts else ()
        resume = Command(resume=decisions(requests, reply)) if requests else None
        yield from made.graph.stream(resume, thread, **how)

    def _piece(self, message: Any) -> Iterator[Step]:
        if isinstance(message, AIMessageChunk) and message.text:
            yield Piece(self._id(message), message.text)

    def _id(self, message: BaseMessage) -> str:
        """Return an id for a message, the same for its chunks."""
        return self._streamed.setdefault(message.id or "", f"msg_{uuid4().hex}")

    def _update(self, name: str, update: Any, made: AgentOfCall) -> Iterator[Step]:
        if name == "__interrupt__":
            questions = [question_of(one) for item in update for one in requests_in(item.value)]
            yield Said(f"msg_{uuid4().hex}", "\n".join(questions))
            return
        for message in (update or {}).get("messages", ()):
            if isinstance(message, ToolMessage):
                yield self._result(message, made)
            elif isinstance(message, AIMessage):
                last = not message.tool_calls
                sources = tuple(_source(one) for one in self._sources) if last else ()
                yield Said(self._id(message), message.text, tuple(message.tool_calls), sources)

    def _result(self, message: ToolMessage, made: AgentOfCall) -> ToolOutput:
        name = str(message.name)
        if name in made.toolset.whom and not message.additional_kwargs.get("refused"):
            self.ran[name] = made.toolset.whom[name]
        if isinstance(message.artifact, list):
            self._sources += [one for one in message.artifact if isinstance(one, Document)]
        return ToolOutput(
            message.id or f"result_{uuid4().hex}",
            message.tool_call_id,
            name,
            message.text,
            message.status == "error",
        )


def _waiting(given: Sequence[BaseMessage]) -> tuple[list[BaseMessage], str] | None:
    """Return the messages up to the one whose calls have no results yet, and what the person says to them.

    Where that message was not handed on, as a call without a result is not by every client, the question is
    what is left of it.
    """
    if not given or not isinstance(given[-1], HumanMessage):
        return None
    answered = {one.tool_call_id for one in given if isinstance(one, ToolMessage)}
    said = given[-1].text
    for place in range(len(given) - 2, -1, -1):
        message = given[place]
        if not isinstance(message, AIMessage):
            return None
        if message.tool_calls:
            open_ = all(call["id"] not in answered for call in message.tool_calls)
            return (list(given[: place + 1]), said) if open_ else None
        before = given[place - 1] if place else None
        calls = calls_in(message.text)
        if calls and not (isinstance(before, AIMessage) and before.tool_calls):
            made = [{**call, "id": f"call_{uuid4().hex}"} for call in calls]
            return [*given[:place], AIMessage("", tool_calls=made)], said
    return None


def _source(document: Document) -> dict[str, Any]:
    return {
        "title": str(document.metadata.get("title") or document.metadata.get("source") or "source"),
        "url": document.metadata.get("url"),
        "text": document.page_content[:500],
    }
