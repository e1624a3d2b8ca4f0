"""A chat interface whose conversation is the server's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Any, Protocol

import gradio as gr

from chatlab.render.angle_brackets import tags_as_written


class Navigation(Protocol):
    """Finds the messages of a conversation that the page asks again."""

    async def taken_back(self, shown: Sequence[Any], message: Any, request: gr.Request) -> Any: ...

    async def edited(self, shown: Sequence[Any], text: Any, request: gr.Request) -> Any: ...

    def paint(self, message: Any, request: gr.Request) -> Any: ...


class PatchedChatInterface(gr.ChatInterface):  # type: ignore[misc]
    """A ChatInterface whose function says how the whole conversation looks, not only its answer, and whose
    messages that are asked again are the conversation's own.

    below: puts what belongs to the message box into its frame, below the text.
    """

    def __init__(self, navigation: Navigation, below: Callable[[], None], *args: Any, **kwargs: Any) -> None:
        self._navigation = navigation
        self._below = below
        super().__init__(*args, **kwargs)

    def _render_chatbot_area(self, *args: Any) -> None:
        super()._render_chatbot_area(*args)
        frame = self.textbox.parent
        while not isinstance(frame, gr.Group):
            frame = frame.parent
        with frame:
            self._below()

    async def _pop_last_user_message(self, history: list[Any], request: gr.Request) -> tuple[list[Any], Any]:
        # What the page shows of a message is not what was asked: attachments, Markdown.
        left, message = super()._pop_last_user_message(history)
        return left, await self._navigation.taken_back(history[len(left) :], message, request)

    async def _edit_message(self, history: list[Any], edit_data: gr.EditData, request: gr.Request) -> Any:
        left, _, text = super()._edit_message(history, edit_data)
        text = tags_as_written(text) if isinstance(text, str) else text
        return left, left, await self._navigation.edited(history[len(left) :], text, request)

    def _append_message_to_history(
        self, message: Any, history: list[Any], role: str = "user", request: gr.Request | None = None
    ) -> list[Any]:
        shown = message if request is None else self._navigation.paint(message, request)
        return list(super()._append_message_to_history(shown, history, role))

    def _clear_and_save_textbox(self, message: Any) -> tuple[Any, Any]:
        # Gradio's own takes the placeholder away, too, and nothing brings it back; and the next message can
        # be written while this one is answered.
        return gr.update(value=""), message

    async def _stream_fn(self, message: Any, history: list[Any], *args: Any) -> AsyncIterator[Any]:
        # Gradio's own appends each answer to the history that the browser sent.
        async with aclosing(self.fn(message, history, *args)) as paints:
            async for answer, shown in paints:
                yield answer, shown
