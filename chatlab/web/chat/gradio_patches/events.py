"""Gradio's events and components, changed once a page is built."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import gradio as gr
from gradio.events import Dependency


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


_THE_PERSONS = ("value", "placeholder", "interactive")


def keep_typed_text(page: gr.Blocks, textbox: Any) -> None:
    """Have no event of Gradio's own write into the message box. To be called while there are no others.

    While an answer runs Gradio closes the message box, in which the next message can be written. After the
    answer it empties the box, which it has long emptied: what was written meanwhile would be lost, as it can
    be after a stop. And its retry takes the placeholder away, which nothing brings back.
    """
    for event in page.fns.values():
        if event.outputs == [textbox] and not event.inputs and not inspect.iscoroutinefunction(event.fn):
            event.fn = _without_text(event.fn)


def _without_text(update: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    return lambda: {name: item for name, item in update().items() if name not in _THE_PERSONS}


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


def queue_only_answers(page: gr.Blocks, chat: gr.ChatInterface, refused: Callable[..., Any]) -> None:
    """Take everything but answers out of the queue, so that nothing else waits for one to end.

    refused: called when an answer did not begin (the queue was full) or was stopped, with the message and the
    conversation; returns the message box and the chatbot. Gradio would leave the box disabled.
    """
    for event in list(page.fns.values()):
        if event.fn is None:
            continue  # it happens in the browser alone
        if not inspect.isasyncgenfunction(event.fn):
            event.queue = False
        elif event.api_visibility != "public":
            # The chat interface hands out none of its events' Dependency objects.
            Dependency(None, {}, event._id, None).failure(
                refused,
                [chat.saved_input, chat.chatbot_state],
                [chat.textbox, chat.chatbot],
                api_visibility="private",
                queue=False,
                show_progress="hidden",
            )


def answer_function(chat: gr.ChatInterface) -> Any:
    """Return the function that answers as the chat interface's own events call it, for one more event."""
    return chat._api_wrapper(chat.fn, chat._stream_fn)


def show_stop_button(chat: gr.ChatInterface, answer: Dependency, after: Dependency) -> None:
    """Show the stop button once `after` succeeded, and end `answer` with it, as for Gradio's own answers."""
    chat._setup_stop_events(event_triggers=[], events_to_cancel=[answer], after_success=after)


def show_examples(chat: gr.ChatInterface, examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Have the conversation offer these while it is empty, in Gradio's form with the files that it serves,
    which is returned."""
    chat.chatbot.examples = examples
    chat.chatbot._setup_examples()
    return examples
