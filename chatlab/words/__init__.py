"""The words of the pages: every label and sentence of chatlab's own, by key, in one file a language.

English and German come with chatlab; a file of one's own has the same keys. What an upstream, the
configuration or the storage says of itself is in English everywhere, as in the log.

What is stored or told to programs is English whatever the page speaks: refusals, the notices of a turn, the
sentences of statistics, the descriptions of parameters. A page or a report shows them in its language by
`Words.translated`, which finds the key that a sentence was made by.
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

from chatlab.errors import ChatlabError, ConfigError
from chatlab.spelling import did_you_mean

_FOLDER = Path(__file__).resolve().parent
SHIPPED = ("en", "de")
"""The languages that come with chatlab."""

_CARRIED = ("notice.", "finish.", "parameter.", "ranking.", "refusal.", "said.", "spread.", "sent.")
"""How the keys begin of what is made in English and shown in a page's language."""
_NUMBERS = frozenset(("count", "difference", "fewest", "high", "low", "most", "p", "seconds", "size"))
_SENTENCES = frozenset(
    (
        *("called", "detail", "file", "judged", "lane", "one", "other", "problem", "prompts", "reason"),
        *("repeats", "sentence", "unit", "what", "who", "word"),
    )
)
"""The places of these that hold numbers, and other texts that are translated by themselves."""
_NAME = "parameter"
"""The place of this holds one name, without spaces."""


class Words:
    """The words of one language. Called with a key and what its text has places for, it returns the text."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts
        self.language = texts["language"]
        """By its code, such as `de`, for browsers."""
        pairs = {",": texts["number.thousands"], ".": texts["number.decimal"], "-": "−"}
        pairs["%"] = texts["number.percent"]
        self._separators = str.maketrans(pairs)

    def __call__(self, key: str, **values: object) -> str:
        text = self._texts[key]
        return text.format(**values) if values else text

    def counted(self, key: str, count: int, **values: object) -> str:
        """Return the text for so many: of this key for one, of the key with an `s` for any other number."""
        return self(key if count == 1 else f"{key}s", count=self.number(f"{count:,}"), **values)

    def translated(self, said: str) -> str:
        """Return what was made of the English words, in these; any other text as it is."""
        return said if self is ENGLISH or len(said) > _LONGEST_CARRIED else _translated(self, said)

    def told(self, error: ChatlabError) -> str:
        """Return what a page says of an error, in these words as far as it was made of our own."""
        return self.translated(error.sentence)

    def number(self, written: str) -> str:
        """Return a number as this language writes it, from how English does."""
        return written.translate(self._separators)

    def share(self, value: float) -> str:
        """Return a share of one as a percentage."""
        return self.number(f"{value:.0%}")

    def vote_word(self, said: str) -> str:
        """Return a criterion or a reason of a vote; one of somebody's own as it is."""
        return self._texts.get(f"compare.vote-{said.replace(' ', '-')}", said)

    def listed(self, names: Sequence[str], most: int | None = None) -> str:
        """Return names as a list in a sentence: "a, b and c". most: how many are named; then "and 3 more"."""
        if most is not None and len(names) > most:
            return self("both.and-more", names=", ".join(names[:most]), count=len(names) - most)
        return self("both.and", a=", ".join(names[:-1]), b=names[-1]) if len(names) > 1 else "".join(names)

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
    """A refusal in words that are by a key. A page says it in its own language by `Words.told`.

    key: of its sentence, in English. values: what that has places for.
    """

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(ENGLISH(key, **values))


def places_of(key: str, said: str) -> dict[str, str]:
    """Return by name what stands in the places of an English sentence that was made by this key; nothing for
    one that was not."""
    return _read(dict(_carried())[key], said) or {}


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


_LONGEST_CARRIED = 4_000  # characters; nothing of ours is longer

_Pieces: TypeAlias = tuple[tuple[str, str], ...]
"""A text in pieces: what stands before a place, and the place's name; at the end it has none."""


@cache
def _carried() -> tuple[tuple[str, _Pieces], ...]:
    """Return the keys of what is made in English, with the text in pieces. Those that say most come first, so
    that none takes a sentence for its own that another one made."""
    found = []
    for key, text in _english().items():
        if key.startswith(_CARRIED):
            pieces = tuple((before, name or "") for before, name, _, _ in string.Formatter().parse(text))
            found.append((key, pieces if not pieces[-1][1] else (*pieces, ("", ""))))
    return tuple(sorted(found, key=lambda one: -sum(len(before) for before, _ in one[1])))


@lru_cache(maxsize=500)  # the same few reasons and notices, turn after turn
def _translated(words: Words, said: str) -> str:
    for key, pieces in _carried():
        found = _read(pieces, said)
        if found is not None:
            return words(key, **{name: _placed(words, name, text) for name, text in found.items()})
    return said


def _placed(words: Words, name: str, text: str) -> str:
    if name in _NUMBERS:
        return words.number(text)
    return words.translated(text) if name in _SENTENCES else text


def _read(pieces: _Pieces, said: str) -> dict[str, str] | None:
    """Return by name what stands in the places of a text; None for one that was not made by it. One pass over
    the text, whatever is in it."""
    first, last = pieces[0][0], pieces[-1][0]
    if not said.startswith(first) or not said.endswith(last):
        return None
    if len(pieces) == 1:
        return {} if said == first else None
    found, at, end = {}, len(first), len(said) - len(last)
    for (_, name), (before, _) in pairwise(pieces[:-1]):
        stands = said.find(before, at + 1, end)
        if stands < 0:
            return None
        found[name] = said[at:stands]
        at = stands + len(before)
    if at >= end:
        return None
    found[pieces[-2][1]] = said[at:end]
    return None if " " in found.get(_NAME, "") else found


ENGLISH = Words(_english())
