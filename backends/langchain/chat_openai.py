"""langchain-openai's chat models, with what servers other than OpenAI's put beside the text.

vLLM, llama.cpp, SGLang and others send reasoning as `reasoning_content` or `reasoning`; ChatOpenAI leaves it
out on purpose and refers to subclasses. This one does what langchain-deepseek's does.
"""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_openai import AzureChatOpenAI, ChatOpenAI
from langchain_openai.chat_models.base import BaseChatOpenAI

from backends.langchain.openai_client import BESIDE


class _Wire(BaseChatOpenAI):
    """Takes from each chunk what LangChain leaves in it."""

    def _convert_chunk_to_generation_chunk(
        self, chunk: dict[str, Any], default_chunk_class: type, base_generation_info: dict[str, Any] | None
    ) -> ChatGenerationChunk | None:
        found = super()._convert_chunk_to_generation_chunk(chunk, default_chunk_class, base_generation_info)
        choices = chunk.get("choices")
        if found is not None and choices and isinstance(found.message, AIMessageChunk):
            delta = choices[0].get("delta") or {}
            for name in ("reasoning_content", BESIDE):
                if delta.get(name):
                    found.message.additional_kwargs[name] = delta[name]
        return found


class WireChatOpenAI(_Wire, ChatOpenAI):
    """ChatOpenAI that has the reasoning, as `additional_kwargs["reasoning_content"]`, and notices."""


class WireAzureChatOpenAI(_Wire, AzureChatOpenAI):
    """The same for Azure."""
