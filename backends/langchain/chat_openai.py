"""langchain-openai's chat models, with what servers other than OpenAI's put beside the text.

vLLM, llama.cpp, SGLang and others send reasoning as `reasoning_content` or `reasoning`; ChatOpenAI leaves it
out on purpose and refers to subclasses. This one does what langchain-deepseek's does. Servers also say in
many ways that they failed in the middle of a stream that looks like a success; ChatOpenAI overlooks these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_openai import AzureChatOpenAI, ChatOpenAI
from langchain_openai.chat_models.base import BaseChatOpenAI

from backends._openai_wire import error_from_body, is_error


class _Wire(BaseChatOpenAI):
    """Looks at each chunk before LangChain does."""

    def _convert_chunk_to_generation_chunk(
        self, chunk: dict[str, Any], default_chunk_class: type, base_generation_info: dict[str, Any] | None
    ) -> ChatGenerationChunk | None:
        _raise_error(chunk)
        found = super()._convert_chunk_to_generation_chunk(chunk, default_chunk_class, base_generation_info)
        if found is None or not isinstance(found.message, AIMessageChunk):
            return found
        _add_cached(chunk.get("usage"), found.message)
        choices = chunk.get("choices")
        if choices:
            delta = choices[0].get("delta") or {}
            reasoning = delta.get("reasoning_content") or delta.get("reasoning")
            if isinstance(reasoning, str):
                found.message.additional_kwargs["reasoning_content"] = reasoning
            refusal = delta.get("refusal")
            if isinstance(refusal, str):
                found.message.additional_kwargs["refusal"] = refusal
        return found


class WireChatOpenAI(_Wire, ChatOpenAI):
    """ChatOpenAI that has the reasoning, as `additional_kwargs["reasoning_content"]`, and sees failures."""


class WireAzureChatOpenAI(_Wire, AzureChatOpenAI):
    """The same for Azure."""


def _add_cached(usage: object, message: AIMessageChunk) -> None:
    """Add the cached tokens that DeepSeek counts under a name of its own."""
    counted = message.usage_metadata
    cached = usage.get("prompt_cache_hit_tokens") if isinstance(usage, Mapping) else None
    if counted is None or not isinstance(cached, int):
        return
    details = counted.get("input_token_details") or {}
    if details.get("cache_read") is None:
        counted["input_token_details"] = {**details, "cache_read": cached}


def _raise_error(chunk: Mapping[str, Any]) -> None:
    """Raise the BackendError that a chunk is, in whatever form it is one."""
    choices = chunk.get("choices")
    if not choices:
        if is_error(chunk):
            raise error_from_body(None, chunk)
        return
    if chunk.get("error"):
        raise error_from_body(None, chunk)
    choice = choices[0]
    if choice.get("finish_reason") == "error":
        raise error_from_body(None, choice.get("error") or "the upstream broke off its answer")
