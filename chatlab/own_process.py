"""Another Python of a server's own, for work that holds Python for long, in whichever thread it happens."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chatlab.paths import PACKAGE

_KINDNESS = 5  # the nice value: whoever chats goes first, and where all are busy there is still progress


@asynccontextmanager
async def own_process(*arguments: str, longest_line: int = 2**16) -> AsyncIterator[Process]:
    """Run Python with these arguments and the same package, with pipes to and from it; end it with the block.

    longest_line: bytes of a line that can be read of what it says.
    """
    paths = [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdin=PIPE, stdout=PIPE, limit=longest_line, env=environment
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def let_others_go_first() -> None:
    """Have this process give way to the server that began it, where the system can do that."""
    if hasattr(os, "nice"):
        os.nice(_KINDNESS)


def limit_memory(megabytes: float) -> None:
    """Have whatever of this process wants more fail with MemoryError, where the system can do that."""
    with contextlib.suppress(ImportError):
        import resource

        most = int(megabytes * 1_000_000)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
