"""A language without a letter of English: what can still be read on a page is in no file of words."""

from __future__ import annotations

import re
from collections.abc import Iterable

from chatlab.words import ENGLISH, Words

_LETTERS = str.maketrans(
    {letter: chr(0x2800 + ord(letter)) for letter in map(chr, range(65, 123)) if letter.isalpha()}
)
_ENGLISH = ENGLISH.of("")


def other_texts() -> dict[str, str]:
    """Return all texts in it, by key."""
    return {
        key: text if key.startswith(("language", "number.")) else _other(text)
        for key, text in _ENGLISH.items()
    }


def other_words() -> Words:
    """Return its words."""
    return Words(other_texts())


def left_in_english(shown: str, *, but: Iterable[str] = ()) -> set[str]:
    """Return the words of a page that can still be read. but: what people, models and upstreams wrote."""
    for one in sorted(but, key=len, reverse=True):
        shown = shown.replace(one, " ")
    return set(re.findall(r"[A-Za-z]{2,}", shown))


def _other(text: str) -> str:
    """Return a text with other letters, and its places as they are."""
    return "".join(
        piece if piece.startswith("{") else piece.translate(_LETTERS)
        for piece in re.split(r"({[\w-]+})", text)
    )
