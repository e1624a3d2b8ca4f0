"""OpenAI Responses: request bodies, and the events of a stream as chatlab's events.

Works on decoded JSON, without the SDK. Follows https://platform.openai.com/docs/api-reference/responses-streaming
and takes what agents that speak it (MLflow's ResponsesAgent) send and leave out: whole items without deltas,
no closing event, `responses.completed`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from backends._openai_wire.chat import usage_of
from backends._openai_wire.errors import error_from_body, is_error
from backends._openai_wire.think_tags import ThinkTags
from chatlab.backend import ChatRequest
from chatlab.errors import BrokenStream
from chatlab.formats import to_responses
from chatlab.messages import (
    Citation,
    Finish,
    FinishReason,
    Notice,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
)

_NAMES = {"max_tokens": "max_output_tokens"}
# Deltas and notes on progress whose substance comes again in an item that is done, or that carry none.
_SILENT = (
    "response.created",
    "response.queued",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.",
    "response.output_text.done",
    "response.refusal.done",
    "response.reasoning_text.done",
    "response.reasoning_summary_part.done",
    "response.reasoning_summary_text.done",
    "response.function_call_arguments.",
    "response.custom_tool_call_input.",
    "response.web_search_call.",
    "response.file_search_call.",
    "response.code_interpreter_call",
    "response.image_generation_call.",
    "response.mcp_call",
    "response.mcp_list_tools.",
    "response.shell_call",
    "response.audio.",
    "response.compaction.",
    "keepalive",
    "ping",
)


def responses_body(request: ChatRequest, model: str, *, stream: bool = True) -> dict[str, Any]:
    """The JSON of a Responses request. Nothing is kept at the upstream (`store: false`)."""
    body: dict[str, Any] = {"model": model, "input": to_responses(request.messages), "store": False}
    for name, value in request.parameters.items():
        if name == "reasoning_effort":
            body.setdefault("reasoning", {})["effort"] = value
        elif name == "reasoning_summary":
            body.setdefault("reasoning", {})["summary"] = value
        elif name == "verbosity":
            body.setdefault("text", {})["verbosity"] = value
        else:
            body[_NAMES.get(name, name)] = value
    if stream:
        body["stream"] = True
    return body


class ResponsesStream:
    """The events of one streamed response, in order, as chatlab's events."""

    __slots__ = (
        "_cited",
        "_done",
        "_finish",
        "_items",
        "_model",
        "_text",
        "_think",
        "_thought",
        "_unknown",
        "_usage",
    )

    def __init__(self, think: ThinkTags | None = None) -> None:
        self._think = think
        self._text: list[str] = []  # of the message that is under way
        self._thought = False  # the reasoning item under way was streamed
        self._items: set[str] = set()  # ids of calls and results that were given out
        self._done = 0
        self._finish: FinishReason | None = None
        self._usage = Usage()
        self._model: str | None = None
        self._cited: set[str] = set()
        self._unknown = False

    @property
    def finished(self) -> bool:
        """Whether the upstream has said that its answer ended."""
        return self._finish is not None

    def feed(self, event: Mapping[str, Any]) -> list[StreamEvent]:
        """The events of an event. Raises a BackendError for an error, in whatever form it comes."""
        kind = event.get("type")
        events: list[StreamEvent] = []
        if kind in ("response.output_text.delta", "response.refusal.delta"):
            delta = event.get("delta") or ""
            self._text.append(delta)
            self._say(delta, events)
        elif kind in ("response.reasoning_summary_text.delta", "response.reasoning_text.delta"):
            self._thought = True
            events.append(ReasoningDelta(event.get("delta") or ""))
        elif kind == "response.reasoning_summary_part.added":
            if event.get("summary_index"):
                events.append(ReasoningDelta("\n\n"))
        elif kind == "response.output_text.annotation.added":
            self._cite(event.get("annotation"), events)
        elif kind == "response.output_item.done":
            self._item(event.get("item") or {}, events)
        elif kind in ("response.completed", "responses.completed", "response.incomplete", "response.done"):
            self._whole(event.get("response") or {}, events, incomplete=kind == "response.incomplete")
        elif kind == "response.failed":
            said = event.get("response") or {}
            raise error_from_body(None, said.get("error") or "the upstream could not answer")
        elif is_error(event):
            raise error_from_body(None, event)
        elif not str(kind).startswith(_SILENT):
            self._note(f"something not understood in the answer: {kind or ', '.join(event)[:80]}", events)
        return events

    def end(self, *, marked: bool = False) -> list[StreamEvent]:
        """The last events. Raises BrokenStream if the upstream never said that its answer ended.

        marked: it closed the stream with `[DONE]`, which counts once an item is done: agents say no more.
        """
        if self._finish is None:
            if not (marked and self._done):
                raise BrokenStream("the stream ended without a closing event, so the answer may be cut off")
            self._finish = self._reason()
        held: list[StreamEvent] = self._think.end() if self._think else []
        return [*held, Finish(self._finish, self._usage, self._model)]

    def _say(self, text: str, events: list[StreamEvent]) -> None:
        if self._think is not None:
            events.extend(self._think.feed(text))
        elif text:
            events.append(TextDelta(text))

    def _item(self, item: Mapping[str, Any], events: list[StreamEvent]) -> None:
        """An item of the output that is done: what of it was not given out yet."""
        self._done += 1
        kind = item.get("type")
        if kind == "message":
            parts = [part for part in item.get("content") or () if isinstance(part, Mapping)]
            text = "".join(part.get("text") or part.get("refusal") or "" for part in parts)
            said = "".join(self._text)
            self._text.clear()
            if text.startswith(said):  # all of it, where no deltas came
                self._say(text[len(said) :], events)
            for part in parts:
                for note in part.get("annotations") or ():
                    self._cite(note, events)
        elif kind == "reasoning":
            if not self._thought:
                told = item.get("summary") or item.get("content") or ()
                text = "\n\n".join(part.get("text") or "" for part in told)
                if text:
                    events.append(ReasoningDelta(text))
            self._thought = False
        else:
            key = f"{kind} {item.get('call_id') or item.get('id')}"
            if key not in self._items:
                self._items.add(key)
                self._tool(kind, item, events)

    def _tool(self, kind: Any, item: Mapping[str, Any], events: list[StreamEvent]) -> None:
        call_id = str(item.get("call_id") or item.get("id") or f"call_{self._done}")
        if kind == "function_call":
            events.append(ToolCall(call_id, item.get("name") or "", item.get("arguments") or "{}"))
        elif kind == "custom_tool_call":
            events.append(ToolCall(call_id, item.get("name") or "", json.dumps(item.get("input") or "")))
        elif kind in ("function_call_output", "custom_tool_call_output"):
            events.append(ToolResult(call_id, _plain(item.get("output"))))
        elif kind == "mcp_call":
            events.append(ToolCall(call_id, item.get("name") or "", item.get("arguments") or "{}"))
            error, output = item.get("error"), item.get("output")
            if error or output is not None:
                events.append(ToolResult(call_id, _plain(error or output), item.get("name"), bool(error)))
        elif isinstance(kind, str) and kind.endswith("_call"):  # a tool that the upstream ran itself
            about = {name: item[name] for name in ("action", "queries", "code", "input") if item.get(name)}
            events.append(
                ToolCall(call_id, kind.removesuffix("_call"), json.dumps(about, ensure_ascii=False))
            )
        else:
            self._note(f"a {kind} item of the answer is not shown", events)

    def _whole(self, response: Mapping[str, Any], events: list[StreamEvent], *, incomplete: bool) -> None:
        """The closing event. It holds the output again: what of it never came otherwise is given out."""
        if not self._done:
            for item in response.get("output") or ():
                self._item(item, events)
        if self._think is not None:
            events.extend(self._think.end())
        self._model = response.get("model") or self._model
        if response.get("usage"):
            self._usage = usage_of(response["usage"])
        why = (response.get("incomplete_details") or {}).get("reason")
        if why == "content_filter":
            self._finish = "content_filter"
        elif incomplete or why:
            self._finish = "length"
        else:
            self._finish = self._reason()

    def _reason(self) -> FinishReason:
        """Whether a function call is still without its result: then the turn is the caller's."""
        waiting = any(
            f"{kind}_output {call_id}" not in self._items
            for kind, _, call_id in (key.partition(" ") for key in self._items)
            if kind in ("function_call", "custom_tool_call")
        )
        return "tool_calls" if waiting else "stop"

    def _cite(self, note: object, events: list[StreamEvent]) -> None:
        if not isinstance(note, Mapping):
            return
        title = note.get("title") or note.get("filename")
        key = str(note.get("url") or note.get("file_id") or title or "")
        if key and key not in self._cited:
            self._cited.add(key)
            events.append(Citation(str(title or key), note.get("url")))

    def _note(self, text: str, events: list[StreamEvent]) -> None:
        if not self._unknown:  # once is enough
            self._unknown = True
            events.append(Notice("other", text))


def whole_responses(body: Mapping[str, Any], think: ThinkTags | None = None) -> list[StreamEvent]:
    """The events of a response that came whole. Raises a BackendError for one that failed."""
    if is_error(body):
        raise error_from_body(None, body)
    if not isinstance(body.get("output"), list):
        raise BrokenStream("the upstream's answer has no output")
    kind = {"failed": "response.failed", "incomplete": "response.incomplete"}.get(str(body.get("status")))
    stream = ResponsesStream(think)
    return stream.feed({"type": kind or "response.completed", "response": body}) + stream.end()


def _plain(output: object) -> str:
    return output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
