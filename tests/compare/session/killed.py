"""A server that is killed by the operating system in the moment in which a lane's answer was written as
finished.

python -m tests.compare.session.killed URL
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from chatlab.compare.session.events import Opened
from chatlab.compare.session.session import ComparisonSession
from chatlab.store.sql import open_store
from tests.compare.session.scripted import scripted


async def main(url: str) -> None:
    store = await open_store(url)
    save = store.save

    async def save_and_die(turns: Any, *more: Any, **others: Any) -> None:
        await save(turns, *more, **others)
        if any(turn.status == "finished" for turn in turns):
            os.kill(os.getpid(), signal.SIGKILL)

    store.save = save_and_die  # type: ignore[method-assign]
    session = await ComparisonSession.create(
        scripted("a", "b"), ["a", "b"], owner="me", opened=Opened(), store=store
    )
    print(session.id, flush=True)
    await session.ask("Hello")
    await session.settled()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
