"""The search for garbage that only Python's collector finds: objects that name each other in a circle."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager

_NEW_OBJECTS = 10_000  # after which garbage is looked for; Python's own is 700
_OF_MANY_CALLS = 50_000  # the same, where calls that run hold more than that at any time: some 15 MB


def look_less_for_garbage(new_objects: int = _NEW_OBJECTS) -> None:
    """Have what there is now, such as the 300,000 objects that a server holds for good, never looked through
    for garbage again: that takes 0.2 to 0.5 s, for which everybody waits. And what is new less often, since a
    turn makes thousands of objects, hardly any of which is garbage of the kind that must be looked for."""
    gc.freeze()
    gc.set_threshold(new_objects)


@contextmanager
def importing_for_good() -> Iterator[None]:
    """Have garbage not looked for while modules are imported, nor later among what they made: it is a quarter
    of the time that the page's modules take, and finds nothing."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def less_looking_for_garbage() -> Iterator[None]:
    """Do so until the block ends, and still less: many calls are made in it."""
    before = gc.get_threshold()
    look_less_for_garbage(_OF_MANY_CALLS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def leave_garbage_at_exit() -> None:
    """Have garbage not looked for once the process ends: Python would look through all objects several times,
    0.3 s after a run, and the system takes the memory as it is. What closes itself at exit does so still."""
    atexit.register(gc.freeze)
