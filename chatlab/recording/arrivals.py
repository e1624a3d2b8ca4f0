"""The times at which the events of an answer arrived, in a few bytes an event, and the same events again.

A stored answer is its parts, which do not say how it came: this does, for a recording. The text has one
word an event, in order: the microseconds since the event before (the first: since the turn's zero), a letter
for what it was, and for text and reasoning how many characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import assert_never

from chatlab.messages import (
    Citation,
    Finish,
    Notice,
    Part,
    ReasoningDelta,
    ReasoningPart,
    StreamEvent,
    TextDelta,
    TextPart,
    ToolCall,
    ToolResult,
    Trace,
)
from chatlab.recording.format import Timed

_WORD = re.compile(r"(\d+)([trcosxnf])(\d*)")


class Arrivals:
    """Takes the events of a turn as they come; `str()` is what to store."""

    __slots__ = ("_last", "_words")

    def __init__(self) -> None:
        self._words: list[str] = []
        self._last = 0

    def add(self, at: float, event: StreamEvent) -> None:
        """Add the next event. at: seconds since the turn's zero."""
        moment = int(at * 1_000_000 + 0.5)  # quick: it is done for every event
        if moment < self._last:
            moment = self._last
        if isinstance(event, TextDelta):  # most are
            self._words.append(f"{moment - self._last}t{len(event.text)}")
        else:
            self._words.append(f"{moment - self._last}{_said(event)}")
        self._last = moment

    def __str__(self) -> str:
        return " ".join(self._words)


def _said(
    event: ReasoningDelta | ToolCall | ToolResult | Citation | Trace | Notice | Finish,
) -> str:
    if isinstance(event, ReasoningDelta):
        return f"r{len(event.text)}"
    if isinstance(event, ToolCall):
        return "c"
    if isinstance(event, ToolResult):
        return "o"
    if isinstance(event, Citation):
        return "s"
    if isinstance(event, Trace):
        return "x"
    if isinstance(event, Notice):
        return "n"
    if isinstance(event, Finish):
        return "f"
    assert_never(event)


def events_of(
    arrivals: str,
    answer: Sequence[Part],
    *,
    notices: Sequence[Notice] = (),
    citations: Sequence[Citation] = (),
    traces: Sequence[Trace] = (),
    finish: Finish | None = None,
) -> tuple[Timed, ...]:
    """Return the events of an answer with their times. Notices from before its first event come at zero.

    Raises ValueError if these are not the times of this answer.
    """
    words = arrivals.split()
    before = max(0, len(notices) - sum(word.endswith("n") for word in words))
    text = _Characters("".join(part.text for part in answer if isinstance(part, TextPart)))
    thought = _Characters("".join(part.text for part in answer if isinstance(part, ReasoningPart)))
    whole: dict[str, Iterator[StreamEvent]] = {
        "c": (part for part in answer if isinstance(part, ToolCall)),
        "o": (part for part in answer if isinstance(part, ToolResult)),
        "s": iter(citations),
        "x": iter(traces),
        "n": iter(notices[before:]),
        "f": iter(() if finish is None else (finish,)),
    }
    found = [Timed(0.0, notice) for notice in notices[:before]]
    at = 0
    try:
        for word in words:
            wait, letter, size = _WORD.fullmatch(word).groups()  # type: ignore[union-attr]
            at += int(wait)
            if letter == "t":
                event: StreamEvent = TextDelta(text.take(int(size)))
            elif letter == "r":
                event = ReasoningDelta(thought.take(int(size)))
            else:
                event = next(whole[letter])
            found.append(Timed(at / 1_000_000, event))
    except (AttributeError, ValueError, StopIteration) as exc:
        raise ValueError("these are not the times of this answer") from exc
    if text.left or thought.left or any(next(rest, None) is not None for rest in whole.values()):
        raise ValueError("the times are of a part of this answer only")
    return tuple(found)


class _Characters:
    """A text that is taken piece by piece."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def take(self, size: int) -> str:
        """Return the next characters. Raises ValueError if there are not so many."""
        if size > self.left:
            raise ValueError("the text ends before")
        self._at += size
        return self._text[self._at - size : self._at]

    @property
    def left(self) -> int:
        return len(self._text) - self._at
