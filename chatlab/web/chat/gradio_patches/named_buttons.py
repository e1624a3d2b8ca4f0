"""Names for the conversation's buttons, in place of those that Gradio takes from the browser's language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

_KEYS = {  # our names for Gradio's own
    "retry": "chatbot.retry",
    "undo": "chatbot.undo",
    "edit": "chatbot.edit",
    "copy": "chatbot.copy_message",
    "clear": "chatbot.clear",
}
LOCALES = (
    *("ar", "ca", "ckb", "de", "en", "es", "et", "eu", "fa", "fi", "fr", "he", "hi", "id", "ja", "ko"),
    *(
        "lt",
        "nb",
        "nl",
        "pl",
        "pt",
        "pt-BR",
        "ro",
        "ru",
        "sv",
        "ta",
        "th",
        "tr",
        "uk",
        "ur",
        "uz",
        "zh-CN",
        "zh-TW",
    ),
)
"""Those that Gradio's page has words for: a browser gets one of them, and what is said here in each."""


def named_buttons(names: Mapping[Any, str]) -> gr.I18n | None:
    """Return what Gradio's page is told to call its buttons; None leaves it to the browser's language.

    Gradio's own words are nested by component. A word under the whole key comes before these.
    """
    said = {key: names[name] for name, key in _KEYS.items() if name in names}
    return gr.I18n(**dict.fromkeys(LOCALES, said)) if said else None
