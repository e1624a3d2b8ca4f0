"""The notices of a turn as pages, exports and links show them: a short line each, with what is behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chatlab.messages import Notice
from chatlab.words import Words, places_of

QUIET = frozenset({"thoughts_dropped"})
"""The kinds that say how chatting works, not that something went wrong."""


@dataclass(frozen=True, slots=True)
class Note:
    """A note beside an answer. more: what its line leaves out; nothing where it says all."""

    line: str
    more: tuple[str, ...] = ()


def notes(notices: Sequence[Notice], words: Words) -> list[Note]:
    """Return the notes of an answer in a page's words, quiet ones apart. All attempts at it are one, whose
    line says which was the last, and leaves out why those before it failed."""
    shown = [notice for notice in notices if notice.kind not in QUIET]
    attempts = [one for one in shown if one.kind == "retried" and places_of("notice.retried", one.detail)]
    why = tuple(words.translated(one.detail) for one in attempts)
    return [
        Note(words("answer.attempt", **places_of("notice.retried", one.detail)), why)
        if one in attempts
        else Note(words.translated(one.detail))
        for one in shown
        if one not in attempts[:-1]
    ]
