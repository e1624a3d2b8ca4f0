"""The content of LangChain's messages, in its standard form or a provider's own, as chatlab's events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.messages import AIMessage

from chatlab.messages import Citation, ReasoningDelta, StreamEvent, TextDelta, ToolCall, ToolResult


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
    if text:
        yield TextDelta(text)


def _block_events(block: Mapping[str, Any]) -> Iterator[StreamEvent]:
    kind = block.get("type")
    if kind == "non_standard" and isinstance(block.get("value"), Mapping):
        block = block["value"]
        kind = block.get("type")
    if kind == "text":
        if block.get("text"):
            yield TextDelta(block["text"])
        for note in block.get("annotations") or ():
            if isinstance(note, Mapping) and note.get("type") in ("citation", "url_citation"):
                url = note.get("url")
                yield Citation(note.get("title") or url or "source", url, note.get("cited_text"))
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
