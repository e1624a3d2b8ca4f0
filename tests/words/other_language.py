"""A language without a letter of English: what can still be read on a page is in no file of words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from typing import Any

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


_SAID = ("alt", "aria-label", "placeholder", "title")


class _Reader(HTMLParser):
    """Gathers what a person reads or is read of a document."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self._within: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("style", "script"):
            self._within.append(tag)
        self.said += [value or "" for name, value in attrs if name in _SAID]

    def handle_endtag(self, tag: str) -> None:
        if self._within[-1:] == [tag]:
            self._within.pop()

    def handle_data(self, data: str) -> None:
        if not self._within:
            self.said.append(data)


def readable(html: str) -> str:
    """Return what can be read of a document, its names for who cannot see it too."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return " ".join(reader.said)


def texts_in(value: Any, *names: str) -> Iterator[str]:
    """Yield the texts of a JSON value. names: of fields that are shown by their names."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from (name,) if name in names else ()
            yield from texts_in(one, *names)
    elif isinstance(value, list):
        for one in value:
            yield from texts_in(one, *names)
    elif isinstance(value, str):
        yield value


def _other(text: str) -> str:
    """Return a text with other letters, and its places as they are."""
    return "".join(
        piece if piece.startswith("{") else piece.translate(_LETTERS)
        for piece in re.split(r"({[\w-]+})", text)
    )
