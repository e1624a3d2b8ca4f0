"""Items of OpenAI's Responses API <-> Message; Databricks' `agent/v1/responses` task speaks the same.

https://platform.openai.com/docs/api-reference/responses/create#responses-create-input
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from chatlab.errors import UnsupportedContent
from chatlab.formats import media as _media
from chatlab.formats.openai_chat import image_from_url
from chatlab.formats.shared import content_parts, only, unknown, user_content
from chatlab.messages import (
    FilePart,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolResult,
)

_INPUT = ("input_text", "text", "input_image", "input_file")
_OUTPUT = ("output_text", "text", "input_text", "refusal")


def to_responses(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The `input` of a Responses request.

    Messages of text alone carry it as a string. Tool calls and their results are items of their own, in the
    order in which they happened. Raises UnsupportedContent for what the format cannot carry.
    """
    found: list[dict[str, Any]] = []
    for index, message in enumerate(messages):
        where = f"message {index}"
        if message.role == "assistant":
            found.extend(_assistant(message, where))
        elif message.role == "tool":
            found.extend(_output(part) for part in only(message.parts, ToolResult, where, "tool"))
        elif message.role == "system":
            text = "".join(part.text for part in only(message.parts, TextPart, where, "system"))
            found.append(_message("system", text))
        elif message.role == "user":
            found.append(_message("user", user_content(message.parts, where, "input_text", _file)))
        else:
            assert_never(message.role)
    return found


def _message(role: str, content: str | list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": content}


def _file(part: FilePart, where: str) -> dict[str, Any]:
    if part.media_type.startswith("image/"):
        return {"type": "input_image", "detail": "auto", "image_url": _media.data_url(part, where)}
    if part.url is not None:
        return {"type": "input_file", "file_url": part.url}
    return {"type": "input_file", "filename": part.name or "file", "file_data": _media.data_url(part, where)}


def _assistant(message: Message, where: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    texts: list[str] = []

    def close() -> None:
        if texts:
            found.append(_message("assistant", "".join(texts)))
            texts.clear()

    for part in message.parts:
        if isinstance(part, TextPart):
            if part.text:
                texts.append(part.text)
        elif isinstance(part, ToolCall):
            close()
            found.append(
                {"type": "function_call", "call_id": part.id, "name": part.name, "arguments": part.arguments}
            )
        elif isinstance(part, ToolResult):
            close()
            found.append(_output(part))
        elif isinstance(part, FilePart):
            raise UnsupportedContent(
                f"{where}: an assistant message cannot hold a file ({part.media_type}) here"
            )
        elif isinstance(part, ReasoningPart):
            continue
        else:
            assert_never(part)
    close()
    return found or [_message("assistant", "")]


def _output(part: ToolResult) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": part.id, "output": part.content}


def from_responses(items: Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
    """Messages from Responses items, of a request's `input` or a reply's `output`.

    Reasoning belongs to the assistant message after it, tool calls to the one before; each result is a tool
    message. Raises UnsupportedContent for an item it does not know.
    """
    found: list[Message] = []
    open_parts: list[Part] | None = None  # of the assistant message that further items may still join
    only_reasoning = False

    def close() -> None:
        nonlocal open_parts
        if open_parts is not None:
            found.append(Message("assistant", tuple(open_parts)))
            open_parts = None

    for index, item in enumerate(items):
        where = f"item {index}"
        if not isinstance(item, Mapping):
            unknown(where, "an object with type or role", item)
        kind = item.get("type", "message" if "role" in item else None)
        if kind == "message" and item.get("role") == "assistant":
            if not only_reasoning:
                close()
            open_parts = [*(open_parts or ()), *_content(item.get("content"), where, _OUTPUT)]
            only_reasoning = False
        elif kind == "function_call":
            open_parts = [*(open_parts or ()), _call(item, where)]
            only_reasoning = False
        elif kind == "reasoning":
            if not only_reasoning:
                close()
            open_parts = [*(open_parts or ()), *_reasoning(item, where)]
            only_reasoning = True
        elif kind == "message" or kind == "function_call_output":
            close()
            only_reasoning = False
            found.append(_other_message(item, where) if kind == "message" else _result(item, where))
        else:
            unknown(where, "a message, function_call, function_call_output or reasoning", item)
    close()
    return tuple(found)


def _other_message(item: Mapping[str, Any], where: str) -> Message:
    role = item.get("role")
    if role in ("system", "developer"):
        return Message("system", _content(item.get("content"), where, ("input_text", "text")))
    if role == "user":
        return Message("user", _content(item.get("content"), where, _INPUT))
    shown = repr(role)[:40] if isinstance(role, str) else "none"
    raise UnsupportedContent(f"{where}: expected a role of system, user or assistant, found {shown}")


def _call(item: Mapping[str, Any], where: str) -> ToolCall:
    call_id, name, arguments = item.get("call_id"), item.get("name"), item.get("arguments")
    if isinstance(call_id, str) and isinstance(name, str) and isinstance(arguments, str):
        return ToolCall(call_id, name, arguments)
    unknown(where, "a function call with call_id, name and arguments", item)


def _result(item: Mapping[str, Any], where: str) -> Message:
    call_id, output = item.get("call_id"), item.get("output")
    if not isinstance(call_id, str):
        unknown(where, "a function_call_output with call_id", item)
    texts = _content(output, where, ("input_text", "output_text", "text"))
    return Message("tool", (ToolResult(call_id, "".join(p.text for p in texts if isinstance(p, TextPart))),))


def _reasoning(item: Mapping[str, Any], where: str) -> list[ReasoningPart]:
    """The full reasoning if it is there, otherwise its summary; often both are empty."""
    for key in ("content", "summary"):
        blocks = item.get(key) or ()
        texts: list[str] = []
        for block in blocks:
            if not isinstance(block, Mapping) or not isinstance(block.get("text"), str):
                unknown(f"{where}, {key}", "texts", block)
            texts.append(block["text"])
        if any(texts):
            return [ReasoningPart("\n\n".join(text for text in texts if text))]
    return []


def _content(content: object, where: str, allowed: Sequence[str]) -> tuple[Part, ...]:
    return content_parts(content, where, allowed, _part)


def _part(item: Mapping[str, Any], where: str) -> Part | None:
    kind = item["type"]
    if kind not in ("input_image", "input_file"):
        text = item.get("refusal" if kind == "refusal" else "text")
        if not isinstance(text, str):
            unknown(where, f"{kind} as a string", text)
        return TextPart(text) if text else None
    try:
        if kind == "input_image" and isinstance(item.get("image_url"), str):
            return image_from_url(item["image_url"])
        name = item["filename"] if isinstance(item.get("filename"), str) else None
        if kind == "input_file" and isinstance(item.get("file_data"), str):
            return _media.file_from_data_url(item["file_data"], name)
        if kind == "input_file" and isinstance(item.get("file_url"), str):
            url = item["file_url"]
            if not _media.is_web_url(url):
                raise ValueError("not an http(s) URL")
            return FilePart(_media.media_type_of_url(url, _media.UNKNOWN), name, url=url)
    except ValueError as exc:
        raise UnsupportedContent(f"{where}: the {kind} is {exc}") from exc
    unknown(where, f"an {kind} with its content or URL", item)
