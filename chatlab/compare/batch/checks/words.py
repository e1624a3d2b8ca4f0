"""Looks for an expected answer in an answer: as whole words of any script, or a number by itself."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from decimal import Decimal

import regex

from chatlab.compare.batch.checks.numbers import LETTER, NO_SPACES, grouped, numbers_in
from chatlab.compare.batch.checks.problem import LONGEST
from chatlab.shown_text import shown

_MARKS = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\u02bb\u2032\u00b4\uff07", "'"))
_MARKS |= str.maketrans(dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb\u2033\uff02", '"'))
_MARKS |= str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d", "-"))
_FULL_STOPS = ".。।॥։۔።។"
_NUMBER = regex.compile(r"[-+]?(?:0|[1-9]\d{0,2}(?:,\d{3})+|[1-9]\d*)?(?:\.\d+)?(?<=\d)")
_EDGE = regex.compile(rf"(?V1){NO_SPACES}")


def plain(text: str) -> str:
    """Return a text to compare: without regard to case, width (NFKC), white space, the form of apostrophes,
    quotes and dashes, and characters that are not seen."""
    text = unicodedata.normalize("NFKC", grouped(text).translate(_MARKS)).translate(_MARKS).casefold()
    seen = text if text.isascii() else "".join(c for c in text if unicodedata.category(c) != "Cf")
    return " ".join(seen.split())


def same(answer: str, wanted: str) -> bool:
    """Return whether the answer is the wanted one, a full stop at the end aside."""
    alone = plain(wanted).rstrip(_FULL_STOPS).rstrip()
    return any(has.rstrip(_FULL_STOPS).rstrip() == alone for has in _as_written_and_shown(answer))


def stands_in(wanted: str, answer: str) -> bool:
    """Return whether the wanted answer stands in the answer by itself.

    As whole words, but for scripts that write words without spaces between them; and a number not as a part
    of another: 42 is neither in 42.5 nor in -42 nor in 1,042. Raises TimeoutError.
    """
    alone = plain(wanted)
    if not alone:
        return False
    value = Decimal(alone.replace(",", "")) if _NUMBER.fullmatch(alone) else None
    pattern = _pattern(alone)
    for has in _as_written_and_shown(answer):
        if value is not None:
            if any(one.value == value and one.alone for one in numbers_in(has)):
                return True
        elif pattern.search(has, timeout=LONGEST) is not None:
            return True
    return False


def _as_written_and_shown(answer: str) -> Iterator[str]:
    """Yield an answer as it is, and without the marks of Markdown and the escapes that a reader
    does not see.
    """
    answer = grouped(answer)
    yield plain(answer)
    yield plain(shown(answer, emphasis=True))


def _pattern(alone: str) -> regex.Pattern[str]:
    """Return a pattern for the text with word boundaries where its script has them.

    An underscore is a mark of emphasis at the edge of a word, and a part of the word within one.
    """
    begin = "" if _EDGE.match(alone[0]) else rf"(?<!{LETTER}_*)"
    end = "" if _EDGE.match(alone[-1]) else rf"(?!_*{LETTER})"
    if alone[0].isdigit():
        begin += rf"(?<!\d[.,])(?<!(?<!{LETTER})-)"
    if alone[-1].isdigit():
        end += r"(?![.,]\d)"
    return regex.compile(rf"(?V1){begin}{regex.escape(alone)}{end}(?!\p{{M}})")
