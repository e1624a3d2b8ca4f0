"""OpenAI Chat Completions: request bodies, and the chunks of a stream as events.

Works on decoded JSON, without the SDK: its typed chunk costs several times the parse itself. Follows
https://platform.openai.com/docs/api-reference/chat and takes what servers of that protocol add or leave out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from backends._openai_wire.errors import error_from_body, is_error
from backends._openai_wire.think_tags import ThinkTags
from chatlab.backend import ChatRequest
from chatlab.errors import BrokenStream
from chatlab.formats import to_openai
from chatlab.messages import (
    Citation,
    Finish,
    FinishReason,
    Notice,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCall,
    Usage,
)

_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
# What may stand in a chunk that has no choices and yet is none to worry about.
_BESIDE = {
    "usage",
    "id",
    "object",
    "created",
    "model",
    "timings",
    "service_tier",
    "system_fingerprint",
    "x_groq",
}


def chat_body(request: ChatRequest, model: str, *, stream: bool = True) -> dict[str, Any]:
    """The JSON of a Chat Completions request. Parameters go in under their own names."""
    body: dict[str, Any] = {"model": model, "messages": to_openai(request.messages), **request.parameters}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


class ChatStream:
    """The chunks of one streamed answer, in order, as events.

    think: takes reasoning out of the text, for servers that leave it there.
    """

    __slots__ = ("_calls", "_cited", "_finish", "_model", "_think", "_unknown", "_usage")

    def __init__(self, think: ThinkTags | None = None) -> None:
        self._think = think
        self._calls: dict[object, dict[str, str]] = {}
        self._finish: FinishReason | None = None
        self._usage = Usage()
        self._model: str | None = None
        self._cited: set[str] = set()
        self._unknown = False

    @property
    def finished(self) -> bool:
        """Whether the upstream has said that its answer ended."""
        return self._finish is not None

    def feed(self, chunk: Mapping[str, Any]) -> list[StreamEvent]:
        """The events of a chunk. Raises a BackendError for an error chunk, in whatever form it comes."""
        if chunk.get("error"):
            raise error_from_body(None, chunk)
        choices = chunk.get("choices")
        if not choices:
            return self._beside(chunk)
        events: list[StreamEvent] = []
        for choice in choices:
            if not choice.get("index"):  # of several alternatives, the first is the answer
                delta = choice.get("delta")
                if delta:
                    self._delta(delta, events)
                reason = choice.get("finish_reason")
                if reason and self._finish is None:
                    self._ended(reason, choice, events)
        if "usage" in chunk or "citations" in chunk or "search_results" in chunk or self._model is None:
            self._around(chunk, events)
        return events

    def end(self, *, marked: bool = False) -> list[StreamEvent]:
        """The last events. Raises BrokenStream if the upstream never said that its answer ended.

        marked: it closed the stream with `[DONE]`. That alone does not say that the answer is whole.
        """
        if self._finish is None:
            raise BrokenStream("the stream ended without a finish reason, so the answer may be cut off")
        return [Finish(self._finish, self._usage, self._model)]

    def _delta(self, delta: Mapping[str, Any], events: list[StreamEvent]) -> None:
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if thought and isinstance(thought, str):
            events.append(ReasoningDelta(thought))
        content = delta.get("content")
        if content:
            if isinstance(content, str):
                self._text(content, events)
            else:
                self._parts(content, events)
        refusal = delta.get("refusal")
        if refusal:
            events.append(TextDelta(refusal))
        for call in delta.get("tool_calls") or ():
            self._call(call)
        legacy = delta.get("function_call")
        if legacy:
            self._call({"index": "function_call", "id": "function_call", "function": legacy})
        for note in delta.get("annotations") or ():
            source = note.get("url_citation")
            if isinstance(source, Mapping):
                self._cite(source.get("title"), source.get("url"), events)
        if delta.get("audio"):
            self._note("audio in the answer is not played", events)

    def _text(self, text: str, events: list[StreamEvent]) -> None:
        if self._think is None:
            events.append(TextDelta(text))
        else:
            events.extend(self._think.feed(text))

    def _parts(self, parts: Any, events: list[StreamEvent]) -> None:
        for part in parts if isinstance(parts, list) else [parts]:
            kind = part.get("type") if isinstance(part, Mapping) else None
            if kind in ("text", "output_text"):
                self._text(part.get("text") or "", events)
            elif kind == "reasoning":
                summary = part.get("summary") or [{"text": part.get("text") or ""}]
                events.extend(ReasoningDelta(item["text"]) for item in summary if item.get("text"))
            elif kind == "thinking":  # Mistral's
                inner = part.get("thinking") or []
                events.extend(ReasoningDelta(item["text"]) for item in inner if item.get("text"))
            else:
                self._note(f"a {kind} part of the answer is not shown", events)

    def _call(self, call: Mapping[str, Any]) -> None:
        # Pieces of one call share its index; servers that leave it out send the call's id with its start.
        key = call.get("index")
        if key is None:
            key = call.get("id") or next(reversed(self._calls), 0)
        held = self._calls.setdefault(key, {"id": "", "name": "", "arguments": ""})
        function = call.get("function") or {}
        held["id"] = call.get("id") or held["id"]
        held["name"] = held["name"] or function.get("name") or ""
        arguments = function.get("arguments")
        if arguments is not None:
            held["arguments"] += arguments if isinstance(arguments, str) else json.dumps(arguments)

    def _ended(self, reason: str, choice: Mapping[str, Any], events: list[StreamEvent]) -> None:
        if reason == "error":
            raise error_from_body(None, choice.get("error") or "the upstream broke off its answer")
        if self._think is not None:
            events.extend(self._think.end())
        for index, call in enumerate(self._calls.values()):
            events.append(ToolCall(call["id"] or f"call_{index}", call["name"], call["arguments"] or "{}"))
        known = _REASONS.get(reason)
        if known is None:
            self._note(f"the upstream ended its answer for the reason {reason!r}", events)
        self._finish = "tool_calls" if self._calls and known in (None, "stop") else known or "stop"

    def _beside(self, chunk: Mapping[str, Any]) -> list[StreamEvent]:
        if is_error(chunk):
            raise error_from_body(None, chunk)
        events: list[StreamEvent] = []
        if "choices" not in chunk and not _BESIDE & chunk.keys() and chunk.get("type") != "ping":
            self._note(f"something not understood in the answer: {', '.join(chunk)[:80]}", events)
        self._around(chunk, events)
        return events

    def _around(self, chunk: Mapping[str, Any], events: list[StreamEvent]) -> None:
        """What stands in a chunk beside its choices."""
        self._model = chunk.get("model") or self._model
        usage = chunk.get("usage")
        if usage:
            self._usage = usage_of(usage)
        for source in chunk.get("search_results") or ():
            self._cite(source.get("title"), source.get("url"), events)
        for url in chunk.get("citations") or ():
            if isinstance(url, str):
                self._cite(url, url, events)

    def _cite(self, title: str | None, url: str | None, events: list[StreamEvent]) -> None:
        if (key := url or title) and key not in self._cited:
            self._cited.add(key)
            events.append(Citation(title or key, url))

    def _note(self, text: str, events: list[StreamEvent]) -> None:
        if not self._unknown:  # once is enough
            self._unknown = True
            events.append(Notice("other", text))


def whole_chat(body: Mapping[str, Any], think: ThinkTags | None = None) -> list[StreamEvent]:
    """The events of an answer that came whole. Raises a BackendError for an error body or none."""
    if is_error(body):
        raise error_from_body(None, body)
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices:
        raise BrokenStream("the upstream's answer has no choices")
    first = choices[0]
    stream = ChatStream(think)
    choice = {"delta": first.get("message"), "finish_reason": first.get("finish_reason") or "stop"}
    return stream.feed({**body, "choices": [choice]}) + stream.end()


def usage_of(usage: Mapping[str, Any]) -> Usage:
    """Token counts of either API. What is not there is unknown, never zero."""

    def count(*names: str, inside: str | None = None) -> int | None:
        source = usage
        if inside is not None:
            nested = [usage.get(f"{side}_tokens_details") for side in inside.split()]
            source = next((item for item in nested if isinstance(item, Mapping)), {})
        return next((source[name] for name in names if isinstance(source.get(name), int)), None)

    return Usage(
        input=count("prompt_tokens", "input_tokens"),
        output=count("completion_tokens", "output_tokens"),
        cached=count("cached_tokens", inside="prompt input"),
        reasoning=count("reasoning_tokens", inside="completion output"),
    )


def _json(value: object) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)
