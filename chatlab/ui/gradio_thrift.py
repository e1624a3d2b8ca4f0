"""Spares Gradio work that it does over again at every event though nothing has changed.

Each of these showed in a sampling profile at 20 streams of 50 tokens/s, and leaves Gradio's results as they
are. (Subclasses would be the plainer way, but Gradio writes a .pyi file beside a subclass of a component.)
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Iterable
from functools import cache
from typing import Any

import gradio as gr


def spare_gradio() -> None:
    """Once a process, before the first page."""
    # Gradio tries to import matplotlib twice an event, to keep its figures from leaking. Where it is not
    # installed, each try searches the whole path; None says at once that there is none.
    if "matplotlib" not in sys.modules and importlib.util.find_spec("matplotlib") is None:
        sys.modules["matplotlib"] = None  # type: ignore[assignment]
    # The JSON Schema of a component's value depends on its class alone, and is made anew at every update;
    # a turn updates the message box four times.
    for component in (gr.MultimodalTextbox, gr.Chatbot):
        component.api_info = lambda _, component=component: _schema(component)


@cache
def _schema(component: type[Any]) -> Any:
    made = component(render=False)
    return super(component, made).api_info()


def keep_signatures(blocks: Iterable[Any]) -> None:
    """Gradio describes every component of the page anew for every tab, its constructor's signature included;
    this says the signature where `inspect` looks first (PEP 362)."""
    for kind in {type(block) for block in blocks}:
        if "__init__" in vars(kind) and not hasattr(kind.__init__, "__signature__"):
            kind.__init__.__signature__ = inspect.signature(kind.__init__)


def keep_config(component: Any) -> None:
    """Describes a component once for all: for one whose description never changes but is asked for often."""
    known = component.get_config()
    component.get_config = lambda *_: dict(known)
