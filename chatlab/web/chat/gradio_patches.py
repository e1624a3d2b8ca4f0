"""Spares Gradio work that it does over again at every event though nothing has changed.

Each of these showed in a sampling profile at 20 streams of 50 tokens/s, and leaves Gradio's results as they
are. (Subclasses would be the plainer way, but Gradio writes a .pyi file beside a subclass of a component.)
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from functools import cache
from typing import Any

import gradio as gr
from gradio.server_messages import ProcessGeneratingMessage
from gradio.utils import diff


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


def keep_descriptions(blocks: Iterable[Any]) -> None:
    """Gradio describes every component of the page anew for every tab, which takes some 60 microseconds each;
    this describes them once. For blocks that are complete: an update makes new ones, of which only the
    constructor's signature is kept, where `inspect` looks first (PEP 362)."""
    for block in blocks:
        keep_config(block)
        kind = type(block)
        if "__init__" in vars(kind) and not hasattr(kind.__init__, "__signature__"):
            kind.__init__.__signature__ = inspect.signature(kind.__init__)


def keep_config(block: Any) -> None:
    """Describes a block once for all."""
    known = block.get_config()
    block.get_config = lambda *_: dict(known)


class StreamingBlocks(gr.Blocks):  # type: ignore[misc]
    """Blocks whose chat answers grow by edits.

    Whatever a function yields, Gradio hands each output to a worker thread, validates it, looks for files and
    state in it, copies it, and compares all of it with the one before: about a millisecond. Here the first
    value of a streamed answer and the last take that way; of those between, the answer's own messages are
    compared, and what changed is sent as the edits that Gradio's page understands.
    """

    chat: gr.ChatInterface | None = None
    """The one whose function yields its answer, and all that the page shows, ending in that answer."""

    def queue(self, *args: Any, **kwargs: Any) -> Any:
        """As `gr.Blocks.queue`. Gradio looks for queued events 1,000 times a second, for progress 100 times,
        which takes 7 % of a core while nobody does anything; this is 200 times, and 4."""
        queued = super().queue(*args, **kwargs)
        self._queue.sleep_when_free = 0.005
        self._queue.progress_update_sleep_when_free = 0.25
        return queued

    async def process_api(self, *args: Any, **call: Any) -> Any:
        """As Gradio's own, but a streamed answer is sent from here until it ends."""
        event = self._queue.event_ids_to_events.get(call.get("event_id"))
        if event is None or self.chat is None or call.get("simple_format"):
            return await super().process_api(*args, **call)
        answer_box, page_box = self.chat.null_component, self.chat.chatbot
        if call["block_fn"].outputs != [answer_box, page_box]:
            return await super().process_api(*args, **call)
        call["session_hash"] = None  # for this call it only says where to keep values for comparison
        output = await super().process_api(*args, **call)
        if not output["is_generating"]:
            return output
        answer, last = call["state"][answer_box._id], None
        start = len(output["data"][1]) - len(answer)
        async with aclosing(output.pop("iterator")) as values:
            self._queue.send_message(event, ProcessGeneratingMessage(output=output, success=True))
            async for last in values:
                edits = [
                    [what, [start + path[0], *path[1:]], value]
                    for what, path, value in diff(_as_shown(answer), _as_shown(last[0]))
                ]
                answer = last[0]
                sent = {"data": [[], edits], "is_generating": True}
                self._queue.send_message(event, ProcessGeneratingMessage(output=sent, success=True))
                if not event.alive:
                    break
        if last is not None:
            async with aclosing(_once(last)) as values:
                output = await super().process_api(*args, **{**call, "iterator": values})
        return {**output, "is_generating": False, "iterator": None}


def _as_shown(answer: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Painted messages with the fields that they have on the page."""
    return [{"metadata": None, "options": None, **message} for message in answer]


async def _once(value: Any) -> AsyncGenerator[Any, None]:
    yield value
