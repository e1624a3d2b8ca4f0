"""Blocks that run events for those who may, and send answers as edits."""

from __future__ import annotations

import functools
import sys
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import Any

import gradio as gr
from gradio.server_messages import ProcessGeneratingMessage
from gradio.state_holder import StateHolder
from gradio.utils import diff

from chatlab.render.markdown import MarkdownRenderer
from chatlab.web.chat.gradio_patches.closed_pages import ClosedPages
from chatlab.web.chat.gradio_patches.process import inline
from chatlab.web.chat.gradio_patches.queue import LeanQueue
from chatlab.web.chat.gradio_patches.refusals import RefusedEvent, check_told, check_values
from chatlab.web.chat.gradio_patches.sessions import LeanStateHolder
from chatlab.web.chat.gradio_patches.shown_text import GrowingAnswer, page_look, render_ahead

_SMALL = 100_000  # bytes of a request up to which its values are checked on the event loop


class PatchedBlocks(gr.Blocks):  # type: ignore[misc]
    """Blocks that run an event only for whom `admit` lets in, and whose chat answers grow by edits.

    Whatever a function yields, Gradio hands each output to a worker thread, validates it, looks for files and
    state in it, copies it, and compares all of it with the one before: about a millisecond. Here the first
    value of a streamed answer takes that way; of those after it, the answer's own messages are compared, and
    what changed is sent as the edits that Gradio's page understands.
    """

    direct_routes = True
    """Says to `process` that the routes of turns are to be answered directly."""

    chat: gr.ChatInterface | None = None
    """The one whose function yields its answer, and all that the page shows, ending in that answer."""

    modules: Sequence[str] = ()
    """The page's own modules and styles that it loads, below `STATIC`."""

    scripts = ""
    """The elements that the page has before Gradio's scripts, which add those of Gradio's `head` later."""

    styles = ""
    """The elements that come after Gradio's styles."""

    late: Sequence[Any] = ()
    """The parts that the page makes once it was painted without them."""

    markdown = MarkdownRenderer()
    """How the page's conversation shows Markdown."""

    def admit(self, session_hash: str | None, request: gr.Request) -> None:
        """Raise gr.Error if a page's event may not run for this request."""

    def session_of(self, event_id: str) -> str | None:
        """Return the hash of the page that an event which waits or runs is of; None for any other."""
        event = self._queue.event_ids_to_events.get(event_id)
        if event is not None:
            return str(event.session_hash)
        sessions = self._queue.pending_event_ids_session.items()  # of one that ended, until its page reads so
        return next((session for session, events in list(sessions) if event_id in events), None)

    async def forget_call(self, session_hash: str) -> None:
        """Forget all of a call of no page, whose answer was read; of a page nothing."""
        await self._queue.forget_call(session_hash)

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
        """As `gr.Blocks.queue`, with a queue that does not look for events."""
        queued = super().queue(*args, **kwargs)
        self._queue.__class__ = LeanQueue
        self._queue.wake_by_news(functools.partial(self._forget, for_good=True))
        return queued

    @property
    def state_holder(self) -> StateHolder:
        """Return what Gradio holds of each page."""
        return self._state_holder

    @state_holder.setter
    def state_holder(self, holder: StateHolder) -> None:
        holder.__class__ = LeanStateHolder
        self._state_holder = holder

    async def process_api(self, *args: Any, **call: Any) -> Any:
        """As Gradio's own for whom `admit` lets in, but a streamed answer is sent from here until it ends."""
        request, session_hash = call.get("request"), call.get("session_hash")
        if not isinstance(request, gr.Request):
            return await self._processed(*args, **call)
        self.admit(session_hash, request)
        inline.set(_length(request) <= _SMALL)
        page_look.set(self.markdown)
        check_told(call["block_fn"], call.get("event_data"))
        if session_hash is not None and call["block_fn"] in self._unloading:
            self.closed_pages.closed(session_hash)
        try:
            return await self._processed(*args, **call)
        finally:
            if session_hash is not None:
                self.closed_pages.ended(session_hash, request)

    async def _processed(self, *args: Any, **call: Any) -> Any:
        event = self._queue.event_ids_to_events.get(call.get("event_id"))
        if event is None or self.chat is None or call.get("simple_format"):
            return await super().process_api(*args, **call)
        if call["block_fn"].outputs != [self.chat.null_component, self.chat.chatbot]:
            return await super().process_api(*args, **call)
        call["session_hash"] = None  # for this call it only says where to keep values for comparison
        try:
            return await self._answered(event, *args, **call)
        finally:
            call["state"].discard(self.chat.null_component._id)

    async def _answered(self, event: Any, *args: Any, **call: Any) -> Any:
        assert self.chat is not None
        output = await super().process_api(*args, **call)
        if not output["is_generating"]:
            return output
        if not isinstance(output["data"][1], list):  # the page is to stay as it is
            await output["iterator"].aclose()
            return {**output, "is_generating": False, "iterator": None}
        last = await self._send_edits(event, call["state"][self.chat.null_component._id], output)
        if last is not None and last[0]:
            output = {**output, "data": [output["data"][0], {"__type__": "update"}]}  # the page has all of it
        elif last is not None:  # it turned to something else
            async with aclosing(_once(last)) as values:
                output = await super().process_api(*args, **{**call, "iterator": values})
        return {**output, "is_generating": False, "iterator": None}

    @functools.cached_property
    def _unloading(self) -> set[Any]:
        return {one for one in self.fns.values() if any(event == "unload" for _, event in one.targets)}

    @functools.cached_property
    def closed_pages(self) -> ClosedPages:
        """Return the pages that were closed, as far as something may still come of them."""
        return ClosedPages(self._forget)

    def waiting(self) -> int:
        """Return how many events wait in the queue."""
        return sum(len(waiting.queue) for waiting in self._queue.event_queue_per_concurrency_id.values())

    def _unfinished(self) -> Iterator[Any]:
        """Yield the events that run, and those that wait."""
        for job in self._queue.active_jobs:
            yield from job or ()
        for waiting in self._queue.event_queue_per_concurrency_id.values():
            yield from waiting.queue

    async def _forget(self, session_hash: str, request: gr.Request, *, for_good: bool = False) -> bool:
        """Forget what Gradio, its queue and whoever listens to `unload` hold of a closed page. for_good:
        nobody can come back to it."""
        if any(event.session_hash == session_hash for event in self._unfinished()):
            return False
        known = self._queue.event_ids_to_events  # where older Gradio leaves those that have ended
        for number in [number for number, event in known.items() if event.session_hash == session_hash]:
            known.pop(number, None)
        for one in self._unloading:
            await one.fn(request)
        self._state_holder.close(session_hash, for_good=for_good)
        self._queue.pending_event_ids_session.pop(session_hash, None)
        self._queue.pending_messages_per_session.pop(session_hash, None)
        return True

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *args: Any, **kwargs: Any) -> Any:
        """As Gradio's own; raise RefusedEvent for values that its components cannot have."""
        check_values(block_fn, inputs)
        try:
            return await super().preprocess_data(block_fn, inputs, *args, **kwargs)
        except Exception as exc:  # whatever a component makes of them
            raise RefusedEvent from exc

    async def postprocess_data(self, block_fn: Any, predictions: Any, state: Any) -> Any:
        """As Gradio's own, but what only changes how the message box looks makes no new one: 1 ms each."""
        values = [predictions] if len(block_fn.outputs) == 1 else predictions
        if state is not None and isinstance(values, list | tuple):
            pairs = list(zip(block_fn.outputs, values, strict=False))
            if len(pairs) == len(block_fn.outputs) and all(_simple(block, value) for block, value in pairs):
                return [_simply(block, value, state) for block, value in pairs]
            for block, value in pairs:
                if isinstance(block, gr.Chatbot) and isinstance(value, list):
                    await render_ahead(value, self.markdown)
        return await super().postprocess_data(block_fn, predictions, state)

    async def _send_edits(self, event: Any, answer: list[Any], output: dict[str, Any]) -> Any:
        """Send the first value, then what changes; return the last value, None if the first was that."""
        last = None
        start = len(output["data"][1]) - len(answer)
        growing, shows = GrowingAnswer(self.markdown), output["data"][1][start:]

        def send_changes(now: list[dict[str, Any]]) -> list[dict[str, Any]]:
            edits = [[what, [start + path[0], *path[1:]], value] for what, path, value in diff(shows, now)]
            sent = {"data": [[], edits], "is_generating": True}
            self._queue.send_message(event, ProcessGeneratingMessage(output=sent, success=True))
            return now

        async with aclosing(output.pop("iterator")) as values:
            self._queue.send_message(event, ProcessGeneratingMessage(output=output, success=True))
            async for last in values:
                shows = send_changes(await growing.shown_soon(last[0]))
                if not event.alive:
                    break
        if last is not None and last[0]:
            await render_ahead(last[0], self.markdown)
            send_changes(await growing.shown_soon(last[0], ended=True))
        return last


_LOOKS = {"__type__", "interactive", "submit_btn", "stop_btn", "placeholder", "value", "open"}


def _simple(block: Any, value: Any) -> bool:
    """Return whether a value for an output is kept as it is, or changes nothing but how a component looks."""
    if block.stateful:
        return not (isinstance(value, dict) and "__type__" in value)
    changed = value.constructor_args if isinstance(value, gr.blocks.Block) else value
    if not isinstance(changed, dict) or not (isinstance(value, gr.blocks.Block) or "__type__" in changed):
        return False
    return changed.keys() <= _LOOKS and changed.get("value") in (None, "")


def _simply(block: Any, value: Any, state: Any) -> Any:
    """Return what is sent of a simple value, and what is kept of it for the session."""
    if block.stateful:
        state[block._id] = value
        return None
    changed = value.constructor_args if isinstance(value, gr.blocks.Block) else value
    sent = {name: item for name, item in changed.items() if item is not None or name == "value"}
    if "value" in sent:
        shown = state[block._id].postprocess(sent["value"])
        sent["value"] = shown.model_dump() if hasattr(shown, "model_dump") else shown
    return {**sent, "__type__": "update"}


def _length(request: gr.Request) -> int:
    """Return the length of a request's body in bytes, as far as it is said."""
    said = request.headers.get("content-length", "")
    return int(said) if said.isdecimal() else sys.maxsize


async def _once(value: Any) -> AsyncGenerator[Any, None]:
    yield value
