"""OpenAI Chat Completions messages <-> Message.

https://platform.openai.com/docs/api-reference/chat/create#chat-create-messages
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chatlab.codec import decode_base64
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
from chatlab.formats.suffixes import canonical
from chatlab.messages import FilePart, Message, Part, ReasoningPart, TextPart, ToolCall, ToolResult

_AUDIO = {"audio/wav": "wav", "audio/mpeg": "mp3"}
_AUDIO_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg"}


def to_openai(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return the `messages` of a Chat Completions request.

    Text alone is sent as a string, text with files as a list of parts; images go as `image_url`, wav and mp3
    as `input_audio`, all other files as `file` with a `data:` URL. Raises UnsupportedContent for what the
    format cannot carry, such as a file by URL that is no image.
    """
    return written(messages, _FORM)


def _message(role: str, content: Content) -> dict[str, Any]:
    return {"role": role, "content": content}


def _file(part: FilePart, where: str) -> dict[str, Any]:
    if part.media_type.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": _media.data_url(part, where)}}
    if part.url is not None:
        raise UnsupportedContent(
            f"{where}: Chat Completions takes only images by URL, other files by content ({part.media_type})"
        )
    data_url = _media.data_url(part, where)
    audio = _AUDIO.get(canonical(part.media_type))
    if audio is not None:
        data = data_url.partition(",")[2]
        return {"type": "input_audio", "input_audio": {"data": data, "format": audio}}
    return {"type": "file", "file": {"filename": part.name or "file", "file_data": data_url}}


def _assistant(said: Iterator[Said]) -> list[dict[str, Any]]:
    """Return messages that end at each result: the calls before it stand in one, with the text about them."""
    found: list[dict[str, Any]] = []
    texts: list[str] = []
    calls: list[dict[str, Any]] = []

    def close() -> None:
        if calls:
            found.append({"role": "assistant", "content": "".join(texts) or None, "tool_calls": list(calls)})
        elif texts:
            found.append(_message("assistant", "".join(texts)))
        texts.clear()
        calls.clear()

    for item in said:
        if isinstance(item, str):
            texts.append(item)
        elif isinstance(item, ToolCall):
            function = {"name": item.name, "arguments": item.arguments}
            calls.append({"id": item.id, "type": "function", "function": function})
        else:
            close()
            found.append(_result(item))
    close()
    return found


def _result(part: ToolResult) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": part.id, "content": part.content}


_FORM = Form(_message, _assistant, _result, _file, "text")


def from_openai(messages: Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
    """Return the messages of a Chat Completions request or reply; `developer` is `system`.

    Takes `reasoning_content` and `reasoning` of compatible servers, and content given as parts. Keys that
    say nothing about the content are ignored. Raises UnsupportedContent for a shape it does not know.
    """
    return tuple(_from_one(item, f"message {index}") for index, item in enumerate(messages))


def _from_one(item: Mapping[str, Any], where: str) -> Message:
    if not isinstance(item, Mapping):
        unknown(where, "an object with role and content", item)
    spoken = _READER.spoken(item, where)
    if spoken is not None:
        return spoken
    role = item.get("role")
    if role == "assistant":
        return Message("assistant", _assistant_parts(item, where))
    if role == "tool":
        call_id = item.get("tool_call_id")
        if not isinstance(call_id, str):
            unknown(where, "a tool message with tool_call_id", item)
        return _READER.result(call_id, item.get("content"), where, text_or_none(item.get("name")))
    unknown_role(where, "system, user, assistant or tool", role)


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
        parts.extend(_READER.parts(item["content"], where, _READER.assistant))
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
            found = tool_call(call.get("id"), function.get("name"), function.get("arguments"))
            if found is not None:
                return found
    unknown(where, "a function call with id, name and arguments", call)


def _part(item: Mapping[str, Any], where: str) -> Part | None:
    kind = item["type"]
    if kind in ("text", "refusal"):
        return text_part(item, kind, kind, where)
    if kind == "reasoning":  # Databricks' reasoning models: {"type": "reasoning", "summary": [...]}
        return _reasoning(item.get("summary"), where)
    value = item.get(kind)
    if not isinstance(value, Mapping):
        unknown(where, f"an object under {kind}", value)
    try:
        found = _file_part(kind, value)
    except ValueError as exc:
        raise UnsupportedContent(f"{where}: the {kind} is {exc}") from exc
    return found or unknown(where, f"a {kind} with its content", value)


def _file_part(kind: str, value: Mapping[str, Any]) -> FilePart | None:
    """Return the file in a part of this kind, None if it is not there. Raises ValueError for a wrong one."""
    if kind == "image_url" and isinstance(value.get("url"), str):
        return image_from_url(value["url"])
    if kind == "input_audio" and isinstance(value.get("data"), str):
        media_type = _AUDIO_TYPES.get(str(value.get("format")))
        return FilePart(media_type, data=decode_base64(value["data"])) if media_type else None
    if kind == "file" and isinstance(value.get("file_data"), str):
        return _media.file_from_data_url(value["file_data"], text_or_none(value.get("filename")))
    return None


def _reasoning(summary: object, where: str) -> ReasoningPart | None:
    texts = [
        item["text"]
        for item in (summary if isinstance(summary, list | tuple) else ())
        if isinstance(item, Mapping) and isinstance(item.get("text"), str)
    ]
    if not isinstance(summary, list | tuple) or len(texts) != len(summary):
        unknown(where, "a reasoning summary of texts", summary)
    return ReasoningPart("".join(texts)) if any(texts) else None


_READER = HistoryReader(
    system=("text",),
    user=("text", "image_url", "input_audio", "file"),
    assistant=("text", "refusal", "reasoning"),
    tool=("text",),
    one=_part,
)
