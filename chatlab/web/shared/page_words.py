"""The words of the pages of one configuration: those of its language, with its own labels."""

from __future__ import annotations

import json
from collections.abc import Mapping

from chatlab.config.ui import Label, Ui
from chatlab.words import Words, words_of

_LABELS: Mapping[Label, str] = {
    "backend": "chat.backend",
    "system": "chat.system",
    "parameters": "chat.options",
    "preset": "chat.preset",
    "conversation": "name.conversation",
    "retry": "button.retry",
    "undo": "button.undo",
    "edit": "button.edit",
    "copy": "button.copy",
    "clear": "button.clear",
}


def page_words(ui: Ui) -> Words:
    """Return the words. Raises ConfigError for a file of words that cannot be used."""
    own = {key: ui.labels[label] for label, key in _LABELS.items() if label in ui.labels}
    return words_of(ui.language).replaced(own)


def told_words(words: Words, *prefixes: str) -> str:
    """Return the words that a page's scripts say, as JSON for a script element: each text behind its key.

    Not as fields: what a blind session's browser gets is searched for the names of those that would tell.
    """
    told = [f"{key} {text}" for key, text in words.of("language", "both.", *prefixes).items()]
    return json.dumps(told, ensure_ascii=False).replace("<", "\\u003c")
