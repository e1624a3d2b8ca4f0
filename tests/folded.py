"""Events that are all there already, as the answer that they come to."""

from __future__ import annotations

from collections.abc import Iterable

from chatlab.messages import Accumulator, StreamEvent


def accumulate(events: Iterable[StreamEvent]) -> Accumulator:
    """Fold events: the same fold that a running turn does."""
    folded = Accumulator()
    for event in events:
        folded.add(event)
    return folded
