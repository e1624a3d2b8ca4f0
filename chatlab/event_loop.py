"""The event loop of a command that makes many calls at once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine returns, run to its end: by uvloop, which takes less for each call, but on
    Windows."""
    if sys.platform == "win32":
        return asyncio.run(main)
    import uvloop  # other commands do without

    return uvloop.run(main)
