"""The examples on the empty page: those that fit the chosen backend, each asked with its own parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from chatlab.backend import Parameter
from chatlab.config.ui import Example, Ui
from chatlab.web.chat.controls import preset_values
from chatlab.web.chat.gradio_patches import PatchedChatInterface, show_examples

_STEPS: dict[str, Any] = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}


class Examples:
    """The examples that the empty page offers for the chosen backend, and what a click on one does."""

    def __init__(self, ui: Ui, parameters: Sequence[Parameter]) -> None:
        self._examples = ui.examples
        self._sent = ui.run_examples_on_click
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
        if any(example.backend for example in self._examples):
            selector.change(self._updated, selector, chat.chatbot, **_STEPS)
        if not self._sent:
            chosen = [chat.textbox, *controls]
            chat.chatbot.example_select(self._written, selector, chosen, **_STEPS)
            return
        shown = [chat.chatbot, chat.chatbot_state, chat.saved_input]
        asked = chat.chatbot.example_select(self._asked, selector, [*shown, *controls], **_STEPS)
        chat.answer(asked.success)

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
        message, values = self._chosen(event, backend)
        content = [{"path": path} for path in message["files"]] + [{"type": "text", "text": message["text"]}]
        return [[{"role": "user", "content": content}], [], message, *values]

    def _written(self, event: gr.SelectData, backend: str) -> list[Any]:
        """Return what the message box and each control show."""
        message, values = self._chosen(event, backend)
        return [message, *values]

    def _chosen(self, event: gr.SelectData, backend: str) -> tuple[dict[str, Any], list[Any]]:
        number = self._fitting(backend)[int(event.index)]
        example, offered = self._examples[number], self._offered[number]
        values: list[Any] = [gr.skip()] * len(self._parameters)
        if example.parameters:
            values = preset_values(self._parameters, example.parameters)
        return {"text": example.text, "files": [file["path"] for file in offered["files"]]}, values


def _as_gradio_does(example: Example) -> dict[str, Any]:
    shown: dict[str, Any] = {"text": example.text, "files": [str(file) for file in example.files]}
    if example.icon is not None:
        shown["icon"] = str(example.icon)
    return {**shown, "display_text": example.label} if example.label else shown
