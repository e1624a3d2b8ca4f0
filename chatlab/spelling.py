"""Say which known name somebody probably meant, and how many there are of something."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that this one is most likely a misspelling of, if it is close to any."""
    by_lower = {name.lower(): name for name in known}
    close = get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`, did you mean model?` for a word close to a known one, nothing for any other."""
    close = closest(word, known)
    return "" if close is None else f", did you mean {close}?"


def or_which(word: str, known: Iterable[str]) -> str:
    """`did_you_mean`, or which there are where none is close."""
    names = tuple(known)
    return did_you_mean(word, names) or f": there are {', '.join(names)}"


def count(number: int, what: str) -> str:
    """Return a number of things, in words: "1 answer", "2 answers". what: one of them."""
    return f"{number} {what}{'' if number == 1 else 's'}"
