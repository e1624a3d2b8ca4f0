"""Work in slices leaves the event loop to others, however much of it there is."""

from __future__ import annotations

import asyncio
import time

from chatlab.slices import Slices


async def _work(moments: int) -> None:
    with Slices() as slices:
        for _ in range(moments):
            until = time.monotonic() + 0.001
            while time.monotonic() < until:
                pass
            await slices.rest()


async def test_others_have_their_turns_while_work_goes_on() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    looking = asyncio.create_task(others())
    await asyncio.gather(*(_work(50) for _ in range(4)))
    looking.cancel()
    assert turns > 200  # some 40 rests, in each of which there is time for many


async def test_little_work_is_done_at_once() -> None:
    began = False

    async def other() -> None:
        nonlocal began
        began = True

    looking = asyncio.create_task(other())
    with Slices() as slices:
        await slices.rest()
        assert not began
    await looking
