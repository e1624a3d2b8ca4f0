"""Reads the answers of a Databricks serving endpoint as events: streamed or whole, for each task.

When a stream has ended, and when it broke off:

- chat ends with a `finish_reason`, as every Chat Completions stream; `[DONE]` alone is an end with a notice.
- responses ends with `response.completed` (Databricks also writes `responses.completed`) or, once an item is
  done, with `[DONE]`: MLflow's agent server sends no `completed` of its own.
- a ChatAgent may give a `finish_reason` but need not, and a legacy chain may give none: there `[DONE]`, with
  which Databricks ends every stream, is the end.

A stream without its end is BrokenStream, even if the connection was closed in good order: that is how an
agent that died in the middle looks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, assert_never

from backends._openai_wire import (
    CAME_WHOLE,
    ChatStream,
    ResponsesStream,
    told_by_agent,
    usage_of,
    whole_chat,
    whole_responses,
)
from backends._openai_wire.values import mapping, mappings, text_or_none
from backends.databricks.requests import Task
from backends.databricks.sources import TraceOnce, attached, citations, first_text, sources
from chatlab.errors import BrokenStream
from chatlab.messages import (
    Finish,
    FinishReason,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
)
from chatlab.upstream import ChunkReader, error_from_body, is_error

_JSON = tuple(bytes([byte]) for byte in b'{["-0123456789tfn')  # how a JSON value begins, and no event
_TEXT_KEYS = ("content", "result", "answer", "response", "output", "text", "generated_text")


class ResponseReader(Protocol):
    """Reads one stream. `end` is asked once, when nothing more comes."""

    def feed(self, chunk: Mapping[str, Any]) -> list[StreamEvent]: ...
    def end(self, *, done: bool) -> list[StreamEvent]: ...


def reader_of(task: Task) -> ResponseReader:
    """Return a fresh reader."""
    if task == "chat":
        return _ChatReader()
    if task == "agent_chat":
        return _AgentReader()
    if task == "responses":
        return _ResponsesReader()
    if task == "legacy":
        return _LegacyReader()
    assert_never(task)


class StreamReader:
    """Reads the bytes of an answer of any task: framing, errors and traces here, the rest by the task."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._reader = reader_of(task)
        self._trace = TraceOnce()
        self._chunks = ChunkReader()
        self._document: list[bytes] | None = None
        self._begun = False
        self.whole = False
        """Whether the answer came in one piece; known at its end."""

    @property
    def done(self) -> bool:
        """Return whether the endpoint said that nothing more comes."""
        return self._chunks.done

    def feed(self, piece: bytes) -> Iterator[StreamEvent]:
        """Yield the events of these bytes. Raises BackendError for an error and for what is no chunk."""
        if self._document is None and not self._begun and piece.strip():
            self._begun = True
            if piece.lstrip()[:1] in _JSON:  # a document: chains answer with any JSON value
                self._document = []
        if self._document is None:
            yield from self._events(self._chunks.feed(piece))
        else:
            self._document.append(piece)

    def end(self) -> Iterator[StreamEvent]:
        """Yield the last events. Raises BrokenStream if the stream's own end was not seen."""
        if self._document is not None:
            raw = b"".join(self._document)
            try:
                body = json.loads(raw)
            except ValueError:  # lines of JSON, or an error before a stream
                yield from self._events(self._chunks.feed(raw))
            else:
                self.whole = True
                yield from whole(self._task, body)
                return
        yield from self._events(self._chunks.end())
        yield from self._trace.end()
        yield from self._reader.end(done=self.done)

    def _events(self, chunks: Iterable[dict[str, Any]]) -> Iterator[StreamEvent]:
        for chunk in chunks:
            if is_error(chunk):
                raise error_from_body(None, chunk)
            traces = self._trace.look(chunk)
            if chunk.keys() - {"trace_id", "databricks_output"}:  # else a chunk of its own for the trace
                yield from self._reader.feed(chunk)
            yield from traces


def whole(task: Task, body: object) -> list[StreamEvent]:
    """Return the events of an answer that came in one piece. Raises BackendError for an error in it."""
    trace = TraceOnce()
    found: list[StreamEvent] = []
    failed = next((item for item in mappings(body) if is_error(item)), None)
    if failed is not None:
        raise error_from_body(None, failed)
    if isinstance(body, dict):
        found += trace.look(body)
    if task == "chat" and isinstance(body, dict):
        events = [*citations(body), *whole_chat(body)]
    elif task == "responses" and isinstance(body, dict):
        events = [*sources(body.get("custom_outputs")), *_settled(whole_responses(body))]
    elif task == "agent_chat" and isinstance(body, dict):
        events = _whole_agent(body)
    else:
        events = _whole_legacy(body)
    return [*found, *trace.end(), *events]


class _ChatReader:
    """Chat Completions, with what Databricks puts beside it.

    lenient: `[DONE]` is enough of an end, for chains that give no `finish_reason`.
    """

    def __init__(self, *, lenient: bool = False) -> None:
        self._inner = ChatStream(whole=CAME_WHOLE)
        self._lenient = lenient

    def feed(self, chunk: Mapping[str, Any]) -> list[StreamEvent]:
        return [*citations(chunk), *self._inner.feed(chunk)]

    def end(self, *, done: bool) -> list[StreamEvent]:
        last: list[StreamEvent] = []
        if done and self._lenient and not self._inner.finished:
            last = self._inner.feed({"choices": [{"delta": {}, "finish_reason": "stop"}]})
        return [*last, *self._inner.end(marked=done)]


class _ResponsesReader:
    """The Responses API as agents speak it."""

    def __init__(self) -> None:
        self._inner = ResponsesStream()
        self._tools: list[StreamEvent] = []  # the calls and results so far

    def feed(self, chunk: Mapping[str, Any]) -> list[StreamEvent]:
        if chunk.get("type") == "function_call_output":  # an item without the event around it
            chunk = {"type": "response.output_item.done", "item": chunk}
        found = [*self._inner.feed(chunk), *sources(chunk.get("custom_outputs"))]
        self._tools += [event for event in found if isinstance(event, ToolCall | ToolResult)]
        return found

    def end(self, *, done: bool) -> list[StreamEvent]:
        return _settled(self._inner.end(marked=done), self._tools)


class _AgentReader:
    """A ChatAgent: `{"delta": {role, content, tool_calls ...}}`; messages that share an id are one.

    Text is passed on as it comes; nothing is put between two messages, since some agents give every token an
    id of its own.
    """

    def __init__(self) -> None:
        self._calls: dict[str, bool] = {}  # by id: whether its result has come
        self._reason: str | None = None
        self._usage = Usage()
        self._model: str | None = None
        self._beside: Mapping[str, Any] = {}  # what the agent tells beside its answer, as of now

    def feed(self, chunk: Mapping[str, Any]) -> list[StreamEvent]:
        self._beside = mapping(chunk.get("custom_outputs")) or self._beside
        delta = chunk.get("delta")
        if not isinstance(delta, Mapping) and "messages" not in chunk:
            if chunk.keys() & {"finish_reason", "usage", "custom_outputs", "databricks_output"}:
                delta = {}
            else:
                raise BrokenStream(f"the endpoint sent an unknown kind of chunk ({_keys(chunk)})")
        self._reason = text_or_none(chunk.get("finish_reason")) or self._reason
        self._model = text_or_none(chunk.get("model")) or self._model
        if isinstance(chunk.get("usage"), Mapping):
            self._usage = usage_of(chunk["usage"])
        messages = [delta] if isinstance(delta, Mapping) else mappings(chunk.get("messages"))
        found: list[StreamEvent] = []
        for message in messages:
            found += self._message(message)
        return [*found, *sources(chunk.get("custom_outputs"))]

    def end(self, *, done: bool) -> list[StreamEvent]:
        if not done and self._reason is None:
            raise BrokenStream("the agent's stream ended before it said so")
        open_calls = any(not answered for answered in self._calls.values())
        finish = Finish(_reason(self._reason, open_calls=open_calls), self._usage, self._model)
        return [*told_by_agent(self._beside), finish]

    def _message(self, message: Mapping[str, Any]) -> Iterator[StreamEvent]:
        text, thought = _text_and_thought(message.get("content"))
        if message.get("role") == "tool":
            call = str(message.get("tool_call_id") or "")
            self._calls[call] = True
            yield ToolResult(call, text, message.get("name"))
            return
        if thought:
            yield ReasoningDelta(thought)
        if text:
            yield TextDelta(text)
        for asked in mappings(message.get("tool_calls")):
            function = mapping(asked.get("function"))
            name, key = str(function.get("name") or ""), str(asked.get("id") or "")
            if key and key in self._calls:  # graphs repeat a call when its message is complete
                continue
            self._calls[key] = False
            yield ToolCall(key, name, str(function.get("arguments") or ""))
        yield from attached(message)


class _LegacyReader:
    """A chain of before the agent schemas: its first chunk shows what it speaks."""

    def __init__(self) -> None:
        self._inner: ResponseReader | None = None

    def feed(self, chunk: Mapping[str, Any]) -> list[StreamEvent]:
        if self._inner is None:
            if "choices" in chunk:
                self._inner = _ChatReader(lenient=True)
            elif str(chunk.get("type", "")).startswith("response"):
                self._inner = _ResponsesReader()
            elif "delta" in chunk or "messages" in chunk:
                self._inner = _AgentReader()
            else:
                self._inner = _TextReader()
        return self._inner.feed(chunk)

    def end(self, *, done: bool) -> list[StreamEvent]:
        if self._inner is None:
            raise BrokenStream("the endpoint's stream held nothing")
        return self._inner.end(done=done)


class _TextReader:
    """Chunks of a chain that speaks no known schema: `{"content": ...}` and its like."""

    def feed(self, chunk: Mapping[str, Any]) -> list[StreamEvent]:
        text = first_text(chunk, *_TEXT_KEYS)
        if text is None:
            raise BrokenStream(f"the endpoint sent an unknown kind of chunk ({_keys(chunk)})")
        return [*([TextDelta(text)] if text else []), *sources(chunk)]

    def end(self, *, done: bool) -> list[StreamEvent]:
        if not done:
            raise BrokenStream("the endpoint's stream ended before it said so")
        return [Finish("stop")]


def _whole_agent(body: Mapping[str, Any]) -> list[StreamEvent]:
    if not isinstance(body.get("messages"), list):
        return _whole_legacy(body)
    reader = _AgentReader()
    return [*reader.feed(body), *reader.end(done=True)]


def _whole_legacy(body: object) -> list[StreamEvent]:
    """Return the four attested shapes: `{choices}`, `[{choices}]`, a list, `{predictions: [...]}`."""
    if isinstance(body, list):
        # One answer a row of the request, and the request has one row.
        if len(body) == 1 or (body and isinstance(body[0], str | list)):
            return _whole_legacy(body[0])
        if body and all(isinstance(item, dict) and "role" in item for item in body):
            return _whole_agent({"messages": body})
    if isinstance(body, str):
        return [*([TextDelta(body)] if body else []), Finish("stop")]
    if isinstance(body, dict):
        if isinstance(body.get("choices"), list) and body["choices"]:
            return [*citations(body), *whole_chat(body)]
        if isinstance(body.get("messages"), list):
            return _whole_agent(body)
        if isinstance(body.get("predictions"), list | dict | str):
            return _whole_legacy(body["predictions"])
        if isinstance(body.get("output"), list):
            return _settled(whole_responses(body))
        text = first_text(body, *_TEXT_KEYS)
        if text is not None:
            usage = usage_of(body["usage"]) if isinstance(body.get("usage"), Mapping) else Usage()
            events: list[StreamEvent] = [TextDelta(text)] if text else []
            return [*events, *sources(body), Finish("stop", usage)]
    raise BrokenStream(f"the endpoint answered in a shape that is not known ({_keys(body)})")


def _text_and_thought(content: object) -> tuple[str, str]:
    if isinstance(content, str):
        return content, ""
    texts: list[str] = []
    thoughts: list[str] = []
    for part in content if isinstance(content, list) else []:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Mapping) and part.get("type") == "reasoning":
            # Encrypted summaries have no text to show.
            thoughts += [text_or_none(item.get("text")) or "" for item in mappings(part.get("summary"))]
        elif isinstance(part, Mapping) and isinstance(part.get("text"), str):
            texts.append(part["text"])
    return "".join(texts), "".join(thoughts)


def _settled(events: list[StreamEvent], earlier: list[StreamEvent] | None = None) -> list[StreamEvent]:
    """Says `tool_calls` if a call waits for its result, and only then: an agent may run its own tools."""
    seen = [*(earlier or []), *events]
    results = {event.id for event in seen if isinstance(event, ToolResult)}
    waiting = any(isinstance(event, ToolCall) and event.id not in results for event in seen)
    return [
        Finish("tool_calls" if waiting else "stop", event.usage, event.model)
        if isinstance(event, Finish) and event.reason in ("stop", "tool_calls")
        else event
        for event in events
    ]


def _reason(said: str | None, *, open_calls: bool) -> FinishReason:
    if said in ("length", "max_tokens"):
        return "length"
    if said == "content_filter":
        return "content_filter"
    return "tool_calls" if open_calls else "stop"


def _keys(body: object) -> str:
    return ", ".join(sorted(map(str, body))[:6]) if isinstance(body, dict) else type(body).__name__
