"""Does small work some pieces at a time.

What is done in a row finds its code in the caches of the processor, and costs about half of what it costs
between other work.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Generic, TypeVar

Piece = TypeVar("Piece")

_LONGEST = 1.0  # seconds that a piece waits for others
_MOST = 50  # pieces in a row, so that the event loop is held up for milliseconds at most


class Batches(Generic[Piece]):
    """Takes pieces of work, and does them soon. Any thread may call it.

    work: does one piece. Must not raise.
    """

    def __init__(self, work: Callable[[Piece], None]) -> None:
        self._work = work
        self._waiting: deque[Piece] = deque()
        self._doing = threading.Lock()
        self._timer: threading.Timer | None = None  # for what waits

    def add(self, piece: Piece) -> None:
        """Take a piece of work. It is done within a second, or by the next `do`."""
        self._waiting.append(piece)
        timer = self._timer
        if len(self._waiting) >= _MOST:
            self.do()
        elif timer is None or not timer.is_alive():  # a process that was forked has no timer
            # Not one of the event loop, which may end before: what is alone would wait for the next piece.
            timer = self._timer = threading.Timer(_LONGEST, self._do_soon)
            timer.daemon = True
            try:
                timer.start()
            except RuntimeError:  # the system has no thread more to give
                self.do()

    def do(self) -> None:
        """Do what waits. Once this returns, all that was added before is done."""
        with self._doing:
            Context().run(self._do)  # in nobody's: not in that of whoever added the last piece

    def _do_soon(self) -> None:
        self._timer = None  # first: what is added from now on is done here, or has a timer of its own
        self.do()

    def _do(self) -> None:
        while self._waiting:
            self._work(self._waiting.popleft())
