"""A watchdog on the event loop: code that blocks it, and so everybody's answers, is named in the log.

One thread looks while turns run, and stays some seconds after the last, since the start of a thread holds up
the loop. It asks the loop for a sign of life; where none comes in time, it takes the stack of the loop's
thread, as `faulthandler` would, and logs the innermost line of it that is not of Python or of an installed
library, or else the innermost of all.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import sysconfig
import threading
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import ClassVar

log = logging.getLogger(__name__)

BLOCKED = 0.5  # seconds without a sign of life; loaded machines miss shorter ones without anybody's fault

_EVERY = 0.25  # seconds between two questions
_STAYS = 10.0  # seconds after the last turn
_PYTHON = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib")})
_ASYNCIO = str(Path(asyncio.__file__).parent)
_RUNNING = ("run_forever", "run_until_complete", "run")  # the last for loops that are not Python's
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("purelib", "platlib")})


class Watchdog:
    """Looks at one event loop as long as turns run in it. Used from that loop's thread alone."""

    _of: ClassVar[dict[asyncio.AbstractEventLoop, Watchdog]] = {}

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread = threading.get_ident()
        self._turns = 0
        self._over = threading.Event()
        self._said: set[str] = set()

    @classmethod
    def enter(cls) -> Watchdog:
        """Have the running loop watched until `leave` has been called as often."""
        loop = asyncio.get_running_loop()
        found = cls._of.get(loop)
        if found is None:
            found = cls._of[loop] = cls(loop)
            threading.Thread(target=found._watch, name="chatlab watchdog", daemon=True).start()
        found._turns += 1
        return found

    def leave(self) -> None:
        """Note that a turn has ended."""
        self._turns -= 1

    def _end(self) -> None:
        """End the thread, on the loop, unless a turn has come meanwhile."""
        if not self._turns:
            self._over.set()
            del self._of[self._loop]

    def _watch(self) -> None:
        alive = threading.Event()
        since = monotonic()
        try:
            while not self._over.wait(_EVERY):
                if self._turns:
                    since = monotonic()
                    self._look(alive)
                elif monotonic() - since > _STAYS:
                    self._loop.call_soon_threadsafe(self._end)
                    since = monotonic()
                elif self._loop.is_closed():
                    break
        except RuntimeError:  # the loop is closed
            pass
        if self._loop.is_closed():
            self._of.pop(self._loop, None)

    def _look(self, alive: threading.Event) -> None:
        """Ask the loop once. Raise RuntimeError if it is closed."""
        alive.clear()
        self._loop.call_soon_threadsafe(alive.set)
        if not alive.wait(BLOCKED) and self._turns:
            self._tell()
            while not alive.wait(_EVERY):  # once for each time that it blocks
                if self._loop.is_closed():
                    return

    def _tell(self) -> None:
        frame = sys._current_frames().get(self._thread)
        if frame is None:
            return
        place = _place(frame)
        if place in self._said:
            return
        self._said.add(place)
        log.warning(
            "%s blocks the event loop for more than %g s, so that every answer waits: use an asynchronous "
            "call there, or asyncio.to_thread%s",
            place,
            BLOCKED,
            self._running(),
        )

    def _running(self) -> str:
        """Return the name of the task that runs, which says whose turn it is."""
        task = asyncio.current_task(self._loop)
        return f" ({task.get_name()})" if task is not None else ""


def _place(innermost: FrameType) -> str:
    """Return file, line and function of the frame to be named."""
    frames = []
    frame: FrameType | None = innermost
    while frame is not None and not _is_loop(frame):
        frames.append(frame)
        frame = frame.f_back
    own = next((one for one in frames if not _is_library(one.f_code.co_filename)), innermost)
    return f"{own.f_code.co_filename}:{own.f_lineno} in {own.f_code.co_qualname}"


def _is_loop(frame: FrameType) -> bool:
    """Return whether a frame runs the loop: those around it, such as a script's, are right to wait."""
    return frame.f_code.co_name in _RUNNING and frame.f_code.co_filename.startswith(_ASYNCIO)


def _is_library(file: str) -> bool:
    return file.startswith("<") or file.startswith(_LIBRARIES) or file.startswith(_PYTHON)
