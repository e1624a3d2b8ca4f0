"""The words of the pages: every label and sentence of chatlab's own, by key, in one file a language.

English and German come with chatlab; a file of one's own has the same keys. What a person reads of an error
of a backend, of the configuration or of the storage is said in English everywhere, as in the log.
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from chatlab.errors import ChatlabError, ConfigError
from chatlab.spelling import did_you_mean

_FOLDER = Path(__file__).resolve().parent
SHIPPED = ("en", "de")
"""The languages that come with chatlab."""


class Words:
    """The words of one language. Called with a key and what its text has places for, it returns the text."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self.language = texts["language"]
        """By its code, such as `de`, for browsers."""
        pairs = {",": texts["number.thousands"], ".": texts["number.decimal"], "-": "−"}
        self._separators = str.maketrans(pairs)

    def __call__(self, key: str, **values: object) -> str:
        text = self._texts[key]
        return text.format(**values) if values else text

    def number(self, written: str) -> str:
        """Return a number as this language writes it, from how English does."""
        return written.translate(self._separators)

    def of(self, *prefixes: str) -> dict[str, str]:
        """Return the texts whose keys begin with one of these, for a page's scripts."""
        return {key: text for key, text in self._texts.items() if key.startswith(prefixes)}

    def replaced(self, texts: Mapping[str, str]) -> Words:
        """Return these words with other texts for some keys."""
        return Words({**self._texts, **texts})


def words_of(language: str | Path) -> Words:
    """Return the words of a language that comes with chatlab, or of a file; English where it has none.

    Raises ConfigError with all that is wrong with the file.
    """
    if isinstance(language, str):
        return ENGLISH if language == "en" else Words({**_english(), **_shipped(language)})
    try:
        given = json.loads(language.read_text("utf-8"))
    except (OSError, ValueError) as exc:
        raise ConfigError([f"{language} cannot be read as JSON in UTF-8: {exc}"]) from exc
    if not isinstance(given, dict) or not all(isinstance(text, str) for text in given.values()):
        raise ConfigError([f"{language}: a file of words has one JSON object, with texts by key"])
    problems = [f"{language}: {problem}" for problem in _problems(given)]
    if problems:
        raise ConfigError(problems)
    return Words({**_english(), **given})


class WordedError(ChatlabError):
    """A refusal by a page, which says it in its own language. As a text it is in English.

    key: of its sentence. values: what that has places for.
    """

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(ENGLISH(key, **values))
        self.key = key
        self.values = values

    def said(self, words: Words) -> str:
        """Return the sentence in the words of a page."""
        return words(self.key, **self.values)


def _problems(given: Mapping[str, str]) -> Iterable[str]:
    known = _english()
    for key, text in given.items():
        if key not in known:
            yield f"unknown key {key!r}{did_you_mean(key, known) or ': chatlab/words/en.json has all keys'}"
        elif (places := _places(text)) is None:
            yield f"{key}: a curly bracket has no other one; a place is written as {{name}}"
        elif more := places - (_places(known[key]) or set()):
            have = ", ".join(sorted(_places(known[key]) or ())) or "none"
            yield f"{key}: there is nothing to put into {{{', '.join(sorted(more))}}}; its places are {have}"


def _places(text: str) -> set[str] | None:
    try:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
    except ValueError:
        return None


@cache
def _shipped(language: str) -> Mapping[str, str]:
    texts: dict[str, str] = json.loads((_FOLDER / f"{language}.json").read_text("utf-8"))
    return texts


def _english() -> Mapping[str, str]:
    return _shipped("en")


ENGLISH = Words(_english())
