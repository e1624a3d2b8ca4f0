"""Token counts, as servers of OpenAI's two protocols write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backends._openai_wire.values import mapping
from chatlab.messages import Usage

_MOST = 2**53  # tokens; no count is that large, and no database would hold it


def usage_of(usage: Mapping[str, Any]) -> Usage:
    """Return the token counts of either API. What is not there is unknown, never zero.

    `input` is all that the model read. Anthropic's models (as Databricks and gateways give them) count what
    was read from and written to the prompt cache beside the input, everybody else inside of it.
    """
    prompt = _count(usage, "prompt_tokens", "input_tokens")
    details = _details(usage, "prompt_tokens_details", "input_tokens_details")
    cached = _count(details, "cached_tokens")
    if cached is None:
        cached = _count(usage, "prompt_cache_hit_tokens", "cached_tokens")  # DeepSeek; Moonshot
    written = _count(usage, "cache_creation_input_tokens")
    if written is None:
        written = _count(details, "cache_creation_tokens", "cache_write_tokens")
    if cached is None:
        cached = _count(usage, "cache_read_input_tokens")
        if prompt is not None:
            prompt += (cached or 0) + (written or 0)
    return Usage(
        input=prompt,
        output=_count(usage, "completion_tokens", "output_tokens"),
        cached=cached,
        reasoning=_count(
            _details(usage, "completion_tokens_details", "output_tokens_details"), "reasoning_tokens"
        ),
        cache_written=written,
    )


def _details(usage: Mapping[str, Any], name: str, other: str) -> Mapping[str, Any]:
    return mapping(usage.get(name)) or mapping(usage.get(other))


def _count(holder: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = holder.get(name)
        if value is None:  # most names stand in nobody's answer
            continue
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MOST:
            return int(value) if value == int(value) else None
    return None
