"""Text that every part of the way can carry: the one place where what is no character is taken out.

Python's strings can hold halves of surrogate pairs, which UTF-8, and so JSON, HTTP, databases and browsers,
cannot: some servers cut an emoji in two between deltas, some files are cut in the middle of one. Halves that
belong together are joined; one that is alone becomes U+FFFD, the replacement character, as do NUL, which
PostgreSQL and C refuse, and U+FFFE and U+FFFF, which are no characters by definition. Other controls
stay: a person may ask about the output of a terminal, and whoever shows a text sees to what it can do there.

The parts and events of `chatlab.messages` use it when they are made, so that whatever a text came from (an
answer, a message, an import, a file of prompts, a stored conversation), it is well formed from there on.
"""

from __future__ import annotations

import re
from typing import Any

REPLACEMENT = "\ufffd"

_PAIR = re.compile("([\ud800-\udbff])([\udc00-\udfff])")
_HALF = re.compile("[\ud800-\udfff]")
_NO_CHARACTER = re.compile("[\0\ud800-\udfff\ufffe\uffff]")

_LONG = 1000  # characters


def well_formed(text: str) -> str:
    """Return the text with halves of characters joined, and U+FFFD for each thing that is no character."""
    if "\0" not in text if text.isascii() else _is_well_formed(text):
        return text
    return _NO_CHARACTER.sub(REPLACEMENT, _PAIR.sub(_joined, text))


def encodable(value: Any) -> Any:
    """Return a JSON value whose texts, keys included, UTF-8 can hold: halves are joined or replaced.

    Nothing else is changed, since JSON writes control characters as escapes.
    """
    if isinstance(value, str):
        return value if value.isascii() else _HALF.sub(REPLACEMENT, _PAIR.sub(_joined, value))
    if isinstance(value, dict):
        return {encodable(key): encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encodable(item) for item in value]
    return value


class Pieces:
    """Text that arrives in pieces, between two of which a character may be cut."""

    __slots__ = ("_half",)

    def __init__(self) -> None:
        self._half = ""

    def add(self, piece: str) -> str:
        """Return what is whole with this piece, well formed; a first half at its end waits for the next."""
        if not self._half and piece.isascii() and "\0" not in piece:
            return piece  # nearly all are
        text, self._half = self._half + piece, ""
        if "\ud800" <= text[-1:] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return well_formed(text)

    def end(self) -> str:
        """Return U+FFFD if half a character still waits, and otherwise nothing."""
        half, self._half = self._half, ""
        return REPLACEMENT if half else ""


def _is_well_formed(text: str) -> bool:
    """Return whether nothing is to be done, for long texts ten times as fast as the expression tells it."""
    if len(text) < _LONG:
        return _NO_CHARACTER.search(text) is None
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text and b"\xef\xbf\xbe" not in raw and b"\xef\xbf\xbf" not in raw


def _joined(pair: re.Match[str]) -> str:
    return chr(0x10000 + ((ord(pair[1]) - 0xD800) << 10) + ord(pair[2]) - 0xDC00)


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text, which spaces part."""
    return frozenset(text.split())
