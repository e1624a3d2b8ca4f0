"""Controls for sampling parameters, generated from what the configured backends accept.

Every control can be left empty, which means: not sent, the upstream's own default holds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from chatlab.backend import Parameter
from chatlab.config.registry import ServedBackends
from chatlab.errors import InvalidRequest
from chatlab.words import ENGLISH, Words

_UNSET = "default"
NO_PRESET = "none"
"""What the choice among presets is while none is chosen; the page has a word for it."""


def parameters_of(backends: ServedBackends) -> dict[str, Parameter]:
    """Every parameter of every backend by name; where two differ, the first one's range is drawn."""
    found: dict[str, Parameter] = {}
    for entry in backends.values():
        for parameter in entry.capabilities.parameters:
            found.setdefault(parameter.name, parameter)
    # The everyday ones first, so that they are at the top and the rest folded away.
    return dict(sorted(found.items(), key=lambda item: item[1].advanced))


def control(parameter: Parameter, visible: bool, words: Words = ENGLISH) -> Any:
    """Return the component for a parameter, empty."""
    label = parameter.name.replace("_", " ")
    common: dict[str, Any] = {
        "label": label,
        "info": words.translated(parameter.description) or None,
        "visible": visible,
        "elem_id": f"parameter-{parameter.name}",
    }
    unset = (words("chat.default"), _UNSET)
    if parameter.choices:
        return gr.Dropdown([unset, *parameter.choices], value=_UNSET, **common)
    if parameter.type == "bool":
        choices = [unset, (words("chat.yes"), "yes"), (words("chat.no"), "no")]
        return gr.Dropdown(choices, value=_UNSET, **common)
    if parameter.type == "strings":
        return gr.Textbox("", lines=1, max_lines=4, placeholder=words("chat.one-a-line"), **common)
    # Not gr.Number: left empty it says 0, and out of range it raises before anyone can answer for it.
    return gr.Textbox("", lines=1, max_lines=6, placeholder=_hint(parameter, words), **common)


def values(parameters: Sequence[Parameter], shown: Sequence[Any], words: Words = ENGLISH) -> dict[str, Any]:
    """Return what the controls say, without those left empty.

    Raises InvalidRequest for what is out of range.
    """
    said = {}
    for parameter, value in zip(parameters, shown, strict=True):
        if value is None or value == "" or value == _UNSET:
            continue
        said[parameter.name] = _value(parameter, value, words)
    return said


def shown_value(parameter: Parameter, value: Any) -> Any:
    """Return how a control shows a value, or None for one that is not set."""
    if parameter.choices:
        return _UNSET if value is None else value
    if parameter.type == "bool":
        return _UNSET if value is None else ("yes" if value else "no")
    if value is None:
        return ""
    if parameter.type == "strings":
        return "\n".join([value] if isinstance(value, str) else value)
    return value if isinstance(value, str) else json.dumps(value)


def preset_values(parameters: Sequence[Parameter], preset: Mapping[str, Any]) -> list[Any]:
    """Return what every control shows once a preset is chosen."""
    return [shown_value(parameter, preset.get(parameter.name)) for parameter in parameters]


def _value(parameter: Parameter, value: Any, words: Words) -> Any:
    if parameter.type == "bool":
        return value in (True, "yes")
    if parameter.type == "strings":
        return [line for line in str(value).split("\n") if line]
    if parameter.type in ("float", "int", "json") and isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as exc:
            raise InvalidRequest(words(f"chat.wanted-{parameter.type}", name=parameter.name)) from exc
    problem = parameter.problem(value)
    if problem is not None:
        raise InvalidRequest(ENGLISH("refusal.parameter-here", name=parameter.name, problem=problem))
    return value


def _hint(parameter: Parameter, words: Words) -> str:
    if parameter.type == "json":
        return "JSON"
    if parameter.minimum is None and parameter.maximum is None:
        return words("chat.default")
    low = "" if parameter.minimum is None else f"{parameter.minimum:g}"
    high = "" if parameter.maximum is None else f"{parameter.maximum:g}"
    if low and high:
        return words("chat.range", low=words.number(low), high=words.number(high))
    return words("chat.range-from", low=words.number(low)) if low else words("chat.default")
