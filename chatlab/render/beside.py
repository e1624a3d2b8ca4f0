"""Work on what pages show that takes longer than the event loop should wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Made = TypeVar("_Made")
_THREAD = ThreadPoolExecutor(1, "rendering")  # one: each that computes has the event loop wait


async def beside(make: Callable[[], _Made]) -> _Made:
    """Return what is made, beside the event loop, one thing after the other whoever asks."""
    return await asyncio.get_running_loop().run_in_executor(_THREAD, make)
