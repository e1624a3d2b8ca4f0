"""Has Gradio's conversation show a text as it was written, words in angle brackets included."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import gradio as gr

from chatlab.render.angle_brackets import tags_as_text, tags_as_written

CONVERSATION = "chatlab-conversation"
"""The class of our conversations on a page, by which they are told from others' in the same app."""


@cache
def show_tags_as_text() -> None:
    """Have our conversations show words in angle brackets, which Gradio renders as HTML or drops.

    What goes to the page has references in place of the brackets, and what comes back has brackets again, so
    that nothing but the page knows of it: the answers of the API are as they were. A patch of the class, for
    an update makes a new component; others' conversations in the same app are as Gradio shows them.
    """
    read, show = gr.Chatbot.preprocess, gr.Chatbot.postprocess

    @wraps(read)
    def preprocess(chatbot: Any, payload: Any) -> Any:
        if CONVERSATION in chatbot.elem_classes and payload is not None:
            payload.root = [_with_text(message, tags_as_written) for message in payload.root]
        return read(chatbot, payload)

    @wraps(show)
    def postprocess(chatbot: Any, value: Any) -> Any:
        made = show(chatbot, value)
        if CONVERSATION in chatbot.elem_classes:
            made.root = [_with_text(message, tags_as_text) for message in made.root]
        return made

    gr.Chatbot.preprocess, gr.Chatbot.postprocess = preprocess, postprocess


def _with_text(message: Any, convert: Callable[[str], str]) -> Any:
    """Return a message with its texts converted: another one where that changes any."""
    content = [
        part.model_copy(update={"text": text})
        if part.type == "text" and (text := convert(part.text)) != part.text
        else part
        for part in message.content
    ]
    changed = any(new is not old for new, old in zip(content, message.content, strict=True))
    return message.model_copy(update={"content": content}) if changed else message
