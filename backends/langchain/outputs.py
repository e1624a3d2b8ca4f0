"""Reads what a chain or a graph gives beside messages: structured values, its state, what its nodes write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from langchain_core.output_parsers import (
    BaseCumulativeTransformOutputParser,
    BaseOutputParser,
    BaseTransformOutputParser,
)
from langchain_core.runnables import RunnableSequence
from langchain_core.runnables.utils import AddableDict
from pydantic import BaseModel

from backends.langchain import interrupts
from backends.langchain.content import as_json, as_message
from backends.langchain.events import MessageEvents
from backends.langchain.objects import is_entrypoint, unbound
from chatlab.messages import Notice, ReasoningDelta, StreamEvent

# Where chains put their answer and their sources.
_ANSWERS = ("answer", "output", "output_text", "result", "response", "text", "content", "generation")
_SOURCES = ("context", "documents", "source_documents", "sources", "docs")
_RAW = {"raw", "parsed", "parsing_error"}  # of with_structured_output(include_raw=True)
# What nodes name the pieces of an answer that they stream themselves, as LangGraph's documentation does.
_PIECES = ("custom_llm_chunk", "llm_chunk", "chunk", "token", "delta")
_NOTHING = object()


class Output:
    """The items of one run's stream, but for the messages of a graph's nodes."""

    def __init__(self, runnable: Any, events: MessageEvents, read: str = "") -> None:
        """read: the answer before this one, whose questions are asked again in the same order."""
        self.read = read
        self._events = events
        self._snapshots = _gives_snapshots(runnable)
        self._entrypoint = is_entrypoint(runnable)
        self._resumes = bool(getattr(unbound(runnable), "checkpointer", None))
        self._value: Any = _NOTHING
        self._first: Mapping[str, Any] | None = None
        self._state: Any = _NOTHING
        self._asked: list[Any] = []  # parallel nodes ask one after the other
        self._listed: list[Any] = []  # the messages of the state so far
        self.given: list[str] = []

    # -- a Runnable that is no graph

    def item(self, item: Any) -> Iterator[StreamEvent]:
        """Yield the events of an item of a Runnable's stream."""
        if self._snapshots:
            self._keep(item)
        elif isinstance(item, Mapping):
            yield from self._mapping(item)
        elif _is_structured(item):
            self._keep(item)
        else:
            yield from self._events.feed(item)

    def _keep(self, item: Any) -> None:
        """Keep a structured value until the end: each one is the whole so far, but lists may be pieces."""
        pieces = isinstance(item, list) and isinstance(self._value, list) and not self._snapshots
        self._value = [*self._value, *item] if pieces else item

    def _mapping(self, item: Mapping[str, Any]) -> Iterator[StreamEvent]:
        key = next((key for key in _ANSWERS if isinstance(item.get(key), str | BaseMessage)), None)
        messages = item.get("messages")
        if item.keys() and item.keys() <= _RAW:
            if item.get("parsed") is not None:
                self._value = item["parsed"]
        elif key is not None:
            yield from self._events.feed(item[key])
        elif isinstance(messages, list | tuple):
            yield from self._events.feed(messages)
        elif isinstance(item, AddableDict) and isinstance(self._value, AddableDict):
            self._value = self._value + item
        else:
            self._value = item
        yield from self._sources(item)

    # -- a graph

    def state(self, data: Any) -> Iterator[StreamEvent]:
        """Yield what is new in the state of a graph after a step; the first one is its input."""
        self._state = data
        if isinstance(data, Mapping):
            for asked in data.get("__interrupt__") or ():
                if asked not in self._asked:
                    self._asked.append(asked)
        if self._entrypoint:
            return
        messages = data.get("messages") if isinstance(data, Mapping) else data
        messages = messages if isinstance(messages, list | tuple) else ()
        if self._first is None:
            self._first = data if isinstance(data, Mapping) else {}
            self._listed = list(messages)
            self._events.known(getattr(message, "id", None) for message in messages)
            return
        before, self._listed = self._listed, list(messages)
        # Without LangGraph's reducer a node's messages may stand in the place of all others.
        more = self._listed[: len(before)] == before
        new = self._listed[len(before) :] if more else [one for one in messages if one not in before]
        for message in messages:
            if isinstance(message, BaseMessage):
                yield from self._events.whole(message)
        yield from self._events.feed([one for one in new if not isinstance(one, BaseMessage)])

    def custom(self, data: Any) -> Iterator[StreamEvent]:
        """Yield what a node wrote with LangGraph's stream writer: pieces of the answer, or how far it is."""
        piece = (
            next((data[key] for key in _PIECES if key in data), None) if isinstance(data, Mapping) else data
        )
        if isinstance(data, Mapping) and data.keys() == {"notice"} and isinstance(data["notice"], str):
            yield Notice("other", data["notice"])
        elif isinstance(piece, BaseMessage) or (
            isinstance(data, Mapping) and len(data) == 1 and isinstance(piece, str)
        ):
            yield from self._events.feed(piece)
        elif isinstance(data, str):
            yield ReasoningDelta(f"{data}\n")
        else:
            shown = data
            if isinstance(data, Mapping) and len(data) == 1 and isinstance(next(iter(data.values())), str):
                shown = next(iter(data.values()))
            yield ReasoningDelta(f"{shown if isinstance(shown, str) else as_json(shown)}\n")

    # -- the end

    def end(self) -> Iterator[StreamEvent]:
        """Yield what only the end tells: a structured answer, the state's, and what the graph asks."""
        yield from self._events.settle()
        if self._state is not _NOTHING:
            yield from self._end_of_graph(self._state)
        elif not self._events.answered and _is_answer(self._value):
            yield from self._events.feed(_as_text(self._value))

    def _end_of_graph(self, state: Any) -> Iterator[StreamEvent]:
        events = self._events
        if not events.spoke and not self._asked:
            yield from self._answer_of(state)
        elif not self._asked and isinstance(state, Mapping):
            # Words on the way, such as those beside a call of a tool, are not the answer of an agent that has
            # a structured one.
            structured = state.get("structured_response")
            told = structured if isinstance(structured, str) else as_json(structured)
            if structured is not None and not events.has_said(told):
                yield from events.say(told)
        if isinstance(state, Mapping):
            yield from self._sources(state)
        for interrupt in interrupts.in_order(self._asked, self.read):
            value = getattr(interrupt, "value", interrupt)
            yield from events.say(interrupts.question(value))
            how = "say it in the next message" if self._resumes else "without a checkpointer it cannot go on"
            yield Notice("other", f"the graph stopped to ask: {interrupts.in_short(value)}; {how}")

    def _answer_of(self, state: Any) -> Iterator[StreamEvent]:
        """Yield the answer that a state holds, where no message was one."""
        events = self._events
        if not isinstance(state, Mapping):
            if _is_structured(state):
                yield from events.feed(_as_text(state))
            else:
                yield from events.feed(state)
            return
        structured = state.get("structured_response")
        if structured is not None:
            yield from events.feed(_as_text(structured))
            return
        before = self._first or {}
        changed = {
            key: value
            for key, value in state.items()
            if key not in ("messages", "__interrupt__", *_SOURCES) and value is not None
            if key not in before or before[key] != value
        }
        answer = next(
            (changed[key] for key in _ANSWERS if isinstance(changed.get(key), str | BaseMessage)), None
        )
        if answer is not None:
            yield from events.feed(answer)
        elif not events.answered and changed:
            texts = [value for value in changed.values() if isinstance(value, str)]
            whole = texts[0] if len(changed) == len(texts) == 1 else as_json(changed)
            if not self._entrypoint:
                names = ", ".join(changed)
                yield Notice(
                    "other", f"the graph has no messages and no answer: shown is what it wrote, {names}"
                )
            yield from events.feed(whole)

    def _sources(self, found: Mapping[str, Any]) -> Iterator[StreamEvent]:
        for key in _SOURCES:
            listed = found.get(key)
            for item in listed if isinstance(listed, list | tuple) else ():
                if isinstance(item, Document):
                    yield from self._events.feed(item)


def _gives_snapshots(runnable: Any) -> bool:
    """Return whether a chain ends in a parser that gives the whole value so far each time."""
    last = unbound(runnable)
    if isinstance(last, RunnableSequence):
        last = unbound(last.last)
    if isinstance(last, BaseTransformOutputParser):
        return isinstance(last, BaseCumulativeTransformOutputParser)
    return isinstance(last, BaseOutputParser)


def _is_structured(item: Any) -> bool:
    if isinstance(item, list | tuple):
        return bool(item) and not any(isinstance(one, Document) or as_message(one) for one in item)
    if isinstance(item, int | float) or (is_dataclass(item) and not isinstance(item, type)):
        return True
    return isinstance(item, BaseModel | Mapping) and not isinstance(item, BaseMessage | Document)


def _is_answer(value: Any) -> bool:
    return value is not _NOTHING and value is not None and value != {} and value != ""


def _as_text(value: Any) -> Any:
    return value if isinstance(value, str | BaseMessage) else as_json(value)
