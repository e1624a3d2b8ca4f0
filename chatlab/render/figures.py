"""The figures of an answer in the words that every page, terminal, export and report uses.

One spelling of each unit, and one rule for what is not known: it is left out of a line, and is `UNKNOWN` in a
table. It is never zero. Scripts of pages get these words from the server.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, assert_never

from chatlab.messages import Timing, Usage
from chatlab.words import ENGLISH, Words

if TYPE_CHECKING:  # the terminal needs no database
    from chatlab.store import StoredTurn

UNKNOWN = "–"
"""Stands in a table where a figure is not known."""

_FASTEST = 100_000  # tokens a second; above it the clock is what was measured


def seconds(value: float | None, words: Words = ENGLISH) -> str:
    """Return a duration, given in seconds, with its unit: milliseconds below one second."""
    if value is None:
        return UNKNOWN
    if value < 0.0005:
        return words("figures.under")
    return words.number(f"{value * 1000:.0f} ms" if value < 0.9995 else f"{value:,.2f} s")


def count(value: int | None, words: Words = ENGLISH) -> str:
    """Return a number of tokens."""
    return UNKNOWN if value is None else words.number(f"{value:,}")


def speed(value: float | None, words: Words = ENGLISH) -> str:
    """Return tokens a second with their unit."""
    if value is None:
        return UNKNOWN
    if value > _FASTEST:
        return words("figures.over", rate=words.number(f"{_FASTEST:,}"))
    return words("figures.speed", rate=words.number(f"{value:{'.3g' if value < 99.95 else ',.0f'}}"))


def money(value: float | None, words: Words = ENGLISH) -> str:
    """Return a cost in the currency of the configured prices: to the cent, below one to three digits."""
    if value is None:
        return UNKNOWN
    if value >= 1:
        return words.number(f"{value:,.2f}".removesuffix(".00"))
    digits = f"{value:.3g}"
    return words.number(f"{value:.14f}".rstrip("0") if "e" in digits else digits)


def figures_line(
    label: str,
    timing: Timing,
    usage: Usage | None,
    cost: float | None,
    *rest: str,
    stall: bool = False,
    words: Words = ENGLISH,
) -> str:
    """Return the line of figures under an answer; what is not known is left out of it.

    label: who answered; empty where that stands elsewhere. rest: what follows the figures. stall: with the
    longest silence of the stream.
    """
    longest = timing.longest_stall if stall else None
    said = (
        label,
        _timed("first-token", timing.first_token, words),
        _timed("total", timing.total, words),
        "" if timing.tokens_per_second is None else speed(timing.tokens_per_second, words),
        _timed("longest-stall", longest, words),
        _tokens(usage or Usage(), words),
        "" if cost is None else words("figures.cost", money=money(cost, words)),
        *rest,
    )
    return " · ".join(filter(None, said))


def _timed(figure: str, value: float | None, words: Words) -> str:
    return "" if value is None else words(f"figures.{figure}", time=seconds(value, words))


def _tokens(usage: Usage, words: Words) -> str:
    if usage.input is None:
        return "" if usage.output is None else words("figures.out", tokens=_noun(usage.output, words))
    tokens = _noun(usage.input, words)
    if usage.output is None:
        return words("figures.in", tokens=tokens)
    return words("figures.in-out", tokens=tokens, out=count(usage.output, words))


def _noun(number: int, words: Words) -> str:
    return words.counted("figures.token", number)


def figures(
    turn: StoredTurn,
    *rest: str,
    label: str | None = None,
    stall: bool = False,
    words: Words = ENGLISH,
) -> str:
    """Return the line of figures of a stored turn. label: who answered, by default the upstream's model."""
    finish = turn.finish
    usage = finish.usage if finish is not None else None
    if label is None:
        label = (finish.model if finish is not None else None) or ""
    return figures_line(label, turn.timing, usage, turn.cost, *rest, stall=stall, words=words)


@dataclass(frozen=True, slots=True)
class Measured:
    """The medians of one or more answers, in seconds, and the same in words."""

    first_token: float | None
    total: float | None
    said: str
    spoken: str

    @classmethod
    def of(cls, turns: Sequence[StoredTurn], words: Words = ENGLISH) -> Measured:
        """Return the medians of what is known of these turns."""
        first = _median([turn.timing.first_token for turn in turns])
        total = _median([turn.timing.total for turn in turns])
        rate = _median([turn.timing.tokens_per_second for turn in turns])
        said = (
            f"{seconds(first, words)} / {seconds(total, words)}",
            "" if rate is None else speed(rate, words),
            words("figures.median", count=len(turns)) if len(turns) > 1 else "",
        )
        spoken = words("figures.spoken", first=seconds(first, words), total=seconds(total, words))
        return cls(first, total, " · ".join(filter(None, said)), spoken)


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def outcome(turn: StoredTurn, words: Words = ENGLISH) -> str | None:
    """Return a sentence about a turn that did not finish, or None for one that did."""
    match turn.status:
        case "finished":
            return None
        case "failed":
            return words.translated(turn.error) if turn.error else words("answer.turn-failed")
        case "stopped":
            return words("answer.turn-stopped")
        case "interrupted" | "running":
            return words("answer.turn-interrupted")
        case _:
            assert_never(turn.status)
