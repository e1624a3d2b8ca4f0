"""The content of LangChain's messages, in its standard form or a provider's own, as chatlab's events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, convert_to_messages
from pydantic import BaseModel

from backends.langchain.openai_client import BESIDE
from chatlab.messages import (
    Citation,
    Notice,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolResult,
)

_FILES = ("image", "image_url", "audio", "video", "file", "image_generation_call")
_ROLES = ("user", "human", "assistant", "ai", "system", "developer", "tool", "model")


def content_events(message: AIMessage) -> Iterator[StreamEvent]:
    """Yield the events of the content: blocks in LangChain's standard form or a provider's own, or a string.

    Some providers put the reasoning beside the string.
    """
    text = message.content
    if not isinstance(text, str):
        for block in message.content_blocks:
            yield from _block_events(block)
        return
    more = message.additional_kwargs
    if more:
        reasoning = more.get("reasoning_content") or more.get("reasoning")
        if isinstance(reasoning, str):
            yield ReasoningDelta(reasoning)
        refusal = more.get("refusal")
        if isinstance(refusal, str) and refusal:
            yield TextDelta(refusal)
        told = more.get(BESIDE) or {}
        if "notice" in told:
            yield Notice(*told["notice"])
        if "citation" in told:
            yield Citation(*told["citation"])
    if text:
        yield TextDelta(text)


def refuses(message: AIMessage) -> bool:
    """Return whether the model says in this message, or chunk of one, that it will not answer."""
    if message.additional_kwargs.get("refusal"):
        return True
    blocks = message.content if isinstance(message.content, list) else ()
    return any(isinstance(block, Mapping) and block.get("type") == "refusal" for block in blocks)


def _block_events(block: Mapping[str, Any]) -> Iterator[StreamEvent]:
    kind = block.get("type")
    if kind == "non_standard" and isinstance(block.get("value"), Mapping):
        block = block["value"]
        kind = block.get("type")
    if kind == "text":
        yield from _text_events(block)
    elif kind in ("reasoning", "thinking"):
        text = block.get("reasoning") or block.get("thinking")
        if isinstance(text, str) and text:
            yield ReasoningDelta(text)
    elif kind == "refusal" and block.get("refusal"):
        yield TextDelta(block["refusal"])
    elif kind == "server_tool_call":
        arguments = json.dumps(block.get("args") or {}, ensure_ascii=False)
        yield ToolCall(block.get("id") or "server", block.get("name") or "tool", arguments)
    elif kind == "server_tool_result":
        output = block.get("output")
        text = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False, default=str)
        yield ToolResult(block.get("tool_call_id") or "server", text, None, block.get("status") == "error")
    elif kind in _FILES:
        yield Notice("other", f"{_file_name(block)} in the answer, which chatlab does not show")


def _text_events(block: Mapping[str, Any]) -> Iterator[StreamEvent]:
    if block.get("text"):
        yield TextDelta(block["text"])
    for note in block.get("annotations") or ():
        if isinstance(note, Mapping) and note.get("type") in ("citation", "url_citation"):
            url = note.get("url")
            yield Citation(note.get("title") or url or "source", url, note.get("cited_text"))


def _file_name(block: Mapping[str, Any]) -> str:
    """Return what kind of file a block is, and where it is if it has an address."""
    kind = str(block.get("type")).partition("_")[0]
    described = f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
    if isinstance(block.get("mime_type"), str):
        described += f" ({block['mime_type']})"
    place = block.get("url") or block.get("image_url")
    place = place.get("url") if isinstance(place, Mapping) else place
    if isinstance(place, str) and place.startswith(("http://", "https://")):
        described += f" at {place[:200]}"
    return described


def tool_text(content: str | list[Any]) -> str:
    """Return a tool's content as one text."""
    if isinstance(content, str):
        return content
    return "".join(
        item
        if isinstance(item, str)
        else str(item.get("text") or json.dumps(item, ensure_ascii=False, default=str))
        for item in content
    )


def as_message(item: Any) -> BaseMessage | None:
    """Return the message that an item of a list is: one itself, `{"role", "content"}`, `("ai", text)`, or as
    LangChain stores one, `{"type", "data"}`.
    """
    if isinstance(item, BaseMessage):
        return item
    if isinstance(item, Mapping):
        if isinstance(item.get("data"), Mapping):
            item = {**item["data"], "type": item.get("type")}
        role, content = item.get("role") or item.get("type"), item.get("content")
        if role not in _ROLES or not ("content" in item or "tool_calls" in item):
            return None
        if isinstance(content, Mapping) or content is None:
            content = "" if content is None else as_json(content)
        rest = {name: value for name, value in item.items() if name != "type"}
        item = {**rest, "role": "assistant" if role == "model" else role, "content": content}
    elif not (isinstance(item, tuple) and len(item) == 2 and item[0] in _ROLES):
        return None
    try:
        return convert_to_messages([item])[0]
    except (ValueError, TypeError, KeyError, NotImplementedError):
        return None


def as_json(value: Any) -> str:
    """Return a structured answer as JSON text, models of pydantic and everything in them included."""
    return json.dumps(_plain(value), ensure_ascii=False, indent=2, default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return _plain({one.name: getattr(value, one.name) for one in fields(value)})
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value
