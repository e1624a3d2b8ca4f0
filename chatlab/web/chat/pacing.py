"""Paces the painting of answers by what the event loop can bear, which its own lag says."""

from __future__ import annotations

from time import monotonic

from chatlab.turns.turn import Turn

SHORTEST = 0.04  # seconds between two paints of one answer, while the loop is idle
LONGEST = 0.15  # while it is busy; with what a token waits to be read, its age stays below 0.25 s
_OVERLOADED = 0.5  # while it cannot keep up at that
_WINDOW = 0.1  # seconds over which the lag is measured
_IDLE, _BUSY, _LATE = (
    0.008,
    0.025,
    0.1,
)  # seconds of lag: below, paint more often; above, less; above, far less


class Pacing:
    """The pauses of all answers of one page. The event loop owns it.

    A pause that ends late by as much as the loop was busy with something else measures its lag; so nothing is
    counted, and no task measures. Pauses grow fast and shrink slowly, so that they do not swing.
    """

    def __init__(self) -> None:
        self.seconds = SHORTEST
        """The pause between two paints now."""
        self._late = 0.0
        self._pauses = 0
        self._since = monotonic()

    async def pause(self, turn: Turn) -> None:
        """Let a turn's events gather for a while; cut short by its first visible token and by its end."""
        planned, start = self.seconds, monotonic()
        await turn.pause(planned)
        end = monotonic()
        if end - start >= planned:
            self.measured(end - start - planned, end)

    def measured(self, lag: float, now: float) -> None:
        """Take the lag of one pause in seconds, and follow all of them from time to time. now: as `monotonic`
        says."""
        self._late += lag
        self._pauses += 1
        if now - self._since < _WINDOW:
            return
        mean = self._late / self._pauses
        if mean > _LATE:
            self.seconds = min(_OVERLOADED, self.seconds * 1.5)
        elif mean > _BUSY:
            self.seconds = min(max(LONGEST, self.seconds * 0.9), self.seconds * 1.3)
        elif mean < _IDLE:
            self.seconds = max(SHORTEST, self.seconds * 0.9)
        self._late, self._pauses, self._since = 0.0, 0, now
