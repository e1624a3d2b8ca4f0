"""The time an attempt may take: to its first token, in silence, after its Finish, and in all."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Self

from chatlab.turns.stopwatch import Stopwatch

_LONGEST_END = 2.0  # seconds from the Finish to the end of the stream
_SHORTEST_LOOK = 0.001  # seconds; no event loop counts less


class Patience:
    """Ends an attempt by its timer when what is waited for does not come in time.

    What that is changes with nearly every event, and to move a timer takes as long as to handle a piece of
    text. So what there still is of it is looked at, in intervals that are as short as the shortest time that
    an event may begin. All moments are those of `perf_counter`.
    """

    def __init__(
        self, timer: asyncio.Timeout, watch: Stopwatch, first_token: float, idle: float, deadline: float
    ) -> None:
        """first_token, deadline: the moments until which it may take. idle: seconds of silence."""
        self._timer = timer
        self._watch = watch
        self._until = min(first_token, deadline)
        self._idle = idle
        self._deadline = deadline
        self._silence_counts = True
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._look()
        return self

    def __exit__(self, *_: object) -> None:
        self._look_no_more()

    def lengthen(self, seconds: float) -> None:
        """Have the first token wait for so much longer."""
        self._until = min(self._until + seconds, self._deadline)

    def finished(self) -> None:
        """Note that the answer is there: nothing is waited for but the end of its stream."""
        self._silence_counts = False
        self._until = min(perf_counter() + _LONGEST_END, self._deadline)

    async def without_reader(self, room: asyncio.Event) -> None:
        """Wait until one has made room. It is no silence of the upstream: only the whole turn's time runs."""
        counted, self._silence_counts = self._silence_counts, False
        left, self._until = self._until - perf_counter(), self._deadline
        await room.wait()
        self._silence_counts = counted
        self._until = min(perf_counter() + left, self._deadline)
        self._watch.heard = perf_counter()
        self._look_no_more()  # it may be due sooner than the next look
        self._look()

    def _look_no_more(self) -> None:
        if self._next is not None:  # none, where the time was over from the beginning
            self._next.cancel()

    def _look(self) -> None:
        now, until = perf_counter(), self._until
        if self._silence_counts and self._watch.delta_seen:
            until = min(self._watch.heard + self._idle, self._deadline)
        if now < until:
            wait = max(_SHORTEST_LOOK, min(until - now, self._idle, _LONGEST_END))
            self._next = self._loop.call_later(wait, self._look)
        elif not self._timer.expired():
            self._timer.reschedule(self._loop.time())
