"""One call of the kind `langchain`: what a Runnable or graph is given, and what comes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from backends.langchain.objects import Shape, chain_keys, is_chat_model, is_graph
from backends.langchain.options import LangChainOptions
from chatlab.backend import CallContext, ChatRequest
from chatlab.errors import BrokenStream
from chatlab.formats import to_langchain
from chatlab.messages import FilePart, Notice, StreamEvent


@dataclass(frozen=True, slots=True)
class Made:
    """A Runnable as it was made from a configuration's options, and how it is called.

    shape: what it takes. timed: whether its calls take a timeout, since its HTTP client is chatlab's.
    """

    options: LangChainOptions
    runnable: Any
    shape: Shape
    timed: bool


class Run:
    """One call of it."""

    def __init__(self, made: Made, request: ChatRequest, ctx: CallContext) -> None:
        from backends.langchain.events import MessageEvents, ModelEnds

        self._made = made
        self._runnable = made.runnable
        self._graph, self._chat = is_graph(made.runnable), is_chat_model(made.runnable)
        self._state: Mapping[str, Any] = {}
        self.begun = False
        self._thread = str(uuid4())
        self.notices: list[Notice] = []
        self._kwargs: dict[str, Any] = {}
        options = made.options
        configurable: dict[str, Any] = {"thread_id": self._thread, **options.configurable}
        self._config: dict[str, Any] = {
            "configurable": configurable,
            "recursion_limit": options.recursion_limit,
        }
        self._parameters(request.parameters, configurable)
        if made.timed:
            import httpx2

            self._kwargs["timeout"] = httpx2.Timeout(None, connect=ctx.connect_timeout)
        self._given: list[str] = []
        self._input = self._input_of(request)
        self._ends = None if self._chat or self._graph else ModelEnds()
        if self._ends is not None:
            self._config["callbacks"] = [self._ends]
        self._events = MessageEvents(self._given, accounts=self._ends is None)
        if self._graph:
            self._kwargs |= {"stream_mode": ["messages", "values"], "subgraphs": True}

    def sync(self) -> Iterator[Any]:
        found: Iterator[Any] = self._runnable.stream(self._input, self._config, **self._kwargs)
        return found

    def asynchronous(self) -> AsyncIterator[Any]:
        found: AsyncIterator[Any] = self._runnable.astream(self._input, self._config, **self._kwargs)
        return found

    def events_of(self, item: Any) -> Iterator[StreamEvent]:
        if not self._graph:
            self.begun = True
            yield from self._events.feed(item)
            return
        namespace, mode, data = item
        if mode == "messages":
            self.begun = True
            message, _ = data
            yield from self._events.feed(message)
        elif not namespace and isinstance(data, Mapping):
            self._state = data

    def end(self) -> Iterator[StreamEvent]:
        events = self._events
        if self._graph:
            if not events.answered:
                yield from events.feed(self._state)
            yield from events.sources(self._state)
            for interrupt in self._state.get("__interrupt__") or ():
                asked = getattr(interrupt, "value", interrupt)
                yield Notice("other", f"the graph stopped to ask: {asked}; say it in the next message")
                events.answered = True
        for message in self._ends.messages if self._ends is not None else ():
            events.model_ended(message)
        if not events.answered:
            raise BrokenStream("the object gave nothing that is text, a message, or a dict with an answer")
        yield from events.end()

    def forget(self) -> None:
        """Drop what an in-memory checkpointer stored of this run: nobody will come back to its thread."""
        checkpointer: Any = getattr(self._runnable, "checkpointer", None)
        if type(checkpointer).__name__ == "InMemorySaver":
            checkpointer.delete_thread(self._thread)

    def _parameters(self, parameters: Mapping[str, Any], configurable: dict[str, Any]) -> None:
        """Put each parameter where the Runnable looks for it."""
        if self._chat:
            self._kwargs |= parameters
            return
        schema = getattr(self._runnable, "context_schema", None)
        in_context = set(getattr(schema, "__annotations__", ())) | set(getattr(schema, "model_fields", ()))
        context: dict[str, Any] = {}
        specs = {spec.id for spec in self._runnable.config_specs}
        for name, value in parameters.items():
            if name in in_context:
                context[name] = value
            elif name in specs or name in self._made.options.accepts:
                configurable[name] = value
            else:
                self.notices.append(Notice("parameter_ignored", f"{name}: this object has no place for it"))
        if context and self._graph:
            self._kwargs["context"] = context

    def _input_of(self, request: ChatRequest) -> Any:
        shape = self._made.shape
        if shape in ("messages", "state"):
            messages = to_langchain(request.messages)
            if shape == "messages":
                return messages
            for message in messages:
                message.id = str(uuid4())
                self._given.append(message.id)
            return {"messages": messages}
        last = max((i for i, item in enumerate(request.messages) if item.role == "user"), default=None)
        said = request.messages[last] if last is not None else None
        text = said.text if said is not None else ""
        before = request.messages[:last] if last is not None else request.messages
        if said is not None and any(isinstance(part, FilePart) for part in said.parts):
            self.notices.append(Notice("file_dropped", "this object takes text only"))
        if shape == "chain":
            question, history = chain_keys(self._runnable)
            if history is not None:
                return {question: text, history: to_langchain(before)}
        if any(message.role == "system" for message in before):
            self.notices.append(Notice("other", "this object takes no system prompt"))
        if any(message.role != "system" for message in before):
            self.notices.append(Notice("history_truncated", "this object takes the last message only"))
        return text if shape == "text" else {question: text}
