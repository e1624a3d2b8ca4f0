"""Events with values that no page sends: refused in a sentence, and no errors of the server's."""

from __future__ import annotations

import inspect
import typing
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import gradio as gr

UNREADABLE = "this is not what a page sends: reload it"

refused: ContextVar[bool] = ContextVar("refused", default=False)
"""Whether the event of this request was refused."""


class RefusedEvent(gr.Error):  # type: ignore[misc]
    """An event that no page sends."""

    def __init__(self) -> None:
        refused.set(True)
        super().__init__(UNREADABLE, print_exception=False)


def check_values(event: Any, values: list[Any]) -> None:
    """Raise RefusedEvent for what Gradio's components pass on although they cannot show it. event: whose
    inputs the values are."""
    for block, value in zip(event.inputs, values, strict=False):
        is_text = isinstance(getattr(block, "value", None), str) and not block.stateful
        if is_text and isinstance(value, list | dict):
            raise RefusedEvent
        if isinstance(block, gr.Dropdown) and not isinstance(value, str):
            raise RefusedEvent


def check_told(event: Any, told: Any) -> None:
    """Raise RefusedEvent if what a page tells of an event is not what its function takes, such as an edit."""
    if event.fn is None:
        return
    for kind in _told_of(event.fn):
        fields = getattr(told, "_data", None)
        if not isinstance(fields, dict):
            raise RefusedEvent
        try:
            kind(None, fields)
        except (KeyError, IndexError, TypeError) as exc:
            raise RefusedEvent from exc
        index = fields.get("index", 0)
        places = index if isinstance(index, list) else [index]
        if not places or not all(isinstance(place, int) for place in places):
            raise RefusedEvent
        if kind is gr.EditData and not isinstance(fields["value"], str):
            raise RefusedEvent


@lru_cache(maxsize=256)
def _told_of(function: Any) -> tuple[Any, ...]:
    hints = typing.get_type_hints(function).values()
    return tuple(kind for kind in hints if inspect.isclass(kind) and issubclass(kind, gr.EventData))
