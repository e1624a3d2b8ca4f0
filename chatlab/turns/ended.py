"""A turn that has ended, as values alone: it may have been run by another process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from chatlab.backend import ChatRequest
from chatlab.config.registry import Entry
from chatlab.errors import ChatlabError
from chatlab.messages import Accumulator, Timing
from chatlab.recording.arrivals import Arrivals
from chatlab.turns.turn import Outcome, Turn


@dataclass(frozen=True, slots=True)
class EndedTurn:
    """The fields of a `Turn` that has ended, by the same names."""

    entry: Entry
    outcome: Outcome
    error: ChatlabError | None
    request: ChatRequest | None
    answer: Accumulator
    arrivals: Arrivals
    timing: Timing
    tool_seconds: Mapping[str, float]
    cost: float | None

    @classmethod
    def of(cls, turn: Turn) -> Self:
        """Return these of a turn that has ended."""
        return cls(*[getattr(turn, name) for name in _NAMES])

    @classmethod
    def failed(cls, entry: Entry, error: ChatlabError) -> Self:
        """Return a turn of which nothing is known but that it failed."""
        return cls(entry, "failed", error, None, Accumulator(), Arrivals(), Timing(), {}, None)

    def without_entry(self) -> dict[str, Any]:
        """Return its fields but for the backend's entry, which is of this process alone."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "entry"}


_NAMES = tuple(one.name for one in fields(EndedTurn))
