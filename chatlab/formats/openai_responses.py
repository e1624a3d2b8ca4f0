"""Items of OpenAI's Responses API <-> Message; Databricks' `agent/v1/responses` task speaks the same.

https://platform.openai.com/docs/api-reference/responses/create#responses-create-input
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chatlab.errors import UnsupportedContent
from chatlab.formats import media as _media
from chatlab.formats.openai_shared import (
    Content,
    Form,
    HistoryReader,
    Said,
    image_from_url,
    text_or_none,
    text_part,
    tool_call,
    unknown_role,
    written,
)
from chatlab.formats.shared import unknown
from chatlab.messages import FilePart, Message, Part, ReasoningPart, ToolCall, ToolResult


def to_responses(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return the `input` of a Responses request.

    Messages of text alone carry it as a string. Tool calls and their results are items of their own, in the
    order in which they happened. Raises UnsupportedContent for what the format cannot carry.
    """
    return written(messages, _FORM)


def _message(role: str, content: Content) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": content}


def _file(part: FilePart, where: str) -> dict[str, Any]:
    if part.media_type.startswith("image/"):
        return {"type": "input_image", "detail": "auto", "image_url": _media.data_url(part, where)}
    if part.url is not None:
        return {"type": "input_file", "file_url": part.url}
    return {"type": "input_file", "filename": part.name or "file", "file_data": _media.data_url(part, where)}


def _assistant(said: Iterator[Said]) -> list[dict[str, Any]]:
    return [_item(item) for item in said]


def _item(item: Said) -> dict[str, Any]:
    if isinstance(item, str):
        return _message("assistant", item)
    if isinstance(item, ToolCall):
        return {"type": "function_call", "call_id": item.id, "name": item.name, "arguments": item.arguments}
    return _output(item)


def _output(part: ToolResult) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": part.id, "output": part.content}


_FORM = Form(_message, _assistant, _output, _file, "input_text")


def from_responses(items: Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
    """Return the messages of Responses items, of a request's `input` or a reply's `output`.

    Reasoning belongs to the assistant message after it, tool calls to the one before; each result is a tool
    message. Raises UnsupportedContent for an item it does not know.
    """
    answers = _Answers()
    for index, item in enumerate(items):
        where = f"item {index}"
        if not isinstance(item, Mapping):
            unknown(where, "an object with type or role", item)
        kind = item.get("type", "message" if "role" in item else None)
        if kind == "message" and item.get("role") == "assistant":
            answers.begin(_READER.parts(item.get("content"), where, _READER.assistant))
        elif kind == "function_call":
            answers.join(_call(item, where))
        elif kind == "reasoning":
            answers.begin(_reasoning(item, where), only_reasoning=True)
        elif kind == "message":
            answers.close(_other_message(item, where))
        elif kind == "function_call_output":
            answers.close(_result(item, where))
        else:
            unknown(where, "a message, function_call, function_call_output or reasoning", item)
    answers.close()
    return tuple(answers.messages)


class _Answers:
    """Puts the items of one assistant message together: the last may still be joined by further items."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._open: list[Part] | None = None
        self._only_reasoning = False

    def begin(self, parts: Sequence[Part], *, only_reasoning: bool = False) -> None:
        """Take parts that begin a message, unless all that there is of the last is its reasoning."""
        if not self._only_reasoning:
            self.close()
        self._open = [*(self._open or ()), *parts]
        self._only_reasoning = only_reasoning

    def join(self, part: Part) -> None:
        """Take a part that belongs to the message before it."""
        self._open = [*(self._open or ()), part]
        self._only_reasoning = False

    def close(self, *others: Message) -> None:
        """End the message that is open; these come after it."""
        if self._open is not None:
            self.messages.append(Message("assistant", tuple(self._open)))
        self._open, self._only_reasoning = None, False
        self.messages.extend(others)


def _other_message(item: Mapping[str, Any], where: str) -> Message:
    spoken = _READER.spoken(item, where)
    return spoken or unknown_role(where, "system, user or assistant", item.get("role"))


def _call(item: Mapping[str, Any], where: str) -> ToolCall:
    found = tool_call(item.get("call_id"), item.get("name"), item.get("arguments"))
    return found or unknown(where, "a function call with call_id, name and arguments", item)


def _result(item: Mapping[str, Any], where: str) -> Message:
    call_id = item.get("call_id")
    if not isinstance(call_id, str):
        unknown(where, "a function_call_output with call_id", item)
    return _READER.result(call_id, item.get("output"), where)


def _reasoning(item: Mapping[str, Any], where: str) -> list[ReasoningPart]:
    """Return the full reasoning if it is there, otherwise its summary; often both are empty."""
    for key in ("content", "summary"):
        texts: list[str] = []
        for block in item.get(key) or ():
            if not isinstance(block, Mapping) or not isinstance(block.get("text"), str):
                unknown(f"{where}, {key}", "texts", block)
            texts.append(block["text"])
        if any(texts):
            return [ReasoningPart("\n\n".join(text for text in texts if text))]
    return []


def _part(item: Mapping[str, Any], where: str) -> Part | None:
    kind = item["type"]
    if kind not in ("input_image", "input_file"):
        return text_part(item, "refusal" if kind == "refusal" else "text", kind, where)
    try:
        found = _file_part(kind, item)
    except ValueError as exc:
        raise UnsupportedContent(f"{where}: the {kind} is {exc}") from exc
    return found or unknown(where, f"an {kind} with its content or URL", item)


def _file_part(kind: str, item: Mapping[str, Any]) -> FilePart | None:
    """Return the file in a part of this kind, None if it is not there. Raises ValueError for a wrong one."""
    if kind == "input_image" and isinstance(item.get("image_url"), str):
        return image_from_url(item["image_url"])
    name = text_or_none(item.get("filename"))
    if kind == "input_file" and isinstance(item.get("file_data"), str):
        return _media.file_from_data_url(item["file_data"], name)
    if kind == "input_file" and isinstance(item.get("file_url"), str):
        url = item["file_url"]
        if not _media.is_web_url(url):
            raise ValueError("not an http(s) URL")
        return FilePart(_media.media_type_of_url(url, _media.UNKNOWN), name, url=url)
    return None


_READER = HistoryReader(
    system=("input_text", "text"),
    user=("input_text", "text", "input_image", "input_file"),
    assistant=("output_text", "text", "input_text", "refusal"),
    tool=("input_text", "output_text", "text"),
    one=_part,
)
