"""The examples on the empty page: those that fit the chosen backend, each asked with its own parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from chatlab.backend import Parameter
from chatlab.config.models import Example
from chatlab.web.chat.controls import preset_values
from chatlab.web.chat.gradio_patches import PatchedChatInterface, show_examples


class Examples:
    """The examples that the empty page offers for the chosen backend, and what a click on one does."""

    def __init__(self, examples: Sequence[Example], parameters: Sequence[Parameter]) -> None:
        self._examples = examples
        self._parameters = parameters
        self._offered: list[dict[str, Any]] = []

    def connect(
        self, chat: PatchedChatInterface, selector: gr.Dropdown, controls: Sequence[Component], first: str
    ) -> None:
        """Offer them on the page; first: the backend that is chosen at first. To be called once."""
        if not self._examples:
            return
        self._offered = show_examples(chat, [_as_gradio_does(example) for example in self._examples])
        chat.chatbot.examples = self.offered(first)
        shown = [chat.chatbot, chat.chatbot_state, chat.saved_input]
        steps: dict[str, Any] = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}
        asked = chat.chatbot.example_select(self._asked, selector, [*shown, *controls], **steps)
        chat.answer(asked)
        if any(example.backend for example in self._examples):
            selector.change(self._updated, selector, chat.chatbot, **steps)

    def offered(self, backend: str) -> list[dict[str, Any]]:
        """Return the examples that fit a backend, as Gradio shows them."""
        return [self._offered[number] for number in self._fitting(backend)]

    def _fitting(self, backend: str) -> list[int]:
        fits = (None, backend)
        return [number for number, example in enumerate(self._examples) if example.backend in fits]

    def _updated(self, backend: str) -> Any:
        return gr.update(examples=self.offered(backend))

    def _asked(self, event: gr.SelectData, backend: str) -> list[Any]:
        """Return the conversation, what it is saved as, the message, and what each control shows."""
        number = self._fitting(backend)[int(event.index)]
        example, offered = self._examples[number], self._offered[number]
        message = {"text": example.text, "files": [file["path"] for file in offered["files"]]}
        content = [{"path": path} for path in message["files"]] + [{"type": "text", "text": example.text}]
        values: list[Any] = [gr.skip()] * len(self._parameters)
        if example.parameters:
            values = preset_values(self._parameters, example.parameters)
        return [[{"role": "user", "content": content}], [], message, *values]


def _as_gradio_does(example: Example) -> dict[str, Any]:
    shown = {"text": example.text, "files": [str(file) for file in example.files]}
    return {**shown, "display_text": example.label} if example.label else shown
