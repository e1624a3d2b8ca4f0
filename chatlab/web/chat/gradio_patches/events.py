"""Gradio's events and components, changed once a page is built."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import gradio as gr


def describe_once(blocks: Iterable[Any]) -> None:
    """Have complete blocks describe themselves once, not anew for every tab (60 microseconds a block).

    An update of a component makes a new one, of which only the constructor's signature is remembered, where
    `inspect` looks first (PEP 362).
    """
    for block in blocks:
        described = block.get_config()
        block.get_config = lambda *_, described=described: dict(described)
        kind = type(block)
        if "__init__" in vars(kind) and not hasattr(kind.__init__, "__signature__"):
            kind.__init__.__signature__ = inspect.signature(kind.__init__)


def run_on_loop(page: gr.Blocks) -> None:
    """Have all listeners run on the event loop, which owns what pages share. To be called last.

    Gradio hands plain functions to worker threads, and works out anew at each event what a function takes.
    (What writes files, for flagging, stays in a thread, and so does Gradio's own generator for examples.)
    """
    for event in page.fns.values():
        fn = event.fn
        if fn is None or inspect.isgeneratorfunction(fn) or fn.__module__ == "gradio.flagging":
            continue
        if not inspect.isasyncgenfunction(fn):
            fn = event.fn = _on_loop(fn)
        if not inspect.ismethod(fn):
            fn.__signature__ = inspect.signature(fn)
            fn.__annotations__ = typing.get_type_hints(fn)


def _on_loop(fn: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    if inspect.iscoroutinefunction(fn):

        @functools.wraps(fn)
        async def called(*args: Any, **kwargs: Any) -> Any:
            return await fn(*args, **kwargs)

    else:

        @functools.wraps(fn)
        async def called(*args: Any, **kwargs: Any) -> Any:
            return fn(*args, **kwargs)

    return called


def queue_only_answers(page: gr.Blocks) -> None:
    """Take everything but answers out of the queue, so that nothing else waits for one to end."""
    for event in page.fns.values():
        if event.fn is not None and not inspect.isasyncgenfunction(event.fn):
            event.queue = False


def show_examples(chat: gr.ChatInterface, examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Have the conversation offer these while it is empty, in Gradio's form with the files that it serves,
    which is returned."""
    chat.chatbot.examples = examples
    chat.chatbot._setup_examples()
    return examples
