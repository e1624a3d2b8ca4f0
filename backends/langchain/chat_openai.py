"""langchain-openai's chat model, with the reasoning that servers other than OpenAI's put beside the text.

vLLM, llama.cpp, SGLang and others send it as `reasoning_content` or `reasoning`; ChatOpenAI leaves it out on
purpose and refers to subclasses. This one does what langchain-deepseek's does.
"""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_openai import ChatOpenAI


class ReasoningChatOpenAI(ChatOpenAI):
    """ChatOpenAI that keeps the reasoning, as `additional_kwargs["reasoning_content"]`."""

    def _convert_chunk_to_generation_chunk(
        self, chunk: dict[str, Any], default_chunk_class: type, base_generation_info: dict[str, Any] | None
    ) -> ChatGenerationChunk | None:
        found = super()._convert_chunk_to_generation_chunk(chunk, default_chunk_class, base_generation_info)
        choices = chunk.get("choices")
        if found is not None and choices and isinstance(found.message, AIMessageChunk):
            delta = choices[0].get("delta") or {}
            reasoning = delta.get("reasoning_content") or delta.get("reasoning")
            if isinstance(reasoning, str):
                found.message.additional_kwargs["reasoning_content"] = reasoning
        return found
