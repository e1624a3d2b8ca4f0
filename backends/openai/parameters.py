"""The sampling parameters that OpenAI's protocols take, with their ranges.

From https://platform.openai.com/docs/api-reference; `top_k`, `min_p` and `repetition_penalty` are what other
servers of the protocol (vLLM, llama.cpp, Ollama) add to it.
"""

from __future__ import annotations

from typing import Literal

from chatlab.backend import Parameter

_COMMON = (
    Parameter("temperature", "float", "Higher is more varied, 0 nearly always the same.", 0, 2),
    Parameter("top_p", "float", "Only the likeliest tokens that together reach this probability.", 0, 1),
    Parameter("max_tokens", "int", "Tokens after which the answer is cut, reasoning included.", 1),
)
_REASONING = Parameter(
    "reasoning_effort",
    "string",
    "How much the model thinks before it answers.",
    choices=("none", "minimal", "low", "medium", "high", "xhigh", "max"),
)
_VERBOSITY = Parameter(
    "verbosity", "string", "How long answers are.", choices=("low", "medium", "high"), advanced=True
)
_CHAT = (
    Parameter("stop", "strings", "Texts before which the answer ends.", advanced=True),
    Parameter("seed", "int", "The same seed gives the same answer, as far as the server can.", advanced=True),
    Parameter("presence_penalty", "float", "Against tokens that occurred at all.", -2, 2, advanced=True),
    Parameter(
        "frequency_penalty", "float", "Against tokens, by how often they occurred.", -2, 2, advanced=True
    ),
    Parameter("response_format", "json", "Such as a JSON schema the answer must fit.", advanced=True),
)
_TOOLS = (
    Parameter("tools", "json", "Tools the model may call, in the protocol's own form.", advanced=True),
    Parameter("tool_choice", "json", "Which of them it may or must call.", advanced=True),
)
_OTHERS = (
    Parameter("top_k", "int", "Only this many of the likeliest tokens.", 0, advanced=True),
    Parameter("min_p", "float", "Only tokens this likely, relative to the likeliest.", 0, 1, advanced=True),
    Parameter("repetition_penalty", "float", "Against repetition; 1 is none.", 0, 2, advanced=True),
)


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
