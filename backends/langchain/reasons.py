"""Reads why a model ended, from the many words that providers have for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backends._openai_wire import FAILED_REASONS
from chatlab.errors import Unavailable
from chatlab.messages import FinishReason

# What providers call it, first the key, then the value.
_KEYS = ("finish_reason", "stop_reason", "done_reason", "stopReason")
_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "complete": "stop",
    "completed": "stop",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "incomplete": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "tool_call": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "guardrail_intervened": "content_filter",
    "refusal": "content_filter",
    "safety": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "spii": "content_filter",
    "sensitive": "content_filter",
    "error_toxic": "content_filter",
}
# Providers whose streams always say how they ended, so that one which does not was cut off.
SAYS_ITS_END = ("openai", "azure", "anthropic")


def reason_of(metadata: Mapping[str, Any]) -> tuple[FinishReason | None, str | None]:
    """Return the reason, None if none is given, and the provider's own word where nobody knows it.

    Raises Unavailable where the model ended with an error.
    """
    for key in _KEYS:
        found = metadata.get(key)
        if isinstance(found, str) and found:
            return _known(found)
    status = metadata.get("status")  # the Responses API
    if status == "incomplete":
        details = metadata.get("incomplete_details")
        why = details.get("reason") if isinstance(details, Mapping) else None
        return _REASONS.get(str(why), "length"), None
    if status == "failed":
        raise Unavailable(f"the model's response failed: {metadata.get('error')}")
    return ("stop" if status == "completed" else None), None


def _known(said: str) -> tuple[FinishReason, str | None]:
    word = _once(said.lower())
    if word in FAILED_REASONS:
        raise Unavailable(f"the model broke off its answer with the reason {word!r}")
    known = _REASONS.get(word)
    return (known, None) if known is not None else ("stop", said[:40])


def _once(said: str) -> str:
    """Return a word that was joined with itself, as LangChain does where several chunks have it, once."""
    for size in range(1, len(said) // 2 + 1):
        if len(said) % size == 0 and said[:size] * (len(said) // size) == said:
            return said[:size]
    return said
