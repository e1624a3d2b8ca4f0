"""OpenAI Chat Completions messages <-> Message.

https://platform.openai.com/docs/api-reference/chat/create#chat-create-messages
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from chatlab.codec import decode_base64
from chatlab.errors import UnsupportedContent
from chatlab.formats import media as _media
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

_AUDIO = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}
_AUDIO_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg"}


def to_openai(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The `messages` of a Chat Completions request.

    Text alone is sent as a string, text with files as a list of parts; images go as `image_url`, wav and mp3
    as `input_audio`, all other files as `file` with a `data:` URL. Raises UnsupportedContent for what the
    format cannot carry, such as a file by URL that is no image.
    """
    found: list[dict[str, Any]] = []
    for index, message in enumerate(messages):
        where = f"message {index}"
        if message.role == "assistant":
            found.extend(_assistant(message, where))
        elif message.role == "tool":
            found.extend(_tool(part) for part in only(message.parts, ToolResult, where, "tool"))
        elif message.role == "system":
            texts = only(message.parts, TextPart, where, "system")
            found.append({"role": "system", "content": "".join(part.text for part in texts)})
        elif message.role == "user":
            found.append({"role": "user", "content": user_content(message.parts, where, "text", _file)})
        else:
            assert_never(message.role)
    return found


def _file(part: FilePart, where: str) -> dict[str, Any]:
    if part.media_type.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": _media.data_url(part, where)}}
    if part.url is not None:
        raise UnsupportedContent(
            f"{where}: Chat Completions takes only images by URL, other files by content ({part.media_type})"
        )
    data_url = _media.data_url(part, where)
    if part.media_type in _AUDIO:
        data = data_url.partition(",")[2]
        return {"type": "input_audio", "input_audio": {"data": data, "format": _AUDIO[part.media_type]}}
    return {"type": "file", "file": {"filename": part.name or "file", "file_data": data_url}}


def _assistant(message: Message, where: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    texts: list[str] = []
    calls: list[dict[str, Any]] = []

    def close() -> None:
        if calls:
            found.append({"role": "assistant", "content": "".join(texts) or None, "tool_calls": list(calls)})
        elif texts:
            found.append({"role": "assistant", "content": "".join(texts)})
        texts.clear()
        calls.clear()

    for part in message.parts:
        if isinstance(part, TextPart):
            if part.text:
                texts.append(part.text)
        elif isinstance(part, ToolCall):
            function = {"name": part.name, "arguments": part.arguments}
            calls.append({"id": part.id, "type": "function", "function": function})
        elif isinstance(part, ToolResult):
            close()
            found.append(_tool(part))
        elif isinstance(part, FilePart):
            raise UnsupportedContent(
                f"{where}: an assistant message cannot hold a file ({part.media_type}) here"
            )
        elif isinstance(part, ReasoningPart):
            continue
        else:
            assert_never(part)
    close()
    return found or [{"role": "assistant", "content": ""}]


def _tool(part: ToolResult) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": part.id, "content": part.content}


def from_openai(messages: Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
    """Messages of a Chat Completions request or reply; `developer` is `system`.

    Takes `reasoning_content` and `reasoning` of compatible servers, and content given as parts. Keys that
    say nothing about the content are ignored. Raises UnsupportedContent for a shape it does not know.
    """
    return tuple(_from_one(item, f"message {index}") for index, item in enumerate(messages))


def _from_one(item: Mapping[str, Any], where: str) -> Message:
    if not isinstance(item, Mapping):
        unknown(where, "an object with role and content", item)
    role = item.get("role")
    content = item.get("content")
    if role in ("system", "developer"):
        return Message("system", _content(content, where, ("text",)))
    if role == "user":
        return Message("user", _content(content, where, ("text", "image_url", "input_audio", "file")))
    if role == "assistant":
        return Message("assistant", _assistant_parts(item, where))
    if role == "tool":
        call_id, name = item.get("tool_call_id"), item.get("name")
        if not isinstance(call_id, str):
            unknown(where, "a tool message with tool_call_id", item)
        text = "".join(p.text for p in _content(content, where, ("text",)) if isinstance(p, TextPart))
        return Message("tool", (ToolResult(call_id, text, name if isinstance(name, str) else None),))
    shown = repr(role)[:40] if isinstance(role, str) else "none"
    raise UnsupportedContent(f"{where}: expected a role of system, user, assistant or tool, found {shown}")


def _assistant_parts(item: Mapping[str, Any], where: str) -> tuple[Part, ...]:
    for key in ("audio", "function_call"):
        if item.get(key) is not None:
            unknown(f"{where}, {key}", "text or tool_calls", item[key])
    parts: list[Part] = []
    thought = item.get("reasoning_content") or item.get("reasoning")
    if thought:
        if not isinstance(thought, str):
            unknown(f"{where}, reasoning", "a string", thought)
        parts.append(ReasoningPart(thought))
    if item.get("content") is not None:
        parts.extend(_content(item["content"], where, ("text", "refusal", "reasoning")))
    refusal = item.get("refusal")
    if isinstance(refusal, str) and refusal:
        parts.append(TextPart(refusal))
    calls = item.get("tool_calls") or ()
    if not isinstance(calls, list | tuple):
        unknown(f"{where}, tool_calls", "a list", calls)
    parts.extend(_call(call, f"{where}, tool call {number}") for number, call in enumerate(calls))
    return tuple(parts)


def _call(call: object, where: str) -> ToolCall:
    if isinstance(call, Mapping) and call.get("type", "function") == "function":
        function = call.get("function")
        if isinstance(function, Mapping):
            call_id, name, arguments = call.get("id"), function.get("name"), function.get("arguments")
            if isinstance(call_id, str) and isinstance(name, str) and isinstance(arguments, str):
                return ToolCall(call_id, name, arguments)
    unknown(where, "a function call with id, name and arguments", call)


def _content(content: object, where: str, allowed: Sequence[str]) -> tuple[Part, ...]:
    return content_parts(content, where, allowed, _part)


def _part(item: Mapping[str, Any], where: str) -> Part | None:
    kind = item["type"]
    value = item.get(kind)
    if kind in ("text", "refusal"):
        if not isinstance(value, str):
            unknown(where, f"{kind} as a string", value)
        return TextPart(value) if value else None
    if kind == "reasoning":  # Databricks' reasoning models: {"type": "reasoning", "summary": [...]}
        return _reasoning(item.get("summary"), where)
    if not isinstance(value, Mapping):
        unknown(where, f"an object under {kind}", value)
    try:
        if kind == "image_url" and isinstance(value.get("url"), str):
            return image_from_url(value["url"])
        if kind == "input_audio" and isinstance(value.get("data"), str):
            audio_format = value.get("format")
            if audio_format in _AUDIO_TYPES:
                return FilePart(_AUDIO_TYPES[audio_format], data=decode_base64(value["data"]))
        if kind == "file" and isinstance(value.get("file_data"), str):
            name = value.get("filename")
            return _media.file_from_data_url(value["file_data"], name if isinstance(name, str) else None)
    except ValueError as exc:
        raise UnsupportedContent(f"{where}: the {kind} is {exc}") from exc
    unknown(where, f"a {kind} with its content", value)


def image_from_url(url: str) -> FilePart:
    """An image by `data:` or http(s) URL. Raises ValueError for any other."""
    if _media.is_web_url(url):
        guessed = _media.media_type_of_url(url, "image/*")
        return FilePart(guessed if guessed.startswith("image/") else "image/*", url=url)
    return _media.file_from_data_url(url)


def _reasoning(summary: object, where: str) -> ReasoningPart | None:
    texts = [
        item["text"]
        for item in (summary if isinstance(summary, list | tuple) else ())
        if isinstance(item, Mapping) and isinstance(item.get("text"), str)
    ]
    if not isinstance(summary, list | tuple) or len(texts) != len(summary):
        unknown(where, "a reasoning summary of texts", summary)
    return ReasoningPart("".join(texts)) if any(texts) else None
