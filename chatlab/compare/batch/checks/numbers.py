"""Numbers in a text, exactly as they are written: no digit of a whole number is lost."""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Context, Decimal, InvalidOperation

import regex

NO_SPACES = (
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Bopomofo}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
    r"\u30fc]"
)
"""Scripts without spaces between words, or, as Korean, with endings on them: for `regex`, version 1."""

LETTER = rf"[\w--_--{NO_SPACES}]"
"""A letter, digit or mark of any other script: for `regex`, version 1."""

_GROUPED = regex.compile(  # by an apostrophe, a space that does not break, or full stops
    r"(?<![\d.,])\d{1,3}(?:(?:[\xa0\u2009\u202f\u2007'\u2019]\d{3})+|(?:\.\d{3}){2,})(?!\d)"
)
_DECIMAL_COMMA = regex.compile(r"(?<![\d.,])[-+]?\d+,\d+(?![\d,])")
_LONGEST = 2_000  # digits; a longer number is none that anybody means
_NUMBER = regex.compile(
    rf"(?V1)(?<!{LETTER}_*|\d\.)"
    r"(?P<number>[-+\u2212]?(?:\d{1,3}(?:,\d{3})+(?![\d])|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?|[-+\u2212]?\.\d+)"
    rf"(?P<more>{LETTER}?)"
)


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it is written. alone: whether no letter follows, as in 42nd or 42km, and it is no part of a
    number with a decimal comma, such as 42,5.
    """

    text: str
    value: Decimal
    alone: bool


def numbers_in(text: str) -> Iterator[Number]:
    """Yield the numbers as they are written in English: 1,234.5 is one number; a hyphen in front is a minus
    unless it stands between two numbers or behind a letter."""
    text = unicodedata.normalize("NFKC", grouped(text))
    commas = {match.span() for match in _DECIMAL_COMMA.finditer(text)}
    for match in _NUMBER.finditer(text):
        said = match["number"]
        digits = said.replace(",", "").replace("\u2212", "-")
        if len(digits) > _LONGEST:
            continue
        try:
            value = Decimal(digits)
        except InvalidOperation:  # an exponent beyond all bounds
            continue
        within = any(start <= match.start("number") < end for start, end in commas - {match.span("number")})
        yield Number(said, value, not match["more"] and not within)


def grouped(text: str) -> str:
    """Return a text whose long numbers have commas where narrow spaces, apostrophes or full stops were."""
    return _GROUPED.sub(lambda match: regex.sub(r"[^\d]", ",", match[0]), text)


def last_number(text: str) -> Number | None:
    """Return the last number in a text; None if it has none."""
    last: deque[Number] = deque(numbers_in(text), maxlen=1)
    return last[0] if last else None


def near(found: Decimal, wanted: Decimal, size: Decimal, *, relative: bool) -> bool:
    """Return whether two numbers are the same within a tolerance, which `relative` takes as a part of the
    wanted one.

    Of whole numbers every digit counts; others are the same to twelve digits, since answers are often printed
    from binary fractions.
    """
    exact = Context(prec=2 * _LONGEST)
    try:
        off = exact.abs(exact.subtract(found, wanted))
        bound = exact.multiply(size, exact.abs(wanted)) if relative else size
        if not (_whole(found) and _whole(wanted)):
            largest = max(exact.abs(found), exact.abs(wanted))
            bound = max(bound, exact.multiply(largest, Decimal("1e-12")))
    except ArithmeticError:  # they are of magnitudes that have no difference
        return found == wanted
    return off <= bound


def _whole(value: Decimal) -> bool:
    return value == value.to_integral_value()
