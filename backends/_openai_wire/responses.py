"""OpenAI Responses: request bodies, and the events of a stream as chatlab's events.

Works on decoded JSON, without the SDK. Follows https://platform.openai.com/docs/api-reference/responses-streaming
and takes what agents that speak it (MLflow's ResponsesAgent) send and leave out: whole items without deltas,
no closing event, `responses.completed`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from backends._openai_wire.answer import AnswerStream
from backends._openai_wire.think_tags import ThinkTags
from backends._openai_wire.values import mapping, mappings, text
from chatlab.backend import ChatRequest
from chatlab.errors import BrokenStream
from chatlab.formats import to_responses
from chatlab.messages import FinishReason, Notice, ReasoningDelta, StreamEvent, ToolCall, ToolResult
from chatlab.upstream import error_from_body, is_error, sentence_of

_SHORT = 100  # characters of what an agent says of a tool, and most tools
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
    """Return the JSON of a Responses request. Nothing is kept at the upstream (`store: false`)."""
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


class ResponsesStream(AnswerStream):
    """The events of one response, in order, as chatlab's events: streamed, or whole in one of them."""

    __slots__ = ("_beside", "_done", "_items", "_message", "_thought")

    def __init__(self, think: ThinkTags | None = None, *, whole: Notice | None = None) -> None:
        super().__init__(think, whole=whole)
        self._message: list[str] = []  # of the message that is under way
        self._thought = False  # the reasoning item under way was streamed
        self._items: set[str] = set()  # ids of calls and results that were given out
        self._done = 0
        self._beside: Mapping[str, Any] = {}  # what an agent tells beside its answer, as of now

    def feed(self, event: Mapping[str, Any]) -> list[StreamEvent]:
        """Return the events of an event. Raises a BackendError for an error, in whatever form it comes."""
        kind = event.get("type")
        events: list[StreamEvent] = []
        self._beside = mapping(event.get("custom_outputs")) or self._beside
        if kind in ("response.output_text.delta", "response.refusal.delta"):
            delta = text(event.get("delta"))
            self._message.append(delta)
            self._text(delta, events)
        elif kind in ("response.reasoning_summary_text.delta", "response.reasoning_text.delta"):
            self._thought = True
            if thought := text(event.get("delta")):
                events.append(ReasoningDelta(thought))
        elif kind == "response.reasoning_summary_part.added":
            if event.get("summary_index"):
                events.append(ReasoningDelta("\n\n"))
        elif kind == "response.output_text.annotation.added":
            self._cite(mapping(event.get("annotation")), events)
        elif kind == "response.output_item.done":
            self._item(mapping(event.get("item")), events)
        elif not self._ending(kind, event, events) and not str(kind).startswith(_SILENT) and event:
            self._note(
                f"something not understood in the answer: {kind or ', '.join(event)[:80]}", events, event
            )
        return events

    def _ending(self, kind: object, event: Mapping[str, Any], events: list[StreamEvent]) -> bool:
        """Take an event that ends the response, and return whether it is one. Raises a BackendError."""
        if kind in ("response.completed", "responses.completed", "response.incomplete", "response.done"):
            self._whole_response(
                mapping(event.get("response")), events, incomplete=kind == "response.incomplete"
            )
        elif kind == "response.failed":
            said = mapping(event.get("response"))
            raise error_from_body(None, said.get("error") or "the upstream could not answer")
        elif is_error(event):
            raise error_from_body(None, event)
        elif kind is None and isinstance(event.get("output"), list):  # the response itself, in no event
            if event.get("status") == "failed":
                raise error_from_body(None, event.get("error") or "the upstream could not answer")
            self._whole_response(event, events, incomplete=event.get("status") == "incomplete")
            self._came_whole(events)
        else:
            return False
        return True

    def end(self, *, marked: bool = False) -> list[StreamEvent]:
        """Return the last events. Raises BrokenStream if the upstream never said that its answer ended.

        marked: it closed the stream with `[DONE]`, which counts once an item is done: agents say no more.
        """
        if self._finish is None:
            if not (marked and self._done):
                raise self._without_end(
                    "the stream ended without a closing event, so the answer may be cut off"
                )
            self._finish = self._reason()
        return [*told_by_agent(self._beside), *self._closing()]

    def _item(self, item: Mapping[str, Any], events: list[StreamEvent]) -> None:
        """Take an item of the output that is done: give out what of it was not given out yet."""
        self._done += 1
        kind = item.get("type")
        if kind == "message":
            parts = mappings(item.get("content"))
            whole = "".join(text(part.get("text")) or text(part.get("refusal")) for part in parts)
            whole = whole or text(item.get("content"))
            said = "".join(self._message)
            self._message.clear()
            if whole.startswith(said):  # all of it, where no deltas came
                self._text(whole[len(said) :], events)
            for part in parts:
                for note in mappings(part.get("annotations")):
                    self._cite(note, events)
        elif kind == "reasoning":
            if not self._thought:
                told = mappings(item.get("summary")) or mappings(item.get("content"))
                thought = "\n\n".join(text(part.get("text")) for part in told)
                if thought:
                    events.append(ReasoningDelta(thought))
            self._thought = False
        else:
            key = f"{kind} {item.get('call_id') or item.get('id')}"
            if key not in self._items:
                self._items.add(key)
                self._tool(kind, item, events)

    def _tool(self, kind: Any, item: Mapping[str, Any], events: list[StreamEvent]) -> None:
        call_id = str(item.get("call_id") or item.get("id") or f"call_{self._done}")
        name = text(item.get("name"))
        if kind == "function_call":
            events.append(ToolCall(call_id, name, _arguments(item)))
        elif kind == "custom_tool_call":
            events.append(ToolCall(call_id, name, json.dumps(item.get("input") or "")))
        elif kind in ("function_call_output", "custom_tool_call_output"):
            events.append(ToolResult(call_id, _plain(item.get("output"))))
        elif kind == "mcp_call":
            events.append(ToolCall(call_id, name, _arguments(item)))
            error, output = item.get("error"), item.get("output")
            if error or output is not None:
                events.append(ToolResult(call_id, _plain(error or output), name or None, bool(error)))
        elif isinstance(kind, str) and kind.endswith("_call"):  # a tool that the upstream ran itself
            about = {name: item[name] for name in ("action", "queries", "code", "input") if item.get(name)}
            events.append(
                ToolCall(call_id, kind.removesuffix("_call"), json.dumps(about, ensure_ascii=False))
            )
        else:
            self._note(f"a {kind} item of the answer is not shown", events)

    def _whole_response(
        self, response: Mapping[str, Any], events: list[StreamEvent], *, incomplete: bool
    ) -> None:
        """Take the closing event. It holds the output again: what of it never came otherwise is given out."""
        if not self._done:
            for item in mappings(response.get("output")):
                self._item(item, events)
        if self._think is not None:
            events.extend(self._think.end())
        self._counted(response)
        why = mapping(response.get("incomplete_details")).get("reason")
        if why == "content_filter":
            self._finish = "content_filter"
        elif incomplete or why:
            self._finish = "length"
        else:
            self._finish = self._reason()

    def _reason(self) -> FinishReason:
        """Return `tool_calls` if a function call is still without its result: the turn is the caller's."""
        waiting = any(
            f"{kind}_output {call_id}" not in self._items
            for kind, _, call_id in (key.partition(" ") for key in self._items)
            if kind in ("function_call", "custom_tool_call")
        )
        return "tool_calls" if waiting else "stop"


def whole_responses(body: Mapping[str, Any], think: ThinkTags | None = None) -> list[StreamEvent]:
    """Return the events of a response that came whole. Raises a BackendError for one that failed."""
    if is_error(body):
        raise error_from_body(None, body)
    if not isinstance(body.get("output"), list):
        if sentence_of(body):
            raise error_from_body(None, body)
        raise BrokenStream("the upstream's answer has no output")
    stream = ResponsesStream(think)
    return stream.feed({name: value for name, value in body.items() if name != "type"}) + stream.end()


def told_by_agent(beside: Mapping[str, Any]) -> list[StreamEvent]:
    """Return what an agent of `chatlab agent` tells beside its answer: as whom its tools ran, and which were
    left out.
    """
    ran = [
        f"{name[:_SHORT]} as {text(whom)[:_SHORT]}" for name, whom in mapping(beside.get("ran_as")).items()
    ]
    left_out = beside.get("left_out")
    told = [text(one)[: 2 * _SHORT] for one in left_out[:_SHORT]] if isinstance(left_out, list) else []
    said = [f"ran {', '.join(ran)}"] if ran else []
    return [Notice("other", one) for one in (*filter(None, told), *said)]


def _arguments(item: Mapping[str, Any]) -> str:
    arguments = item.get("arguments")
    return arguments if isinstance(arguments, str) and arguments else json.dumps(arguments or {})


def _plain(output: object) -> str:
    return output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
