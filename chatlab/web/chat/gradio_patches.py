"""Everything that overrides or patches Gradio, one reason each.

Written for the Gradio versions that `pyproject.toml` allows. `tests/web/chat/test_gradio_contract.py`
holds what is relied on here, and says which of it a new version changed; the ceiling is lifted when it
passes.

Measured where it says so: a sampling profile at 20 streams of 50 tokens/s. (Subclasses of components would
be the plainer way, but Gradio writes a .pyi file beside each.)
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from functools import cache
from typing import Any, Protocol

import gradio as gr
from gradio.events import Dependency
from gradio.server_messages import ProcessGeneratingMessage
from gradio.utils import diff

# -- once a process


def patch_process() -> None:
    """Patch what every page shares, before the first one is built. May be called again.

    Gradio tries to import matplotlib twice an event, to keep its figures from leaking. Where it is not
    installed, each try searches the whole path; None says at once that there is none.

    The JSON Schema of a component's value depends on its class alone, and is made anew at every update;
    a turn updates the message box four times.
    """
    if "matplotlib" not in sys.modules and importlib.util.find_spec("matplotlib") is None:
        sys.modules["matplotlib"] = None  # type: ignore[assignment]
    for component in (gr.MultimodalTextbox, gr.Chatbot):
        component.api_info = lambda _, component=component: _schema(component)


@cache
def _schema(component: type[Any]) -> Any:
    made = component(render=False)
    return super(component, made).api_info()


# -- once a page


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


def keep_typed_text(page: gr.Blocks, textbox: Any) -> None:
    """Have no event of Gradio's own write into the message box. To be called while there are no others.

    After an answer Gradio empties the message box, which it has long emptied: what was written meanwhile
    would be lost, as it can be after a stop. And its retry takes the placeholder away, which nothing brings
    back.
    """
    for event in page.fns.values():
        if event.outputs == [textbox] and not event.inputs and not inspect.iscoroutinefunction(event.fn):
            event.fn = _without_text(event.fn)


def _without_text(update: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    return lambda: {name: item for name, item in update().items() if name not in ("value", "placeholder")}


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


class Navigation(Protocol):
    """Finds the messages of a conversation that the page asks again."""

    async def taken_back(self, shown: Sequence[Any], message: Any, request: gr.Request) -> Any: ...

    async def edited(self, shown: Sequence[Any], text: Any, request: gr.Request) -> Any: ...

    def paint(self, message: Any, request: gr.Request) -> Any: ...


class PatchedChatInterface(gr.ChatInterface):  # type: ignore[misc]
    """A ChatInterface whose function says how the whole conversation looks, not only its answer, and whose
    messages that are asked again are the conversation's own."""

    def __init__(self, navigation: Navigation, *args: Any, **kwargs: Any) -> None:
        self._navigation = navigation
        super().__init__(*args, **kwargs)

    async def _pop_last_user_message(self, history: list[Any], request: gr.Request) -> tuple[list[Any], Any]:
        # What the page shows of a message is not what was asked: attachments, Markdown.
        left, message = super()._pop_last_user_message(history)
        return left, await self._navigation.taken_back(history[len(left) :], message, request)

    async def _edit_message(self, history: list[Any], edit_data: gr.EditData, request: gr.Request) -> Any:
        left, _, text = super()._edit_message(history, edit_data)
        return left, left, await self._navigation.edited(history[len(left) :], text, request)

    def _append_message_to_history(
        self, message: Any, history: list[Any], role: str = "user", request: gr.Request | None = None
    ) -> list[Any]:
        shown = message if request is None else self._navigation.paint(message, request)
        return list(super()._append_message_to_history(shown, history, role))

    def _clear_and_save_textbox(self, message: Any) -> tuple[Any, Any]:
        # Gradio's own takes the placeholder away, too, and nothing brings it back.
        return gr.update(value="", interactive=False), message

    async def _stream_fn(self, message: Any, history: list[Any], *args: Any) -> AsyncIterator[Any]:
        # Gradio's own appends each answer to the history that the browser sent.
        async with aclosing(self.fn(message, history, *args)) as paints:
            async for answer, shown in paints:
                yield answer, shown


class PatchedBlocks(gr.Blocks):  # type: ignore[misc]
    """Blocks that run an event only for whom `admit` lets in, and whose chat answers grow by edits.

    Whatever a function yields, Gradio hands each output to a worker thread, validates it, looks for files and
    state in it, copies it, and compares all of it with the one before: about a millisecond. Here the first
    value of a streamed answer and the last take that way; of those between, the answer's own messages are
    compared, and what changed is sent as the edits that Gradio's page understands.
    """

    chat: gr.ChatInterface | None = None
    """The one whose function yields its answer, and all that the page shows, ending in that answer."""

    def admit(self, session_hash: str | None, request: gr.Request) -> None:
        """Raise gr.Error if a page's event may not run for this request."""

    def remove_with_uploads(self, paths: set[str]) -> None:
        """Have these files removed when they are as old as `delete_cache` says, as uploads are. The set may
        grow."""
        self.temp_file_sets.append(paths)

    def serve_own_files(self) -> set[str]:
        """Keep the page's own files (examples, avatars), which Gradio has where uploads are and would remove
        like those. Return their paths."""
        assert self.chat is not None
        own = {file for files in self.temp_file_sets for file in files}
        self.chat.chatbot.keep_in_cache |= own
        return own

    def queue(self, *args: Any, **kwargs: Any) -> Any:
        """As `gr.Blocks.queue`. Gradio looks for queued events 1,000 times a second, for progress 100 times,
        which takes 7 % of a core while nobody does anything; this is 200 times, and 4."""
        queued = super().queue(*args, **kwargs)
        self._queue.sleep_when_free = 0.005
        self._queue.progress_update_sleep_when_free = 0.25
        return queued

    async def process_api(self, *args: Any, **call: Any) -> Any:
        """As Gradio's own for whom `admit` lets in, but a streamed answer is sent from here until it ends."""
        request = call.get("request")
        if isinstance(request, gr.Request):
            self.admit(call.get("session_hash"), request)
        event = self._queue.event_ids_to_events.get(call.get("event_id"))
        if event is None or self.chat is None or call.get("simple_format"):
            return await super().process_api(*args, **call)
        if call["block_fn"].outputs != [self.chat.null_component, self.chat.chatbot]:
            return await super().process_api(*args, **call)
        call["session_hash"] = None  # for this call it only says where to keep values for comparison
        output = await super().process_api(*args, **call)
        if not output["is_generating"]:
            return output
        last = await self._send_edits(event, call["state"][self.chat.null_component._id], output)
        if last is not None:
            async with aclosing(_once(last)) as values:
                output = await super().process_api(*args, **{**call, "iterator": values})
        return {**output, "is_generating": False, "iterator": None}

    async def _send_edits(self, event: Any, answer: list[Any], output: dict[str, Any]) -> Any:
        """Send the first value, then what changes; return the last value, None if the first was that."""
        last = None
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
        return last


def _as_shown(answer: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Painted messages with the fields that they have on the page."""
    return [{"metadata": None, "options": None, **message} for message in answer]


async def _once(value: Any) -> AsyncGenerator[Any, None]:
    yield value
