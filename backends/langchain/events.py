"""LangChain's messages, chunks of messages and chain outputs as chatlab's events."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from backends.langchain.content import content_events, tool_text
from chatlab.errors import BrokenStream, Unavailable
from chatlab.messages import (
    Citation,
    Finish,
    FinishReason,
    Notice,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
)

# What providers call it, first the key, then the value.
_REASON_KEYS = ("finish_reason", "stop_reason", "done_reason", "stopReason")
_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "complete": "stop",
    "completed": "stop",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "incomplete": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "refusal": "content_filter",
    "safety": "content_filter",
}
# Providers whose streams always say how they ended, so that one which does not was cut off.
_SAYS_ITS_END = ("openai", "azure", "anthropic")

_CUT_OFF = "the model's stream ended without saying that it ended"

# Where chains put their answer and their sources.
_ANSWERS = ("answer", "output", "output_text", "result", "response", "text", "content", "generation")
_SOURCES = ("context", "documents", "source_documents", "sources", "docs")


class MessageEvents:
    """Turns what one call of a Runnable or graph streams into events, and keeps account for its Finish."""

    def __init__(self, given: Iterable[str], *, accounts: bool = True) -> None:
        """given: the ids of the messages that were sent, which some graphs send back.

        accounts: whether usage and ends are taken from the messages that are fed; otherwise they are told by
        `model_ended`.
        """
        self._accounts = accounts
        self._open: dict[str | None, _Streaming] = {}  # parallel nodes stream at the same time
        self._whole: set[str] = set(given)  # ids of messages that need no second look
        self._texts: set[str] = set()  # what was streamed
        self._calls: set[str] = set()
        self._sources: set[tuple[str, str | None]] = set()
        self._usage = Usage()
        self._reason: FinishReason | None = None
        self._model: str | None = None
        self._hollow = False  # a message began that showed nothing and did not end
        self._ended = False  # a message ended
        self._pieces = 0
        self._from_chunks = False
        self.answered = False
        """Whether anything came that is an answer, be it an empty one."""

    def feed(self, item: Any) -> Iterator[StreamEvent]:
        """Yield the events of one item of a stream: text, a message or a chunk of one, or a chain's dict."""
        if isinstance(item, str):
            yield from self._text(item)
        elif isinstance(item, AIMessageChunk):
            yield from self._chunk(item)
        elif isinstance(item, AIMessage):
            yield from self._message(item)
        elif isinstance(item, ToolMessage):
            yield from self._tool_message(item)
        elif isinstance(item, Mapping):
            yield from self._mapping(item)
        elif isinstance(item, list | tuple):
            for each in item:
                if isinstance(each, BaseMessage | Document):
                    yield from self.feed(each)
        elif isinstance(item, Document):
            yield from self._source(item)

    def sources(self, state: Mapping[str, Any]) -> Iterator[StreamEvent]:
        """Yield citations of the documents in a state or a chain's output."""
        for key in _SOURCES:
            found = state.get(key)
            for item in found if isinstance(found, list | tuple) else ():
                if isinstance(item, Document):
                    yield from self._source(item)

    def model_ended(self, message: AIMessage) -> None:
        """Note how a model within a chain ended. Raises BrokenStream if it was cut off."""
        if message.usage_metadata:
            self._usage = _added(self._usage, message.usage_metadata)
        self._note(message.response_metadata)

    def end(self) -> Iterator[StreamEvent]:
        """Yield what is still open, and the Finish. Raises BrokenStream if a model was cut off."""
        for message in list(self._open.values()):
            yield from self._close(message)
        if self._hollow and not self._ended:
            raise BrokenStream(_CUT_OFF)
        if self._pieces == 1 and not self._from_chunks:
            yield Notice("not_streamed", "the answer came in one piece")
        yield Finish(self._reason or "stop", self._usage, self._model)

    def _text(self, text: str) -> Iterator[StreamEvent]:
        self.answered = True
        if text:
            self._pieces += 1
            yield TextDelta(text)

    def _chunk(self, chunk: AIMessageChunk) -> Iterator[StreamEvent]:
        self.answered = True
        message = self._open.get(chunk.id)
        if message is None:
            message = self._open[chunk.id] = _Streaming(chunk.id)
        for event in content_events(chunk):
            message.shown = True
            if isinstance(event, TextDelta):
                self._pieces += 1
                self._from_chunks = True
                message.text.append(event.text)
            yield event
        for piece in chunk.tool_call_chunks:
            # A call is whole once the next one starts: providers send them one after the other.
            if message.starts_another(piece):
                yield from self._calls_of(message)
            message.add(piece)
            message.shown = True
        if chunk.usage_metadata and self._accounts:
            self._usage = _added(self._usage, chunk.usage_metadata)
        if chunk.response_metadata:
            message.metadata.update(chunk.response_metadata)
        if chunk.chunk_position == "last":
            yield from self._close(message)

    def _close(self, message: _Streaming) -> Iterator[StreamEvent]:
        """Yield the end of a message that was streaming."""
        del self._open[message.id]
        yield from self._calls_of(message)
        if message.id is not None:
            self._whole.add(message.id)
        self._texts.add("".join(message.text))
        if not self._accounts:
            return
        if message.shown or _reason(message.metadata) is not None:
            self._note(message.metadata)
        else:
            # The Responses API's first chunk has an id of its own. Unless no other message comes, that is.
            self._hollow = self._hollow or message.metadata.get("model_provider") in _SAYS_ITS_END

    def _calls_of(self, message: _Streaming) -> Iterator[StreamEvent]:
        for call in message.take():
            yield from self._call(call.id, call.name, "".join(call.arguments) or "{}")

    def _call(self, identity: str | None, name: str, arguments: str) -> Iterator[StreamEvent]:
        identity = identity or f"call_{len(self._calls) + 1}"
        if identity not in self._calls:
            self._calls.add(identity)
            yield ToolCall(identity, name, arguments)

    def _message(self, message: AIMessage) -> Iterator[StreamEvent]:
        if not self._new(message):
            return
        if not (message.text and message.text in self._texts):
            # Otherwise a node made a new message of what its model had streamed.
            for event in content_events(message):
                if isinstance(event, TextDelta):
                    self._pieces += 1
                yield event
            if message.usage_metadata and self._accounts:
                self._usage = _added(self._usage, message.usage_metadata)
        for call in message.tool_calls:
            yield from self._call(call["id"], call["name"], json.dumps(call["args"], ensure_ascii=False))
        if self._accounts:
            self._note(message.response_metadata, "tool_calls" if message.tool_calls else None)

    def _tool_message(self, message: ToolMessage) -> Iterator[StreamEvent]:
        if not self._new(message):
            return
        for streaming in list(self._open.values()):
            if streaming.calls(message.tool_call_id):
                yield from self._calls_of(streaming)
        self._reason = None  # the call was answered, so the turn does not end with it
        failed = message.status == "error"
        yield ToolResult(message.tool_call_id, tool_text(message.content), message.name, failed)
        yield from self.feed(message.artifact)  # a retriever tool's documents

    def _new(self, message: BaseMessage) -> bool:
        """Return whether this message was neither sent nor seen before."""
        self.answered = True
        if message.id is not None:
            if message.id in self._whole:
                return False
            self._whole.add(message.id)
        return True

    def _mapping(self, item: Mapping[str, Any]) -> Iterator[StreamEvent]:
        for key in _ANSWERS:
            if isinstance(item.get(key), str | BaseMessage):
                yield from self.feed(item[key])
                break
        else:
            messages = item.get("messages")
            if isinstance(messages, list | tuple):
                yield from self.feed(messages)
        yield from self.sources(item)

    def _source(self, document: Document) -> Iterator[StreamEvent]:
        data = document.metadata
        place = next((str(data[key]) for key in ("url", "source", "file_path") if data.get(key)), None)
        title = str(data.get("title") or place or document.id or "source")
        url = place if place and place.startswith(("http://", "https://")) else None
        snippet = document.page_content[:500] or None
        if (title, snippet) not in self._sources:
            self._sources.add((title, snippet))
            yield Citation(title, url, snippet)

    def _note(self, metadata: Mapping[str, Any], otherwise: FinishReason | None = None) -> None:
        """Take the reason and the model of a message that has ended; the last one's are the answer's."""
        model = metadata.get("model_name") or metadata.get("model") or metadata.get("model_id")
        if isinstance(model, str):
            self._model = model
        self._reason = _reason(metadata) or otherwise
        if self._reason is None and metadata.get("model_provider") in _SAYS_ITS_END:
            raise BrokenStream(_CUT_OFF)
        self._ended = True


class ModelEnds(BaseCallbackHandler):
    """Hears of the models within a chain, whose parsers keep the usage and the end to themselves."""

    run_inline = True

    def __init__(self) -> None:
        self.messages: list[AIMessage] = []

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        for generations in response.generations:
            for generation in generations[:1]:
                if isinstance(generation, ChatGeneration) and isinstance(generation.message, AIMessage):
                    self.messages.append(generation.message)


class _Streaming:
    """A message that is still arriving."""

    __slots__ = ("_calls", "_index", "id", "metadata", "shown", "text")

    def __init__(self, identity: str | None) -> None:
        self.id = identity
        self.shown = False
        self.text: list[str] = []
        self.metadata: dict[str, Any] = {}
        self._calls: dict[Any, _Call] = {}
        self._index: Any = None

    def starts_another(self, piece: Mapping[str, Any]) -> bool:
        return bool(self._calls) and self._key(piece) not in self._calls

    def add(self, piece: Mapping[str, Any]) -> None:
        key = self._key(piece)
        call = self._calls.setdefault(key, _Call())
        self._index = key
        call.id = call.id or piece.get("id")
        call.name += piece.get("name") or ""
        call.arguments.append(piece.get("args") or "")

    def calls(self, identity: str) -> bool:
        return any(call.id == identity for call in self._calls.values())

    def take(self) -> list[_Call]:
        calls, self._calls = list(self._calls.values()), {}
        return calls

    def _key(self, piece: Mapping[str, Any]) -> Any:
        """Return what tells calls apart: the index, else the id, else it is the one before."""
        for key in ("index", "id"):
            if piece.get(key) is not None:
                return piece[key]
        return self._index


class _Call:
    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id: str | None = None
        self.name = ""
        self.arguments: list[str] = []


def _reason(metadata: Mapping[str, Any]) -> FinishReason | None:
    for key in _REASON_KEYS:
        found = metadata.get(key)
        if isinstance(found, str) and found:
            # Some providers' chunks are merged by joining their strings; the first is what was said.
            return _REASONS.get(found.lower(), "stop")
    status = metadata.get("status")  # the Responses API
    if status == "incomplete":
        details = metadata.get("incomplete_details")
        why = details.get("reason") if isinstance(details, Mapping) else None
        return _REASONS.get(str(why), "length")
    if status == "failed":
        raise Unavailable(f"the model's response failed: {metadata.get('error')}")
    return "stop" if status == "completed" else None


def _added(usage: Usage, more: Mapping[str, Any]) -> Usage:
    """Return the sum over the messages and chunks of a turn; what nobody told stays unknown."""

    def add(had: int | None, new: Any) -> int | None:
        return had if not isinstance(new, int) else new + (had or 0)

    return Usage(
        add(usage.input, more.get("input_tokens")),
        add(usage.output, more.get("output_tokens")),
        add(usage.cached, (more.get("input_token_details") or {}).get("cache_read")),
        add(usage.reasoning, (more.get("output_token_details") or {}).get("reasoning")),
    )
