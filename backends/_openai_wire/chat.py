"""OpenAI Chat Completions: request bodies, and an answer's chunks as events.

Works on decoded JSON, without the SDK: its typed chunk costs several times the parse itself. Follows
https://platform.openai.com/docs/api-reference/chat and takes what servers of that protocol add or leave out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backends._openai_wire.answer import NO_ANSWER, NO_REASON, AnswerStream
from backends._openai_wire.think_tags import ThinkTags
from backends._openai_wire.tool_calls import ToolCalls
from backends._openai_wire.values import mapping, mappings, text, text_or_none
from chatlab.backend import ChatRequest
from chatlab.errors import BrokenStream
from chatlab.formats import to_openai
from chatlab.messages import FinishReason, Notice, ReasoningDelta, StreamEvent
from chatlab.upstream import error_from_body, is_error, sentence_of

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
    "refusal": "content_filter",
    "safety": "content_filter",  # Gemini's
    "prohibited_content": "content_filter",
    "recitation": "content_filter",
}
_FIRST = (0, None, "0", "")
_THOUGHTS = (
    *("reasoning_content", "reasoning", "reasoning_text", "thinking", "thought"),
    *("reasoning_details", "thinking_blocks"),  # OpenRouter's; LiteLLM's
)
_IN_THOUGHTS = ("summary", "thinking", "text", "content")
_DEEP = 6  # levels of a thought that are looked into
FAILED_REASONS = (
    *("error", "failed", "network_error", "internal_error", "server_error", "engine_error", "error_limit"),
    *("timeout", "insufficient_system_resource", "malformed_function_call"),
)
"""What servers give as the reason of an end that is a failure."""
_WRAPPERS = ("result", "data", "response")  # Cloudflare's, and those of gateways
_NONE = {"", "null", "none"}  # what some servers write before there is a finish reason
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

_PLAIN = {"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier"}
_PLAIN |= {"obfuscation"}
_PLAIN_CHOICE = {"index", "delta", "finish_reason", "logprobs"}
_PLAIN_DELTA = {"role", "content"}
_KEEP_ALIVE = {"ping", "pong", "keepalive", "keep-alive", "keep_alive", "heartbeat"}
_AROUND = ("usage", "x_groq", "citations", "search_results")  # what may stand beside choices and is read


def chat_body(request: ChatRequest, model: str, *, stream: bool = True) -> dict[str, Any]:
    """Return the JSON of a Chat Completions request. Parameters go in under their own names."""
    body: dict[str, Any] = {"model": model, "messages": to_openai(request.messages), **request.parameters}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


class ChatStream(AnswerStream):
    """The chunks of one answer, in order, as events: streamed, or whole in one of them."""

    __slots__ = ("_begun", "_calls", "_heard", "_one_message", "_refused")

    def __init__(self, think: ThinkTags | None = None, *, whole: Notice | None = None) -> None:
        super().__init__(think, whole=whole)
        self._calls = ToolCalls()
        self._begun = False  # whether anything came that has the form of an answer
        self._heard = False  # whether anything of an answer came
        self._one_message = False  # whether all that came is one message where deltas belong
        self._refused = False

    def feed(self, chunk: Mapping[str, Any]) -> list[StreamEvent]:
        """Return the events of a chunk. Raises a BackendError for an error, in whatever form it comes."""
        if self._model is not None and (said := _only_text(chunk)):
            self._begun = self._heard = True
            self._one_message = False
            events: list[StreamEvent] = []
            self._text(said, events)
            return events
        if chunk.get("error"):
            raise error_from_body(None, chunk)
        choices = mappings(chunk.get("choices"))
        if not choices:
            if chunk.get("usage") and chunk.keys() <= _PLAIN and chunk.get("object") != "error":
                self._counted(chunk)  # as the last chunk of nearly all answers
                return []
            inner = _unwrapped(chunk)
            return self._beside(chunk) if inner is chunk else self.feed(inner)
        self._begun = True
        events = []
        for choice in choices:
            if choice.get("index") in _FIRST:  # of several alternatives, the first is the answer
                self._choice(choice, events)
        if self._model is None or not chunk.keys().isdisjoint(_AROUND):
            self._around(chunk, events)
        return events

    def end(self, *, marked: bool = False) -> list[StreamEvent]:
        """Return the last events. Raises BrokenStream if the upstream never said that its answer ended.

        marked: it closed the stream with `[DONE]`. An answer that ends so without a reason is given, and
        noticed; one that came whole needs none.
        """
        if self._finish is not None:
            return [*self._calls.events(), *self._closing()]
        if not ((marked or self._one_message) and self._heard):
            cut = "the stream ended without a finish reason, so the answer may be cut off"
            raise self._without_end(cut if self._begun else NO_ANSWER)
        calls = self._calls.events()
        self._finish = "tool_calls" if calls else "stop"
        *held, finish = self._closing()
        noticed: list[StreamEvent] = []
        if self._one_message:
            self._came_whole(noticed)
        return [*held, *calls, *(noticed or [NO_REASON]), finish]

    def _choice(self, choice: Mapping[str, Any], events: list[StreamEvent]) -> None:
        if choice.get("error"):  # OpenRouter's
            raise error_from_body(None, choice)
        delta = choice.get("delta")
        self._one_message = not self._heard and bool(choice.get("message"))
        if "message" in choice and choice["message"] and not _says(delta):
            self._message(choice, events)
        elif delta:
            self._delta(delta if isinstance(delta, Mapping) else {"content": delta}, events)
        elif choice.get("text"):  # the older completions protocol
            self._heard = True
            self._text(text(choice["text"]), events)
        if "usage" in choice:  # Moonshot's
            self._counted(choice)
        reason = _reason(choice)
        if reason and self._finish is None:
            self._ended(reason, choice, events)

    def _message(self, choice: Mapping[str, Any], events: list[StreamEvent]) -> None:
        """Take a message where a delta belongs: the whole answer, or all of it so far."""
        message = mapping(choice["message"])
        whole = not self._heard and bool(_reason(choice))
        if not self._said:
            self._delta(message, events)
        elif isinstance(message.get("content"), str):
            self._rest_of(message["content"], events)
        if not len(self._calls):
            self._called(message)
        if whole and self._heard:
            self._came_whole(events)

    def _delta(self, delta: Mapping[str, Any], events: list[StreamEvent]) -> None:
        content = delta.get("content")
        beyond = not delta.keys() <= _PLAIN_DELTA  # nearly every delta has its content alone
        if beyond and (thought := _thought(delta)):
            self._heard = True
            events.append(ReasoningDelta(thought))
        if content:
            self._heard = True
            if isinstance(content, str):
                self._text(content, events)
            else:
                self._parts(content, events)
        if beyond:
            self._beyond_text(delta, events)

    def _beyond_text(self, delta: Mapping[str, Any], events: list[StreamEvent]) -> None:
        refusal = text(delta.get("refusal"))
        if refusal:
            self._heard = True
            self._refused = True
            self._text(refusal, events)
        self._called(delta)
        for note in mappings(delta.get("annotations")):
            self._cite(mapping(note.get("url_citation")), events)
        if delta.get("audio"):
            self._note("audio in the answer is not played", events)

    def _called(self, delta: Mapping[str, Any]) -> None:
        for call in mappings(delta.get("tool_calls")):
            self._calls.add(call)
        legacy = mapping(delta.get("function_call"))
        if legacy:
            self._calls.add({"index": "function_call", "id": "function_call", "function": legacy})
        self._heard = self._heard or len(self._calls) > 0

    def _parts(self, parts: object, events: list[StreamEvent]) -> None:
        for part in parts if isinstance(parts, list) else [parts]:
            if isinstance(part, str | int | float):
                self._text(str(part), events)
                continue
            part = mapping(part)
            kind = text(part.get("type"))
            if kind in ("text", "output_text") or (not kind and "text" in part):
                said = part.get("text")
                self._text(text(mapping(said).get("value")) or text(said), events)
            elif kind == "refusal":
                self._refused = True
                self._text(text(part.get("refusal")), events)
            elif "reasoning" in kind or "thinking" in kind:  # Databricks'; Mistral's; Anthropic's
                events.extend(map(ReasoningDelta, _texts(part)))
            else:
                self._note(f"a {kind or 'strange'} part of the answer is not shown", events)

    def _ended(self, reason: str, choice: Mapping[str, Any], events: list[StreamEvent]) -> None:
        if reason.lower() in FAILED_REASONS:
            why = "" if reason == "error" else f" with the reason {reason!r}"
            raise error_from_body(None, f"the upstream broke off its answer{why}")
        if self._think is not None:
            events.extend(self._think.end())
        events.extend(self._calls.events())
        known = _REASONS.get(reason.lower())
        if known is None:
            self._note(f"the upstream ended its answer for the reason {reason!r}", events)
        self._finish = "tool_calls" if len(self._calls) and known in (None, "stop") else known or "stop"
        if self._refused and self._finish == "stop":
            self._finish = "content_filter"

    def _beside(self, chunk: Mapping[str, Any]) -> list[StreamEvent]:
        if is_error(chunk):
            raise error_from_body(None, chunk)
        events: list[StreamEvent] = []
        alive = not _KEEP_ALIVE.isdisjoint((text(chunk.get("type")), *chunk))
        known = "choices" in chunk or not chunk or alive
        if not known and _BESIDE.isdisjoint(chunk):
            self._note(f"something not understood in the answer: {', '.join(chunk)[:80]}", events, chunk)
        self._around(chunk, events)
        return events

    def _around(self, chunk: Mapping[str, Any], events: list[StreamEvent]) -> None:
        """Take what stands in a chunk beside its choices."""
        self._counted(chunk)
        if "x_groq" in chunk:
            self._counted({"usage": mapping(chunk["x_groq"]).get("usage")})
        for source in mappings(chunk.get("search_results")):
            self._cite(source, events)
        cited = chunk.get("citations")
        for url in cited if isinstance(cited, list) else ():
            if text_or_none(url):
                self._cite({"title": url, "url": url}, events)


def _only_text(chunk: Mapping[str, Any]) -> str | None:
    """Return the text of a chunk that has nothing else to tell, as nearly all have not; None for others."""
    choices = chunk.get("choices")
    if not (type(choices) is list and len(choices) == 1 and _PLAIN.issuperset(chunk)):
        return None
    choice = choices[0]
    if chunk.get("usage") is not None or type(choice) is not dict or not _PLAIN_CHOICE.issuperset(choice):
        return None
    delta = choice.get("delta")
    if choice.get("finish_reason") is not None or choice.get("index") != 0 or type(delta) is not dict:
        return None
    content = delta.get("content") if len(delta) == 1 else None
    return content if type(content) is str else None


def _reason(choice: Mapping[str, Any]) -> str:
    """Return why a choice ended; empty if it did not, or if it does not say."""
    found = choice.get("finish_reason") or choice.get("finishReason") or choice.get("finish_details")
    if not isinstance(found, str):
        found = text(mapping(found).get("type"))
    return "" if found.lower() in _NONE else found


def _thought(delta: Mapping[str, Any]) -> str:
    """Return the reasoning of a delta, under whichever name it stands; some send it under two at once."""
    if delta.keys().isdisjoint(_THOUGHTS):
        return ""
    return next((said for name in _THOUGHTS if (said := "".join(_texts(delta.get(name))))), "")


def _texts(thought: object, depth: int = 0) -> list[str]:
    """Return the texts of reasoning: plain, or in objects and lists of them."""
    if isinstance(thought, str):
        return [thought] if thought else []
    if depth == _DEEP:
        return []
    if isinstance(thought, list):
        return [said for item in thought for said in _texts(item, depth + 1)]
    held = mapping(thought)
    inner = (_texts(held[name], depth + 1) for name in _IN_THOUGHTS if name in held)
    return next(filter(None, inner), [])


def _says(delta: object) -> bool:
    """Return whether a delta holds more than a role."""
    return any(value for name, value in mapping(delta).items() if name != "role")


def _unwrapped(chunk: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the answer that a gateway wrapped in an object, or else the object."""
    inner = (mapping(chunk.get(name)) for name in _WRAPPERS)
    return next((found for found in inner if mappings(found.get("choices"))), chunk)


def whole_chat(body: Mapping[str, Any], think: ThinkTags | None = None) -> list[StreamEvent]:
    """Return the events of an answer that came whole. Raises a BackendError for an error body or none."""
    if is_error(body):
        raise error_from_body(None, body)
    body = _unwrapped(body)
    choices = mappings(body.get("choices"))
    if not choices:
        if sentence_of(body):
            raise error_from_body(None, body)
        raise BrokenStream("the upstream's answer has no choices")
    stream = ChatStream(think)
    reason = text(choices[0].get("finish_reason")) or "stop"
    return stream.feed({**body, "choices": [{**choices[0], "finish_reason": reason}]}) + stream.end()
