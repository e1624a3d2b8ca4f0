"""The differences between two answers, word by word, and how far they agree."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import chain, groupby
from typing import Literal, TypeAlias, TypeVar

T = TypeVar("T", bound=Hashable)

Kind: TypeAlias = Literal["same", "removed", "added"]
_Tokens: TypeAlias = Sequence[str]

_TOKEN = re.compile(r"\w+\s*|[^\w\s]\s*|\s+")  # white space goes with what is before it
_WORD = re.compile(r"\w+")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_MOST = 4_000
"""Tokens that are compared at once: the time grows with their square. Of longer answers whole lines are
compared first, and then what is between equal lines, in stretches of so many tokens."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text: in both answers ("same"), in the first only ("removed"), or the second ("added").

    The same and removed spans of a difference are the first answer, the same and added ones the second.
    """

    kind: Kind
    text: str


def word_difference(a: str, b: str) -> tuple[Span, ...]:
    """Return the difference of two answers, by words and punctuation marks with the white space after them.

    Memory grows with the length of the answers and no faster; time is bounded for long ones as `_MOST` says.
    A page calls it in a thread.
    """
    spans: list[tuple[Kind, str]] = []
    for same, ours, theirs in _aligned(_lines(a, _TOKEN), _lines(b, _TOKEN)):
        if same:
            spans.append(("same", "".join(ours)))
        else:
            spans += [("removed", "".join(ours)), ("added", "".join(theirs))]
    joined: list[Span] = []
    for kind, group in groupby((span for span in spans if span[1]), key=lambda span: span[0]):
        joined.append(Span(kind, "".join(text for _, text in group)))
    return tuple(joined)


def agreement(a: str, b: str) -> float:
    """Return how far two answers are word for word the same: twice the words they have in common in the same
    order, over the words of both (the Dice coefficient of an alignment, `difflib`'s "ratio" on words).

    1 is the same words, 0 none in common; case, punctuation and white space do not count, and the order of
    the two answers does not matter. In answers of 200 words or more, a word that is over 1 % of them ("the")
    counts only beside others that agree (difflib's rule), since it is in every answer. Two answers without
    any word agree. It says nothing of meaning: two right answers in other words may agree little.
    """
    ours, theirs = sorted((_lines(a.casefold(), _WORD), _lines(b.casefold(), _WORD)))
    words = sum(map(len, ours)) + sum(map(len, theirs))
    if not words:
        return 1.0
    return 2 * sum(len(tokens) for same, tokens, _ in _aligned(ours, theirs) if same) / words


def _lines(text: str, token: re.Pattern[str]) -> list[tuple[str, ...]]:
    return [tuple(token.findall(line)) for line in _LINE.findall(text)]


def _aligned(
    a: Sequence[tuple[str, ...]], b: Sequence[tuple[str, ...]]
) -> Iterator[tuple[bool, _Tokens, _Tokens]]:
    """Two texts, by lines of tokens, as pieces that are the same or replace each other, in order."""
    if max(sum(map(len, a)), sum(map(len, b))) <= _MOST:
        yield from _matched(list(chain(*a)), list(chain(*b)))
        return
    for same, ours, theirs in _matched(a, b):
        left, right = list(chain(*ours)), list(chain(*theirs))
        if same:
            yield True, left, right
            continue
        for start in range(0, max(len(left), len(right)), _MOST):
            yield from _matched(left[start : start + _MOST], right[start : start + _MOST])


def _matched(a: Sequence[T], b: Sequence[T]) -> Iterator[tuple[bool, Sequence[T], Sequence[T]]]:
    """Two sequences as pieces that are the same or replace each other. What both begin and end with is not
    searched for: most of two answers is often the same."""
    shorter = min(len(a), len(b))
    start = next((at for at in range(shorter) if a[at] != b[at]), shorter)
    end = next((at for at in range(shorter - start) if a[-1 - at] != b[-1 - at]), shorter - start)
    yield True, a[:start], b[:start]
    a, b, tail = a[start : len(a) - end], b[start : len(b) - end], a[len(a) - end :]
    for tag, a0, a1, b0, b1 in SequenceMatcher(None, a, b).get_opcodes():
        yield tag == "equal", a[a0:a1], b[b0:b1]
    yield True, tail, tail
