"""A chat interface whose conversation is the server's, and whose message box is the browser's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Any, Protocol

import gradio as gr
from gradio.events import Dependency

from chatlab.paths import PACKAGE

_SEND, _TAKE_BACK = (
    (PACKAGE / "web" / "static" / "chat" / name).read_text("utf-8").rstrip().removesuffix(";")
    for name in ("send.js", "take_back.js")
)
_SOURCES = """(message, shown, ...rest) => [message, shown?.map((one) => ({
  ...one,
  content: one.content.map((part) =>
    part.type === "text"
      ? { ...part, text: part.text.replace(/<div class="text">[^]*?(?=<span hidden)/g, '<div class="text">') }
      : part),
})), ...rest]"""
"""Leaves out of what the page shows the HTML that the server makes anew of the text beside it."""
_BOX = "() => ({{__type__: 'update', submit_btn: {submit}, stop_btn: {stop}}})"
_STEP: dict[str, Any] = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}


class Navigation(Protocol):
    """Finds the messages of a conversation that the page asks again."""

    async def taken_back(self, shown: Sequence[Any], message: Any, request: gr.Request) -> Any: ...

    async def undone(self, shown: Sequence[Any], request: gr.Request) -> None: ...

    async def edited(self, shown: Sequence[Any], text: Any, request: gr.Request) -> Any: ...

    def paint(self, message: Any, request: gr.Request) -> Any: ...


class PatchedChatInterface(gr.ChatInterface):  # type: ignore[misc]
    """A ChatInterface whose function says how the whole conversation looks, not only its answer, and whose
    messages that are asked again are the conversation's own.

    Of a message Gradio makes eleven requests: the box is emptied, the message shown, the stop button shown
    and hidden, and what the page shows stored in the session twice, each by the server. Here all of that is
    the browser's own, and only the answer is asked for. The box is the person's: nothing writes into it, nor
    closes it, while an answer runs or after it.

    below: puts what belongs to the message box into its frame, below the text. refused: called when an answer
    did not begin (the queue was full) or was stopped, with the message and the conversation before it;
    returns the message box and the chatbot.
    """

    def __init__(
        self,
        navigation: Navigation,
        below: Callable[[], None],
        refused: Callable[[Any, list[Any], gr.Request], Any],
        *args: Any,
        **kwargs: Any,
    ) -> None:
        self._navigation = navigation
        self._below = below
        self._refused = refused
        super().__init__(*args, **kwargs)

    def _render_chatbot_area(self, *args: Any) -> None:
        super()._render_chatbot_area(*args)
        frame = self.textbox.parent
        while not isinstance(frame, gr.Group):
            frame = frame.parent
        with frame:
            self._below()

    def _setup_events(self) -> None:
        sent = gr.MultimodalTextbox(visible=False)
        self.textbox.submit(
            None,
            [self.textbox, self.chatbot],
            [self.textbox, self.chatbot, sent],
            js=_SEND,
            api_visibility="private",
        )
        # At the same event, whose listeners run one after the other: in older Gradio nothing follows one
        # that runs in the browser alone.
        self.answer(self.textbox.submit, [sent, self.chatbot], js=_SOURCES)

        self.fake_api_btn.click(
            self._answering("chat"),
            [self.textbox, self.chatbot_state, *self.additional_inputs],
            [self.api_response, self.chatbot_state],
            api_name=self.api_name,
            api_description=self.api_description,
            api_visibility=self.api_visibility,
            concurrency_limit=self.concurrency_limit,
            postprocess=False,
        )
        again = [self.chatbot, self.chatbot_state, self.saved_input]
        self.answer(self.chatbot.retry(self._asked_again, self.chatbot, again, **_STEP).success, again[:0:-1])
        if self.editable:
            self.answer(self.chatbot.edit(self._edited, self.chatbot, again, **_STEP).success, again[:0:-1])
        self.chatbot.undo(self._undone, self.chatbot, [self.chatbot, self.textbox], **_STEP)
        if self.flagging_mode != "never":
            flagged = gr.chat_interface.ChatCSVLogger()
            flagged.setup(self.flagging_dir)
            self.chatbot.feedback_options = self.flagging_options
            self.chatbot.like(flagged.flag, self.chatbot, trigger_mode="multiple")

    def answer(
        self, at: Callable[..., Dependency], inputs: Sequence[Any] | None = None, js: str | None = None
    ) -> None:
        """Answer at an event, with the stop button beside it. at: its listener, such as `asked.success`.

        inputs: the message, and the conversation before it; by default what was saved of both. js: what the
        browser makes of all inputs before they are sent.
        """
        message = list(inputs or (self.saved_input, self.chatbot_state))
        stop, submit = json.dumps(self.original_stop_btn), json.dumps(self.textbox.submit_btn)
        at(None, None, self.textbox, js=_BOX.format(submit="false", stop=stop), api_visibility="private")
        answer = at(
            self._answering("_submit_fn"),
            [*message, *self.additional_inputs],
            [self.null_component, self.chatbot],
            api_visibility="private",
            concurrency_limit=self.concurrency_limit,
            show_progress="hidden",
            trigger_mode="multiple",
            js=js,
        )
        box = [self.textbox, self.chatbot]
        refused = answer.failure(self._not_answered, message, box, **_STEP)
        # The server that could say what became of the message is away, or asks for a new sign-in.
        refused.failure(None, [*message, self.textbox], box, js=_TAKE_BACK, api_visibility="private")
        answer.then(
            None, None, self.textbox, js=_BOX.format(submit=submit, stop="false"), api_visibility="private"
        )
        self.textbox.stop(None, None, None, cancels=[answer], api_visibility="private")

    def _answering(self, name: str) -> Any:
        answering = self._api_wrapper(self.fn, self._stream_fn)
        answering.__name__ = name
        return answering

    async def _asked_again(self, history: list[Any], request: gr.Request) -> tuple[Any, Any, Any]:
        left, message = await self._pop_last_user_message(history, request)
        return self._append_message_to_history(message, left, request=request), left, message

    async def _edited(self, history: list[Any], edit_data: gr.EditData, request: gr.Request) -> Any:
        left, _, text = super()._edit_message(history, edit_data)
        message = await self._navigation.edited(history[len(left) :], text, request)
        return self._append_message_to_history(message, left, request=request), left, message

    async def _pop_last_user_message(self, history: list[Any], request: gr.Request) -> tuple[list[Any], Any]:
        # What the page shows of a message is not what was asked: attachments, Markdown.
        left, message = super()._pop_last_user_message(history)
        return left, await self._navigation.taken_back(history[len(left) :], message, request)

    async def _undone(self, history: list[Any], request: gr.Request) -> tuple[list[Any], Any]:
        left, message = await self._pop_last_user_message(history, request)
        await self._navigation.undone(history, request)
        return left, message

    def _append_message_to_history(
        self, message: Any, history: list[Any], role: str = "user", request: gr.Request | None = None
    ) -> list[Any]:
        shown = message if request is None else self._navigation.paint(message, request)
        return list(super()._append_message_to_history(shown, history, role))

    def _not_answered(self, message: Any, history: list[Any], request: gr.Request) -> Any:
        return self._refused(message, _before(history), request)

    async def _stream_fn(self, message: Any, history: list[Any], *args: Any) -> AsyncIterator[Any]:
        # Gradio's own appends each answer to the history that the browser sent.
        async with aclosing(self.fn(message, _before(history), *args)) as paints:
            async for answer, shown in paints:
                yield answer, shown


def _before(shown: list[Any]) -> list[Any]:
    """Return what a page shows before the message that it shows already, whose answer did not begin."""
    end = len(shown)
    while end and shown[end - 1]["role"] == "user":
        end -= 1
    return shown[:end]
