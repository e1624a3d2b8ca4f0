"""The sampling parameters that OpenAI's protocols take, with their ranges.

From https://platform.openai.com/docs/api-reference; `top_k`, `min_p` and `repetition_penalty` are what other
servers of the protocol (vLLM, llama.cpp, Ollama) add to it.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

from chatlab.backend import Parameter
from chatlab.words import ENGLISH

_COMMON = (
    Parameter("temperature", "float", ENGLISH("parameter.temperature"), 0, 2),
    Parameter("top_p", "float", ENGLISH("parameter.top_p"), 0, 1),
    Parameter("max_tokens", "int", ENGLISH("parameter.max_tokens"), 1),
)
_REASONING = Parameter(
    "reasoning_effort",
    "string",
    ENGLISH("parameter.reasoning_effort"),
    choices=("none", "minimal", "low", "medium", "high", "xhigh", "max"),
)
_VERBOSITY = Parameter(
    "verbosity", "string", ENGLISH("parameter.verbosity"), choices=("low", "medium", "high"), advanced=True
)
_CHAT = (
    Parameter("stop", "strings", ENGLISH("parameter.stop"), advanced=True),
    Parameter("seed", "int", ENGLISH("parameter.seed"), advanced=True),
    Parameter("presence_penalty", "float", ENGLISH("parameter.presence_penalty"), -2, 2, advanced=True),
    Parameter("frequency_penalty", "float", ENGLISH("parameter.frequency_penalty"), -2, 2, advanced=True),
    Parameter("response_format", "json", ENGLISH("parameter.response_format"), advanced=True),
)
_TOOLS = (
    Parameter("tools", "json", ENGLISH("parameter.tools"), advanced=True),
    Parameter("tool_choice", "json", ENGLISH("parameter.tool_choice"), advanced=True),
)
_OTHERS = (
    Parameter("top_k", "int", ENGLISH("parameter.top_k"), 0, advanced=True),
    Parameter("min_p", "float", ENGLISH("parameter.min_p"), 0, 1, advanced=True),
    Parameter("repetition_penalty", "float", ENGLISH("parameter.repetition_penalty"), 0, 2, advanced=True),
)


@cache
def parameters(api: Literal["chat", "responses"], *, own: bool, reasoning: bool) -> tuple[Parameter, ...]:
    """Return the parameters of an API, at OpenAI itself (`own`) or elsewhere."""
    found = [*_COMMON]
    if reasoning:
        found.append(_REASONING)
        found.append(_VERBOSITY)
    if api == "chat":
        found.extend(_CHAT)
        if not own:
            found.extend(_OTHERS)
    return (*found, *_TOOLS)
