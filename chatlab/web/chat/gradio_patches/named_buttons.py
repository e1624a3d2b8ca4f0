"""Names for the conversation's buttons, in place of those that Gradio takes from the browser's language."""

from __future__ import annotations

import gradio as gr

from chatlab.words import Words

_KEYS = {  # our names for Gradio's own
    "retry": "chatbot.retry",
    "undo": "chatbot.undo",
    "edit": "chatbot.edit",
    "copy": "chatbot.copy_message",
    "copied": "chatbot.copied_message",
    "clear": "chatbot.clear",
    "submit": "chatbot.submit",
    "cancel": "chatbot.cancel",
    "like": "chatbot.like",
    "dislike": "chatbot.dislike",
    "download": "common.download",
    "remove": "common.remove",
}
LOCALES = (
    *("ar", "ca", "ckb", "de", "en", "es", "et", "eu", "fa", "fi", "fr", "he", "hi", "id", "ja", "ko"),
    *("lt", "nb", "nl", "pl", "pt", "pt-BR", "ro", "ru", "sv", "ta", "th", "tr", "uk", "ur", "uz"),
    *("zh-CN", "zh-TW"),
)
"""Those that Gradio's page has words for: a browser gets one of them, and what is said here in each."""


def named_buttons(words: Words) -> gr.I18n:
    """Return what Gradio's page is told to call its buttons, whatever the browser's language is.

    Gradio's own words are nested by component. A word under the whole key comes before these.
    """
    said = {key: words(f"button.{name}") for name, key in _KEYS.items()}
    return gr.I18n(**dict.fromkeys(LOCALES, said))
