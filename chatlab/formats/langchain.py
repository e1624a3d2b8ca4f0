"""LangChain messages <-> Message, by the standard content blocks of langchain-core 1.x.

langchain_core is imported when a function is called, so that other histories need none of it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, assert_never

from chatlab.codec import decode_base64, is_data_url
from chatlab.errors import UnsupportedContent
from chatlab.formats import media as _media
from chatlab.formats.shared import only, unknown
from chatlab.messages import (
    FilePart,
    Message,
    Part,
    ReasoningPart,
    Role,
    TextPart,
    ToolCall,
    ToolResult,
)
from chatlab.text import encodable

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

_BLOCK_FALLBACK = {
    "image": "image/*",
    "audio": "audio/*",
    "video": "video/*",
    "file": _media.UNKNOWN,
    "text-plain": "text/plain",
}


def to_langchain(messages: Sequence[Message]) -> list[BaseMessage]:
    """Return LangChain messages for a chat model, a Runnable or a graph.

    Text alone is a string; files are standard blocks (`image`, `audio`, `video`, `file`) by base64 or URL.
    Tool calls whose arguments are no JSON object become `invalid_tool_calls`.
    """
    from langchain_core.messages import HumanMessage, SystemMessage

    found: list[BaseMessage] = []
    for index, message in enumerate(messages):
        where = f"message {index}"
        if message.role == "assistant":
            found.extend(_assistant(message, where))
        elif message.role == "tool":
            found.extend(_tool(part) for part in only(message.parts, ToolResult, where, "tool"))
        elif message.role == "system":
            texts = only(message.parts, TextPart, where, "system")
            found.append(SystemMessage("".join(part.text for part in texts)))
        elif message.role == "user":
            for part in message.parts:
                if not isinstance(part, TextPart | FilePart):
                    raise UnsupportedContent(f"{where}: a user message cannot hold a {type(part).__name__}")
            found.append(HumanMessage(_content(message.parts, where)))
        else:
            assert_never(message.role)
    return found


def _content(parts: Sequence[Part], where: str) -> Any:
    """Return a string where there are texts only, otherwise blocks. Parts of other kinds are not content."""
    content = [
        part for part in parts if isinstance(part, FilePart) or (isinstance(part, TextPart) and part.text)
    ]
    if not any(isinstance(part, FilePart) for part in content):
        return "".join(part.text for part in content if isinstance(part, TextPart))
    blocks: list[dict[str, Any]] = []
    for part in content:
        if isinstance(part, TextPart):
            blocks.append({"type": "text", "text": part.text})
        else:
            blocks.append(_file(part, where))
    return blocks


def _file(part: FilePart, where: str) -> dict[str, Any]:
    kind = part.media_type.partition("/")[0]
    block: dict[str, Any] = {"type": kind if kind in ("image", "audio", "video") else "file"}
    if not part.media_type.endswith("/*"):  # a pattern stands for "not known more exactly"
        block["mime_type"] = part.media_type
    if part.url is not None:
        block["url"] = part.url
    else:
        block["base64"] = base64.b64encode(_media.content(part, where)).decode("ascii")
    if part.name is not None:
        block["extras"] = {"filename": part.name}
    return block


def _assistant(message: Message, where: str) -> list[BaseMessage]:
    found: list[BaseMessage] = []
    pending: list[Part] = []

    def close() -> None:
        if pending:
            found.append(_ai(pending, where))
            pending.clear()

    for part in message.parts:
        if isinstance(part, ToolResult):
            close()
            found.append(_tool(part))
        elif isinstance(part, ReasoningPart):
            continue
        elif isinstance(part, TextPart | FilePart | ToolCall):
            pending.append(part)
        else:
            assert_never(part)
    close()
    return found or [_ai((), where)]


def _ai(parts: Sequence[Part], where: str) -> BaseMessage:
    from langchain_core.messages import AIMessage
    from langchain_core.messages.tool import invalid_tool_call, tool_call

    calls, broken = [], []
    for part in parts:
        if isinstance(part, ToolCall):
            arguments = _object(part.arguments)
            if arguments is None:
                broken.append(
                    invalid_tool_call(
                        name=part.name, args=part.arguments, id=part.id, error="arguments are no JSON object"
                    )
                )
            else:
                calls.append(tool_call(name=part.name, args=arguments, id=part.id))
    return AIMessage(_content(parts, where), tool_calls=calls, invalid_tool_calls=broken)


def _object(arguments: str) -> dict[str, Any] | None:
    if not arguments.strip():  # how some models call a tool that takes nothing
        return {}
    try:
        value = json.loads(arguments)
    except ValueError:
        return None
    return encodable(value) if isinstance(value, dict) else None


def _tool(part: ToolResult) -> BaseMessage:
    from langchain_core.messages import ToolMessage

    status = "error" if part.is_error else "success"
    return ToolMessage(part.content, tool_call_id=part.id, name=part.name, status=status)


def from_langchain(messages: Sequence[BaseMessage]) -> tuple[Message, ...]:
    """Return messages from LangChain's, whole ones or aggregated chunks.

    Reads the standard content blocks, into which langchain-core translates the providers' own. The order in
    an assistant message is reasoning, text and files as they stand, then tool calls. Arguments of tool calls
    are JSON text written anew: LangChain keeps the parsed value only. Raises UnsupportedContent.
    """
    return tuple(_from_one(message, f"message {index}") for index, message in enumerate(messages))


_ROLES: dict[str, Role] = {
    "human": "user",
    "user": "user",
    "HumanMessageChunk": "user",
    "system": "system",
    "developer": "system",
    "SystemMessageChunk": "system",
    "ai": "assistant",
    "assistant": "assistant",
    "AIMessageChunk": "assistant",
    "tool": "tool",
    "ToolMessageChunk": "tool",
}


def _from_one(message: BaseMessage, where: str) -> Message:
    from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, ToolMessage

    if not isinstance(message, BaseMessage):
        unknown(where, "a LangChain message", message)
    role = _ROLES.get(message.role if isinstance(message, ChatMessage) else message.type)
    if role is None:
        raise UnsupportedContent(f"{where}: no place for a LangChain message of type {message.type!r}")
    parts: list[Part] = []
    for number, block in enumerate(message.content_blocks):
        parts.extend(_from_block(block, f"{where}, block {number}"))
    if isinstance(message, ToolMessage):
        if not all(isinstance(part, TextPart) for part in parts):
            raise UnsupportedContent(f"{where}: a tool's result holds something other than text")
        text = "".join(part.text for part in parts if isinstance(part, TextPart))
        failed = message.status == "error"
        return Message("tool", (ToolResult(message.tool_call_id, text, message.name, failed),))
    if isinstance(message, AIMessage):
        for call in message.tool_calls:
            arguments = json.dumps(call["args"], ensure_ascii=False)
            parts.append(ToolCall(call["id"] or "", call["name"], arguments))
        for broken in message.invalid_tool_calls:
            parts.append(ToolCall(broken["id"] or "", broken["name"] or "", broken["args"] or ""))
    return Message(role, tuple(parts))


def _from_block(block: Mapping[str, Any], where: str) -> list[Part]:
    kind = block.get("type")
    if kind == "text":
        return [TextPart(block["text"])] if block.get("text") else []
    if kind == "reasoning":
        return [ReasoningPart(block["reasoning"])] if block.get("reasoning") else []
    if kind in ("tool_call", "invalid_tool_call", "tool_call_chunk"):
        return []  # the message's own `tool_calls` has them, parsed, once each
    if kind == "server_tool_call":
        arguments = json.dumps(block.get("args", {}), ensure_ascii=False)
        return [ToolCall(block["id"], block["name"], arguments)]
    if kind == "server_tool_result":
        output = block.get("output", "")
        text = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False, default=str)
        return [ToolResult(block["tool_call_id"], text, is_error=block.get("status") == "error")]
    if isinstance(kind, str) and kind in _BLOCK_FALLBACK:
        return [_from_file(block, kind, where)]
    unknown(where, "a text, reasoning, tool or file block", block.get("value", block))


def _from_file(block: Mapping[str, Any], kind: str, where: str) -> FilePart:
    extras = block.get("extras") or {}
    name = extras.get("filename") or block.get("title")
    media_type = block.get("mime_type") or _BLOCK_FALLBACK[kind]
    url, text = block.get("url"), block.get("text")
    try:
        if isinstance(block.get("base64"), str):
            return FilePart(media_type, name, data=decode_base64(block["base64"]))
        if isinstance(url, str) and is_data_url(url):
            return _media.file_from_data_url(url, name)
        if isinstance(url, str) and _media.is_web_url(url):
            return FilePart(media_type, name, url=url)
    except ValueError as exc:
        raise UnsupportedContent(f"{where}: the {kind} is {exc}") from exc
    if isinstance(text, str):
        return FilePart(media_type, name, data=text.encode("utf-8"))
    unknown(where, f"a {kind} block with base64, an http(s) URL or text", block)
